import { setTimeout as sleep } from 'node:timers/promises'
import { Failure } from '../../../errors.ts'
import { CATALOGUE } from '../../../events/catalogue.ts'
import { type Cursors, nextOf, type PartitionCursor } from '../../../log/position.ts'
import { FORGOTTEN_TOPIC } from '../../../log/tombstone.ts'
import type { EventReader } from '../../../store/event-store.ts'
import { StatisticsUpdater, type StatisticsUpdaterDeps } from '../statistics-updater.ts'

export type BackfillDeps = Omit<StatisticsUpdaterDeps, 'periodMs'>

/**
 * Counts what the feed has into statistics that nobody else counts into: exactly up to `goal`, or all of it where there
 * is none. Throws `position_conflict` when the feed does not go as far as the goal.
 */
export async function backfill(deps: BackfillDeps, goal: Cursors | undefined): Promise<void> {
  const reader = goal === undefined ? deps.reader : upTo(deps.reader, goal)
  const counter = new StatisticsUpdater({ ...deps, reader, periodMs: 0 })
  let short: PartitionCursor | undefined
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    while (await counter.countNext());
    const cursors = await deps.statistics.cursors()
    short = goal?.find((cursor) => nextOf(cursors, cursor) !== cursor.next)
    if (short === undefined) return
    // While a user is being erased the feed stands still.
    await sleep(PAUSE_MS)
  }
  if (short === undefined) return
  const detail = `the store does not have ${short.topic}:${short.partition} up to ${short.next}, which is counted`
  throw new Failure('position_conflict', detail, { retryable: true })
}

const TRIES_MAX = 20
const PAUSE_MS = 100

/** The feed as it was when it ended at the goal. */
function upTo(reader: EventReader, goal: Cursors): EventReader {
  return {
    userEvents: (query) => reader.userEvents(query),
    erasedEvents: (query) => reader.erasedEvents(query),
    changes: async ({ after, limit }) => {
      // What is beyond the goal would only fill the page.
      // A feed refuses positions that it has not reached, so these are as far as it has come.
      const { stored } = await reader.changes({ after, limit: 1 })
      const over = stored.filter((cursor) => nextOf(after, cursor) >= nextOf(goal, cursor))
      const open = after.filter((cursor) => !over.some((other) => same(other, cursor)))
      const page = await reader.changes({ after: [...open, ...over], limit })
      const next = page.next.map((cursor) => ({ ...cursor, next: Math.min(cursor.next, nextOf(goal, cursor)) }))
      return {
        ...page,
        changes: page.changes.filter(
          ({ partition, offset, event }) => offset < nextOf(goal, { topic: CATALOGUE[event.type].topic, partition }),
        ),
        erasures: page.erasures.filter((at) => at.offset < nextOf(goal, { ...at, topic: FORGOTTEN_TOPIC })),
        next,
        complete: goal.every((cursor) => nextOf(next, cursor) >= Math.min(cursor.next, nextOf(page.stored, cursor))),
      }
    },
  }
}

function same(a: { topic: string; partition: number }, b: { topic: string; partition: number }): boolean {
  return a.topic === b.topic && a.partition === b.partition
}
