import type { LogRecord, TimedOffset } from '../../../log/event-log.ts'
import type { SearchedLog } from '../nth-event/nth-record.ts'

/** A log in memory whose records were appended when a test says; it counts what it is asked. */
export class TimedLog implements SearchedLog {
  /** Of each partition, in order. */
  readonly #times: readonly (readonly number[])[]
  asked = { reads: 0, looks: 0, partitions: 0 }

  constructor(times: readonly (readonly number[])[]) {
    this.#times = times
  }

  async logId() {
    return 'timed'
  }

  async partitions() {
    return this.#times.map(({ length: next }, partition) => ({ partition, first: 0, next }))
  }

  async offsetsAt({ time, partitions }: Parameters<SearchedLog['offsetsAt']>[0]): Promise<TimedOffset[]> {
    const some = partitions ?? [...this.#times.keys()]
    this.asked.looks++
    this.asked.partitions += some.length
    return some.map((partition) => {
      const times = this.#times[partition] ?? []
      const found = times.findIndex((one) => one >= time)
      return { partition, offset: found === -1 ? times.length : found, appendTime: times[found] }
    })
  }

  async read({ partition, from, limit }: Parameters<SearchedLog['read']>[0]): Promise<LogRecord[]> {
    this.asked.reads++
    const times = this.#times[partition]?.slice(from, from + limit) ?? []
    return times.map((appendTime, i) => ({ offset: from + i, appendTime, key: 'key', value: Buffer.alloc(0) }))
  }

  /** All records by append time, then partition, then offset. */
  sorted(): { partition: number; offset: number }[] {
    const all = this.#times.flatMap((times, partition) => times.map((time, offset) => ({ time, partition, offset })))
    const sorted = all.sort((a, b) => a.time - b.time || a.partition - b.partition || a.offset - b.offset)
    return sorted.map(({ partition, offset }) => ({ partition, offset }))
  }
}
