import { setImmediate as others } from 'node:timers/promises'
import { DEAD_LETTER_TOPIC } from '../../../log/dead-letter.ts'
import type { EventLog } from '../../../log/event-log.ts'
import { readOrSkip } from '../topic-follower.ts'
import { type Letter, readLetter } from './letter.ts'

export type ScanOrder = 'asc' | 'desc'

/** What of a partition has not been walked yet: from offset `from` on and before `to`. */
export type OffsetRange = { partition: number; from: number; to: number }

type PartitionScan = OffsetRange & { waiting: Letter[] }

/** What is read of a partition at a time, when it is walked backwards: all of it has to be read at once. */
const BACK_RECORDS = 32

/**
 * Walks through the dead letters by time, oldest or newest first; those of one millisecond by partition and offset. Holds a
 * few of each partition, and can be left anywhere: `rest` is where another scan goes on.
 */
export class LetterScan {
  readonly #log: EventLog
  readonly #order: ScanOrder
  readonly #partitions: PartitionScan[]

  constructor(log: EventLog, order: ScanOrder, ranges: readonly OffsetRange[]) {
    this.#log = log
    this.#order = order
    this.#partitions = ranges.map((range) => ({ ...range, waiting: [] }))
  }

  async next(): Promise<Letter | undefined> {
    let nearest: PartitionScan | undefined
    for (const scan of this.#partitions) {
      while (scan.waiting.length === 0 && scan.from < scan.to) await this.#fill(scan)
      if (scan.waiting[0] === undefined) continue
      const before = nearest === undefined ? -1 : compare(scan.waiting[0], nearest.waiting[0] as Letter)
      if (nearest === undefined || (this.#order === 'asc' ? before < 0 : before > 0)) nearest = scan
    }
    const letter = nearest?.waiting.shift()
    if (nearest === undefined || letter === undefined) return undefined
    if (this.#order === 'asc') nearest.from = letter.at.offset + 1
    else nearest.to = letter.at.offset
    return letter
  }

  /** What has not been given yet; empty when nothing is left. */
  rest(): OffsetRange[] {
    return this.#partitions
      .filter(({ from, to }) => from < to)
      .map(({ partition, from, to }) => ({ partition, from, to }))
  }

  async #fill(scan: PartitionScan): Promise<void> {
    const { partition, from, to } = scan
    const topic = DEAD_LETTER_TOPIC
    if (this.#order === 'asc') {
      const records = await readOrSkip(this.#log, { topic, partition, from, to })
      scan.waiting = records.filter(({ offset }) => offset < to).map((record) => readLetter(partition, record))
      if (scan.waiting.length === 0) scan.from = to
    } else {
      const begin = Math.max(from, to - BACK_RECORDS)
      for (let at = begin; at < to; ) {
        const records = await readOrSkip(this.#log, { topic, partition, from: at, to })
        scan.waiting.unshift(
          ...records
            .filter(({ offset }) => offset < to)
            .map((record) => readLetter(partition, record))
            .reverse(),
        )
        at = (records.at(-1)?.offset ?? to) + 1
      }
      if (scan.waiting.length === 0) scan.to = begin
    }
    await others()
  }
}

function compare(a: Letter, b: Letter): number {
  return a.since - b.since || a.at.partition - b.at.partition || a.at.offset - b.at.offset
}
