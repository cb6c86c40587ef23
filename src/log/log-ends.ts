import { isFailure } from '../errors.ts'
import type { EventLog } from './event-log.ts'
import { type Cursors, nextOf } from './position.ts'
import { SharedLookup } from './shared-lookup.ts'

/** Whoever answers what it has need not wait for long until it knows what it lacks. */
const ANSWER_MS_MAX = 1000

/** Where the log ends, for those who say how far behind it they are, and nothing else by it. */
export class LogEnds {
  readonly #lookup: SharedLookup<Cursors>

  constructor(log: EventLog, topics: readonly string[]) {
    this.#lookup = new SharedLookup(() => readEnds(log, topics))
  }

  /** Undefined while the log is unavailable, or says nothing for a second. */
  async ask(): Promise<Cursors | undefined> {
    const tooLong = Promise.withResolvers<undefined>()
    const timer = setTimeout(() => tooLong.resolve(undefined), ANSWER_MS_MAX)
    try {
      return await Promise.race([this.#lookup.ask(), tooLong.promise])
    } catch (error) {
      if (isFailure(error)) return undefined
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}

/** How many records lie between the cursors and the ends; null where the ends are not known. */
export function countBehind(cursors: Cursors, ends: Cursors | undefined): number | null {
  if (ends === undefined) return null
  return ends.reduce((sum, end) => sum + Math.max(0, end.next - nextOf(cursors, end)), 0)
}

async function readEnds(log: EventLog, topics: readonly string[]): Promise<Cursors> {
  const ends = topics.map(async (topic) =>
    (await log.partitions(topic)).map(({ partition, next }) => ({ topic, partition, next })),
  )
  return (await Promise.all(ends)).flat()
}
