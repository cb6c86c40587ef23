import type { EpochMs } from '../../../events/instant.ts'
import type { EventLog } from '../../../log/event-log.ts'
import { SharedLookup } from '../../../log/shared-lookup.ts'

/** The ends of a topic's partitions. `at` is a time when all that is older than a moment was in them. */
export type TopicSnapshot = {
  at: EpochMs
  /** Of the log that this tells of: nothing that is known of another one is true of it. */
  logId: string
  firsts: readonly number[]
  nexts: readonly number[]
  /** Records there ever were before the oldest of each partition, and in all. */
  removed: number
  count: number
}

type SnapshotLog = Pick<EventLog, 'partitions' | 'logId'>

/** Looks at a topic's ends, once for all who ask at the same time. */
export class TopicSnapshots {
  readonly #log: SnapshotLog
  readonly #topic: string
  readonly #now: () => EpochMs
  #last: { snapshot: TopicSnapshot; takenAt: number } | undefined
  readonly #lookup = new SharedLookup(() => this.#take())

  constructor({ log, topic, now }: { log: SnapshotLog; topic: string; now: () => EpochMs }) {
    this.#log = log
    this.#topic = topic
    this.#now = now
  }

  /** One that is at most this old. */
  recent(ageMsMax: number): TopicSnapshot | undefined {
    return this.#last !== undefined && performance.now() - this.#last.takenAt < ageMsMax
      ? this.#last.snapshot
      : undefined
  }

  /** One that is begun from now on. */
  take(): Promise<TopicSnapshot> {
    return this.#lookup.ask()
  }

  async #take(): Promise<TopicSnapshot> {
    const [at, takenAt] = [this.#now(), performance.now()]
    // Both come of one look at the topic where they are asked for together.
    const [ranges, logId] = await Promise.all([this.#log.partitions(this.#topic), this.#log.logId(this.#topic)])
    const firsts = ranges.map(({ first }) => first)
    const nexts = ranges.map(({ next }) => next)
    const snapshot = { at, logId, firsts, nexts, removed: sum(firsts), count: sum(nexts) }
    this.#last = { snapshot, takenAt }
    return snapshot
  }
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
