import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { readConfig } from '../../../config.ts'
import { CATALOGUE, type RunifyEvent, TOPICS } from '../../../events/catalogue.ts'
import { encodeEvent } from '../../../events/codec.ts'
import { formatInstant } from '../../../events/instant.ts'
import { anyEvent } from '../../../events/testing/event.arbitrary.ts'
import { EmbeddedLog } from '../../../log/embedded/embedded-log.ts'
import { nextOf } from '../../../log/position.ts'
import type { EventStore, PageQuery } from '../../../store/event-store.ts'
import { openSqliteStore } from '../../../store/sqlite/sqlite-store.ts'
import { createTelemetry } from '../../../telemetry.ts'
import { createStorage } from '../storage.ts'
import { storageTelemetry } from '../telemetry.ts'

/** A Storage to ask by HTTP, the events that are in it, and the naive answers to compare with. */

export const WAIT = { interval: 5, timeout: 20_000 }

const telemetry = storageTelemetry(createTelemetry('storage', 'silent'))
const config = readConfig({})

export const USERS = [1, 2, 3].map((digit) => `0000000${digit}-6c54-4b01-90e6-d701748f0851`)
export const BEGIN = Date.UTC(2024, 0, 1)
/** Few instants, so that many events share one and `trace_id` has to decide. */
export const anyTime = fc.integer({ min: 0, max: 5 }).map((second) => BEGIN + second * 1000)
/** What CSV must quote, and what it need not. */
const anyName = fc.string({
  unit: fc.constantFrom('a', ' ', ',', '"', '\n', '\r', '\t', ';', "'", '𝄞', '\u2028', '\0'),
  minLength: 1,
  maxLength: 20,
})
const ours = { user_id: fc.constantFrom(...USERS), timestamp: anyTime, date_created: anyTime }
export const anyRun = anyEvent('running_stats', { ...ours, event_id: anyName })
export const anyPlay = anyEvent('music_info', { ...ours, song_name: anyName, artist: anyName, event_id: anyName })

export type Opening = {
  /** A folder that is there, and stays. */
  dir?: string
  partitions?: number
  batchRecordsMax?: number
  retentionDays?: number
  wrap?: (store: EventStore) => EventStore
}

/** Listens on a free port, on a folder of its own if none is named; `wrap` stands between the endpoints and the store. */
export async function openStorage(opening: Opening = {}) {
  const { partitions = 1, batchRecordsMax = config.batchRecordsMax, wrap = (store) => store } = opening
  const { retentionDays = 0 } = opening
  await using opened = new AsyncDisposableStack()
  const dir = opening.dir ?? opened.use(await mkdtempDisposable(join(tmpdir(), 'runify-'))).path
  const log = opened.use(new EmbeddedLog({ dir, partitions }))
  const store = opened.use(await openSqliteStore({ dir }))
  const server = opened.use(
    await createStorage({ log, store: wrap(store), config: { ...config, batchRecordsMax, retentionDays }, telemetry }),
  )
  const address = await server.listen(0, 'STORAGE_PORT')
  const all = opened.move()
  return { log, store, address, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

/** With 120 events of each type stored. */
export async function openFilledStorage() {
  const system = await openStorage()
  const [runs, plays] = fc.sample(fc.tuple(manyOf(anyRun), manyOf(anyPlay)), { numRuns: 1, seed: 42 })[0] ?? [[], []]
  const events: RunifyEvent[] = [...runs, ...plays]
  await append(system.log, events)
  await untilStored(system.log, system.store)
  return { ...system, events }
}

export function manyOf<T extends RunifyEvent>(event: fc.Arbitrary<T>, count = 120): fc.Arbitrary<T[]> {
  return fc.uniqueArray(event, { selector: ({ trace_id }) => trace_id, minLength: count, maxLength: count })
}

export function append(log: EmbeddedLog, events: readonly RunifyEvent[]): Promise<void> {
  return log.append(
    events.map((event) => ({
      topic: CATALOGUE[event.type].topic,
      key: event.fields.user_id,
      value: encodeEvent(event),
    })),
  )
}

async function untilStored(log: EmbeddedLog, store: EventStore): Promise<void> {
  const deadline = AbortSignal.timeout(WAIT.timeout)
  const isStored = async () => {
    const cursors = await store.cursors()
    const ranges = await Promise.all(TOPICS.map(async (topic) => ({ topic, ranges: await log.partitions(topic) })))
    return ranges.every(({ topic, ranges }) =>
      ranges.every((range) => nextOf(cursors, { topic, ...range }) === range.next),
    )
  }
  while (!(await isStored())) {
    deadline.throwIfAborted()
    await turn()
  }
}

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export type Filter = Pick<PageQuery, 'type' | 'by' | 'order' | 'from' | 'to' | 'user_id'>

/** The naive range: what the pages must be equal to. */
export function filterAndSort(
  events: readonly RunifyEvent[],
  { type, by, order, from, to, user_id }: Filter,
): RunifyEvent[] {
  const timeOf = (event: RunifyEvent) => (by === 'timestamp' ? event.fields.timestamp : event.date_created)
  const chosen = events
    .filter((event) => event.type === type)
    .filter((event) => (from === undefined || timeOf(event) >= from) && (to === undefined || timeOf(event) < to))
    .filter(({ fields }) => user_id === undefined || fields.user_id === user_id)
    .sort((a, b) => timeOf(a) - timeOf(b) || (a.trace_id < b.trace_id ? -1 : 1))
  return order === 'asc' ? chosen : chosen.reverse()
}

export function toSearch({ from, to, ...query }: Partial<Filter> & { limit?: number }): string {
  const parameters: Record<string, string | number> = {}
  if (from !== undefined) parameters.start_timestamp = formatInstant(from)
  if (to !== undefined) parameters.end_timestamp = formatInstant(to)
  const { type: _, ...rest } = query
  for (const [name, value] of Object.entries(rest)) if (value !== undefined) parameters[name] = value
  return new URLSearchParams(Object.entries(parameters).map(([name, value]) => [name, String(value)])).toString()
}
