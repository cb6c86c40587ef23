import { setImmediate as others } from 'node:timers/promises'
import { DEAD_LETTER_TOPIC } from '../../../log/dead-letter.ts'
import type { EventLog } from '../../../log/event-log.ts'
import { readOrSkip } from '../topic-follower.ts'
import { type Letter, readLetter } from './letter.ts'

export type WalkOrder = 'asc' | 'desc'

/** What of a partition has not been walked yet: from offset `from` on and before `to`. */
export type Stretch = { partition: number; from: number; to: number }

type Lane = Stretch & { waiting: Letter[] }

/** What is read of a partition at a time, when it is walked backwards: all of it has to be read at once. */
const BACK_RECORDS = 32

/**
 * Walks through the dead letters by time, oldest or newest first; those of one millisecond by partition and offset. Holds a
 * few of each partition, and can be left anywhere: `rest` is where another walk goes on.
 */
export class LetterWalk {
  readonly #log: EventLog
  readonly #order: WalkOrder
  readonly #lanes: Lane[]

  constructor(log: EventLog, order: WalkOrder, stretches: readonly Stretch[]) {
    this.#log = log
    this.#order = order
    this.#lanes = stretches.map((stretch) => ({ ...stretch, waiting: [] }))
  }

  async next(): Promise<Letter | undefined> {
    let nearest: Lane | undefined
    for (const lane of this.#lanes) {
      while (lane.waiting.length === 0 && lane.from < lane.to) await this.#fill(lane)
      if (lane.waiting[0] === undefined) continue
      const before = nearest === undefined ? -1 : compare(lane.waiting[0], nearest.waiting[0] as Letter)
      if (nearest === undefined || (this.#order === 'asc' ? before < 0 : before > 0)) nearest = lane
    }
    const letter = nearest?.waiting.shift()
    if (nearest === undefined || letter === undefined) return undefined
    if (this.#order === 'asc') nearest.from = letter.at.offset + 1
    else nearest.to = letter.at.offset
    return letter
  }

  /** What has not been given yet; empty when nothing is left. */
  rest(): Stretch[] {
    return this.#lanes.filter(({ from, to }) => from < to).map(({ partition, from, to }) => ({ partition, from, to }))
  }

  async #fill(lane: Lane): Promise<void> {
    const { partition, from, to } = lane
    const topic = DEAD_LETTER_TOPIC
    if (this.#order === 'asc') {
      const records = await readOrSkip(this.#log, { topic, partition, from, to })
      lane.waiting = records.filter(({ offset }) => offset < to).map((record) => readLetter(partition, record))
      if (lane.waiting.length === 0) lane.from = to
    } else {
      const begin = Math.max(from, to - BACK_RECORDS)
      for (let at = begin; at < to; ) {
        const records = await readOrSkip(this.#log, { topic, partition, from: at, to })
        lane.waiting.unshift(
          ...records
            .filter(({ offset }) => offset < to)
            .map((record) => readLetter(partition, record))
            .reverse(),
        )
        at = (records.at(-1)?.offset ?? to) + 1
      }
      if (lane.waiting.length === 0) lane.to = begin
    }
    await others()
  }
}

function compare(a: Letter, b: Letter): number {
  return a.since - b.since || a.at.partition - b.at.partition || a.at.offset - b.at.offset
}
