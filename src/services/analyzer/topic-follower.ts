import { setImmediate as others } from 'node:timers/promises'
import { isFailure } from '../../errors.ts'
import type { EventLog, LogRecord } from '../../log/event-log.ts'
import { SharedLookup } from '../../log/shared-lookup.ts'

export type FollowerOptions = {
  log: EventLog
  topic: string
  /** Is given every record once, each partition's in their order. */
  visit: (partition: number, record: LogRecord) => void
  /** All that was visited so far is of a topic that is no more: it has been made anew, and is visited from its beginning. */
  forget: () => void
  /** How many of the newest are read when it begins; all where nothing is said. */
  recordsMax?: number
}

const READ_RECORDS = 500
const READ_BYTES_MAX = 1024 * 1024
/** How often it begins anew when the topic is made anew while it reads. */
const READINGS_MAX = 3

/** Reads a small topic on from where it stopped, whenever somebody wants to know what is in it now. */
export class TopicFollower {
  readonly #options: FollowerOptions
  readonly #next = new Map<number, number>()
  #logId: string | undefined
  readonly #reading = new SharedLookup(() => this.#read())
  /** Whether it has left out what was older than `recordsMax`. */
  leftOut = false

  constructor(options: FollowerOptions) {
    this.#options = options
  }

  /** Resolves when all has been visited that the topic held at the time of the call. */
  catchUp(): Promise<void> {
    return this.#reading.ask()
  }

  /** Up to where each partition has been visited. */
  next(partition: number): number {
    return this.#next.get(partition) ?? 0
  }

  async #read(): Promise<void> {
    for (let readings = 1; ; readings++) {
      try {
        return await this.#readOn()
      } catch (error) {
        if (!isFailure(error, 'position_conflict') || readings === READINGS_MAX) throw error
      }
    }
  }

  async #readOn(): Promise<void> {
    const { log, topic, recordsMax = Number.POSITIVE_INFINITY } = this.#options
    // The id comes first: the ends of a topic before must not be taken for those of the one with this id.
    const logId = await log.logId(topic)
    if (logId !== this.#logId) this.#begin(logId)
    const ranges = await log.partitions(topic)
    for (const { partition, first, next } of ranges) {
      const begin = Math.max(first, Math.ceil(next - recordsMax / ranges.length))
      if (!this.#next.has(partition)) {
        this.leftOut ||= begin > first
        this.#next.set(partition, begin)
      }
      await readOffsetRange(log, { topic, partition, from: this.next(partition), to: next, logId }, (record) => {
        this.#options.visit(partition, record)
        this.#next.set(partition, record.offset + 1)
      })
      this.#next.set(partition, Math.max(this.next(partition), next))
    }
  }

  #begin(logId: string): void {
    if (this.#logId !== undefined) this.#options.forget()
    this.#logId = logId
    this.#next.clear()
    this.leftOut = false
  }
}

export type TopicOffsetRange = { topic: string; partition: number; from: number; to: number; logId?: string }

/** Visits what there is from offset `from` on and before `to`; what retention removes meanwhile is left out. */
export async function readOffsetRange(log: EventLog, range: TopicOffsetRange, visit: (record: LogRecord) => void) {
  const { to } = range
  for (let from = range.from; from < to; ) {
    const records = await readOrSkip(log, { ...range, from })
    for (const record of records) if (record.offset < to) visit(record)
    from = (records.at(-1)?.offset ?? to) + 1
    // An embedded log never waits for anything: without this, a long reading would keep requests waiting.
    await others()
  }
}

/** The next records of the range, some of them; none only where there are none. */
export async function readOrSkip(log: EventLog, range: TopicOffsetRange): Promise<LogRecord[]> {
  const { topic, partition, from, to, logId } = range
  const limit = Math.min(to - from, READ_RECORDS)
  try {
    return await log.read({ topic, partition, from, limit, bytesMax: READ_BYTES_MAX, logId })
  } catch (error) {
    if (!isFailure(error, 'offset_removed')) throw error
  }
  const first = (await log.partitions(topic)).find((one) => one.partition === partition)?.first
  if (first === undefined || first >= to || first <= from) return []
  return readOrSkip(log, { ...range, from: first })
}
