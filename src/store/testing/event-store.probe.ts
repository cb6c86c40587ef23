import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { CATALOGUE, type EventType, type RunifyEvent } from '../../events/catalogue.ts'
import type { Cursors } from '../../log/position.ts'
import type { EventStore, PageQuery, StoreBatch, StoredEvent, WriteOutcome } from '../event-store.ts'

/** What tests put into a store and ask of it. */

export function newRun(
  change: Partial<RunifyEvent<'running_stats'>['fields']> = {},
  trace_id: string = randomUUID(),
): RunifyEvent<'running_stats'> {
  const fields = { user_id: randomUUID(), duration: 1800, distance: 5000, timestamp: Date.UTC(2024, 4, 1), ...change }
  return { type: 'running_stats', trace_id, date_created: Date.UTC(2024, 4, 2), fields }
}

export function newPlay(
  change: Partial<RunifyEvent<'music_info'>['fields']> = {},
  trace_id: string = randomUUID(),
): RunifyEvent<'music_info'> {
  const fields = {
    user_id: randomUUID(),
    song_name: 'only my railgun',
    artist: 'fripSide',
    song_duration: 247,
    timestamp: Date.UTC(2024, 4, 1),
    ...change,
  }
  return { type: 'music_info', trace_id, date_created: Date.UTC(2024, 4, 2), fields }
}

export function newRuns(count: number): RunifyEvent<'running_stats'>[] {
  return Array.from({ length: count }, () => newRun())
}

/** Events of one type at offsets that follow on one another. */
export function batchOf(events: readonly RunifyEvent[], { from = 0, partition = 0 } = {}): StoreBatch {
  const type = events[0]?.type ?? 'running_stats'
  const placed = events.map((event, i) => ({ offset: from + i, event }))
  return { type, partition, from, next: from + events.length, events: placed }
}

export function topicOf(type: EventType): string {
  return CATALOGUE[type].topic
}

/** What a store holds of a type, in the order of the page it is read by. */
export async function eventsOf(store: EventStore, type: EventType): Promise<RunifyEvent[]> {
  return store.page({ type, by: 'timestamp', order: 'asc', limit: 10_000 })
}

/** A query of each form that a page can have. */
export function everyKindOfPage(): PageQuery[] {
  const time = Date.UTC(2024, 4, 1)
  const each = <T, U>(list: readonly T[], of: readonly U[]) =>
    list.flatMap((one) => of.map((other) => [one, other] as const))
  const forms = each(
    each(['timestamp', 'date_created'] as const, ['asc', 'desc'] as const),
    each([undefined, randomUUID()], [undefined, { time, trace_id: randomUUID() }]),
  )
  return forms.flatMap(([[by, order], [user_id, after]]) => {
    const query = { type: 'running_stats', by, order, user_id, after, limit: 1000 } as const
    return [query, { ...query, from: time - 1000, to: time + 1000 }]
  })
}

/** All that is behind `after`, page by page; checks what every page promises. */
export async function changesOf(
  store: EventStore,
  { after = [], limit }: { after?: Cursors; limit: number },
): Promise<StoredEvent[]> {
  const all: StoredEvent[] = []
  for (let at = after, pages = 0; ; pages++) {
    const { changes, next, complete } = await store.changes({ after: at, limit })
    assert.ok(changes.length <= limit)
    all.push(...changes)
    if (complete) {
      assert.deepEqual((await store.changes({ after: next, limit })).changes, [])
      return all
    }
    assert.notDeepEqual(next, at, 'a page that is not the last leads on')
    assert.ok(pages < 10_000)
    at = next
  }
}

/** By partition and offset, to compare what comes in no order between partitions. */
export function inOrder(stored: readonly StoredEvent[]): StoredEvent[] {
  const place = ({ partition, offset, event }: StoredEvent) => [event.type, partition, offset] as const
  return stored.toSorted((a, b) => {
    const [left, right] = [place(a), place(b)]
    return left[0].localeCompare(right[0]) || left[1] - right[1] || left[2] - right[2]
  })
}

/** What a batch leaves in the change feed. */
export function storedBy({ partition, events }: StoreBatch): StoredEvent[] {
  return events.map(({ offset, event }) => ({ partition, offset, event }))
}

/** All that a store says of what it holds. */
export async function stateOf(store: EventStore) {
  return {
    cursors: await cursorsOf(store),
    counts: await store.counts(),
    changes: inOrder(await changesOf(store, { limit: 1000 })),
    runs: await eventsOf(store, 'running_stats'),
    plays: await eventsOf(store, 'music_info'),
  }
}

export async function cursorsOf(store: EventStore): Promise<string[]> {
  return (await store.cursors()).map(({ topic, partition, next }) => `${topic}:${partition}:${next}`).sort()
}

/** The offsets that a write refused, with why. */
export function refusedOf(outcome: WriteOutcome): [offset: number, reason: string][] {
  return outcome.kind === 'refused' ? outcome.events.map(({ offset, reason }) => [offset, reason]) : []
}

export function byTraceId<T extends { trace_id: string }>(events: readonly T[]): T[] {
  return events.toSorted((a, b) => (a.trace_id < b.trace_id ? -1 : 1))
}

/**
 * Reads all the time until `written` resolves, and checks that every answer holds whole batches of `size` runs and that
 * a reader of the change feed gets each event once. Gives the number of events it got.
 */
export async function watchWholeBatches(
  store: EventStore,
  { size, written }: { size: number; written: Promise<unknown> },
): Promise<number> {
  let done = false
  const stop = written.finally(() => {
    done = true
  })
  const seen = new Set<string>()
  let at: Cursors = []
  for (let last = false; !last; ) {
    last = done
    const whole = (what: string, count: number) =>
      assert.equal(count % size, 0, `${what}: ${count} of batches of ${size}`)
    whole('counts', (await store.counts()).running_stats)
    for (const { next } of await store.cursors()) whole('cursors', next)
    whole('page', (await eventsOf(store, 'running_stats')).length)
    const page = await store.changes({ after: at, limit: 10_000 })
    whole('changes', page.changes.length)
    for (const { event } of page.changes) {
      assert.ok(!seen.has(event.trace_id))
      seen.add(event.trace_id)
    }
    at = page.next
    // Lets the writers on, whose answers come as events.
    await new Promise((resolve) => setImmediate(resolve))
  }
  await stop
  return seen.size
}
