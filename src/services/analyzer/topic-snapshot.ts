import type { EpochMs } from '../../events/instant.ts'
import type { EventLog } from '../../log/event-log.ts'
import { SharedLookup } from '../../log/shared-lookup.ts'

/** The ends of a topic's partitions. `at` is a time when all that is older than a moment was in them. */
export type TopicSnapshot = {
  at: EpochMs
  firsts: readonly number[]
  nexts: readonly number[]
  /** Records there ever were before the oldest of each partition, and in all. */
  removed: number
  count: number
}

/** Looks at a topic's ends, once for all who ask at the same time. */
export class TopicSnapshots {
  readonly #log: Pick<EventLog, 'partitions'>
  readonly #topic: string
  readonly #now: () => EpochMs
  #last: { snapshot: TopicSnapshot; takenAt: number } | undefined
  readonly #lookup = new SharedLookup(() => this.#take())

  constructor({ log, topic, now }: { log: Pick<EventLog, 'partitions'>; topic: string; now: () => EpochMs }) {
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
    const ranges = await this.#log.partitions(this.#topic)
    const firsts = ranges.map(({ first }) => first)
    const nexts = ranges.map(({ next }) => next)
    const snapshot = { at, firsts, nexts, removed: sum(firsts), count: sum(nexts) }
    this.#last = { snapshot, takenAt }
    return snapshot
  }
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
