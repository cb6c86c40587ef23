import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { HttpEventReader } from '../../../clients/http-event-reader.ts'
import { readConfig } from '../../../config.ts'
import { CATALOGUE, EVENT_TYPES, type RunifyEvent, TOPICS } from '../../../events/catalogue.ts'
import { decodeEvent, encodeEvent } from '../../../events/codec.ts'
import { MS_PER_DAY } from '../../../events/instant.ts'
import { anyEvent } from '../../../events/testing/event.arbitrary.ts'
import type { EventLog } from '../../../log/event-log.ts'
import { formatCursors, nextOf, type Position } from '../../../log/position.ts'
import { decodeTombstone, FORGOTTEN_TOPIC, ForgottenUsers } from '../../../log/tombstone.ts'
import type { EventStore } from '../../../store/event-store.ts'
import { createTelemetry } from '../../../telemetry.ts'
import { createStorage } from '../../storage/storage.ts'
import { storageTelemetry } from '../../storage/telemetry.ts'
import { foldEvents } from '../fold.ts'
import { StatisticsUpdater } from '../statistics-updater.ts'
import { openSqliteStatistics } from '../store/sqlite/sqlite-statistics.ts'
import type { StatisticsStore } from '../store/statistics-store.ts'
import { processingTelemetry } from '../telemetry.ts'
import { answersOf } from './statistics.probe.ts'

/** A log, and places for a store and for statistics, each of which any number of instances may open. */
export type FlowPlaces = AsyncDisposable & {
  log: EventLog
  openStore(): Promise<EventStore>
  openStatistics(): Promise<StatisticsStore>
}

const WAIT = { interval: 50, timeout: 60_000 }
const USERS = [1, 2, 3, 4].map((digit) => `0000000${digit}-6c54-4b01-90e6-d701748f0851`)
const EVENTS = 1200
const ROUNDS = 6
const telemetry = processingTelemetry(createTelemetry('processing', 'silent'))

/** Users are forgotten while events come, and instances of Storage and Processing come and go. */
export function erasingFlowContract(name: string, open: () => Promise<FlowPlaces>): void {
  test(`on ${name}, statistics are a recount of what is left, whoever is forgotten while all is under way`, async (t) => {
    await using places = await open()
    const { log } = places
    const events = someEvents()
    await using system = new AsyncDisposableStack()
    const storages = [await startStorage(system, places), await startStorage(system, places)]
    const [one, other] = storages as [Started, Started]
    const updaters = [
      await startCounter(system, places, { reader: one.store, batch: 30 }),
      await startCounter(system, places, { reader: new HttpEventReader({ url: other.address }), batch: 50 }),
    ]
    for (let round = 0; round < ROUNDS; round++) {
      const size = EVENTS / ROUNDS
      // Some come again and again.
      const sent = [...events.slice(round * size, (round + 1) * size), ...events.slice(0, 20)]
      const appending = log.append(
        sent.map((event) => ({
          topic: CATALOGUE[event.type].topic,
          key: event.fields.user_id,
          value: encodeEvent(event),
        })),
      )
      const user = USERS[round % 2] as string
      const storage = storages[round % storages.length] as Started
      const response = await fetch(`${storage.address}/users/${user}`, { method: 'DELETE' })
      assert.equal(response.status, 200)
      await appending
      if (round === 2) {
        // As if it had been killed: what it was at is left to the others.
        updaters[0]?.abandon()
        updaters[0] = await startCounter(system, places, { reader: other.store, batch: 17 })
      }
    }
    await t.waitFor(async () => assert.ok(await isStored(log, one.store)), WAIT)
    const { statistics } = updaters[1] as Counting
    await t.waitFor(async () => {
      assert.equal(formatCursors(await statistics.cursors()), formatCursors(await one.store.cursors()))
    }, WAIT)

    const { changes } = await one.store.changes({ after: [], limit: 2 * EVENTS })
    const stored = new Set(changes.map(({ event }) => event.trace_id))
    const { gone, kept } = await expectedOf(log)
    assert.ok(gone.size > 100 && kept.size > 100, `${gone.size} gone, ${kept.size} kept`)
    assert.deepEqual(
      [...kept].filter((id) => !stored.has(id)),
      [],
    )
    assert.deepEqual(
      [...gone].filter((id) => stored.has(id)),
      [],
    )
    const left = events.filter(({ trace_id }) => stored.has(trace_id))
    assert.equal(left.length, changes.length)
    const { running_stats, music_info } = await one.store.counts()
    assert.equal(running_stats + music_info, left.length)
    await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-'))
    await using fresh = await openSqliteStatistics({ dir: folder.path })
    await fresh.fold({ from: [], to: [], parts: foldEvents(left), now: 0 })
    assert.deepEqual(await answersOf(statistics, USERS), await answersOf(fresh, USERS))
  })
}

/**
 * By what the log says: those of which every record lies before a tombstone's positions, and those of which none does. An
 * event that was sent once more while its user was being forgotten may be a repeat of what goes, or come anew.
 */
async function expectedOf(log: EventLog): Promise<{ gone: Set<string>; kept: Set<string> }> {
  const forgotten = new ForgottenUsers()
  for (const { value } of await readAll(log, FORGOTTEN_TOPIC)) {
    const tombstone = decodeTombstone(value)
    assert.ok(tombstone?.positions !== undefined)
    forgotten.add(tombstone)
  }
  const [before, behind] = [new Set<string>(), new Set<string>()]
  for (const type of EVENT_TYPES) {
    for (const { value, ...at } of await readAll(log, CATALOGUE[type].topic)) {
      const decoded = decodeEvent(type, value)
      assert.ok(decoded.ok)
      const { trace_id, fields, date_created } = decoded.event
      const isGone = forgotten.has(fields.user_id, date_created, at)
      ;(isGone ? before : behind).add(trace_id)
    }
  }
  return { gone: before.difference(behind), kept: behind.difference(before) }
}

async function readAll(log: EventLog, topic: string): Promise<(Position & { value: Uint8Array })[]> {
  const found: (Position & { value: Uint8Array })[] = []
  for (const { partition, first, next } of await log.partitions(topic)) {
    for (let from = first; from < next; ) {
      const records = await log.read({ topic, partition, from, limit: 1000 })
      found.push(...records.map(({ offset, value }) => ({ topic, partition, offset, value })))
      from = (records.at(-1)?.offset ?? next) + 1
    }
  }
  return found
}

/** Most were received before anybody is forgotten; some seem to come from a Receiver whose clock is a day ahead. */
function someEvents(): RunifyEvent[] {
  const ours = {
    user_id: fc.constantFrom(...USERS),
    timestamp: fc.integer({ min: 0, max: 40 }).map((day) => day * MS_PER_DAY + 1_700_000_000_000),
    date_created: fc.constantFrom(1_700_000_000_000, 1_700_003_600_000, Date.now() + MS_PER_DAY),
  }
  const name = fc.constantFrom('only my railgun', '𝄞', 'a')
  const any = fc.oneof(
    anyEvent('running_stats', ours),
    anyEvent('music_info', { ...ours, song_name: name, artist: name }),
  )
  const list = fc.uniqueArray(any, { selector: ({ trace_id }) => trace_id, minLength: EVENTS, maxLength: EVENTS })
  return fc.sample(list, { numRuns: 1, seed: 11 })[0] as RunifyEvent[]
}

type Started = { address: string; store: EventStore }

async function startStorage(system: AsyncDisposableStack, { log, openStore }: FlowPlaces): Promise<Started> {
  const store = system.use(await openStore())
  const config = { ...readConfig({}), batchRecordsMax: 50 }
  const server = system.use(
    await createStorage({ log, store, config, telemetry: storageTelemetry(createTelemetry('storage', 'silent')) }),
  )
  return { address: await server.listen(0, 'STORAGE_PORT'), store }
}

type Counting = { statistics: StatisticsStore; abandon: () => void }

async function startCounter(
  system: AsyncDisposableStack,
  { openStatistics }: FlowPlaces,
  { reader, batch }: { reader: ConstructorParameters<typeof StatisticsUpdater>[0]['reader']; batch: number },
): Promise<Counting> {
  const statistics = system.use(await openStatistics())
  const updater = new StatisticsUpdater({
    reader,
    statistics,
    telemetry,
    periodMs: 20,
    batchRecordsMax: batch,
    now: Date.now,
    setAside: () => assert.fail(),
  })
  const stop = new AbortController()
  const running = updater.run(stop.signal)
  system.defer(async () => {
    stop.abort()
    await running
  })
  return { statistics, abandon: () => stop.abort() }
}

async function isStored(log: EventLog, store: EventStore): Promise<boolean> {
  const cursors = await store.cursors()
  for (const topic of TOPICS) {
    for (const { partition, next } of await log.partitions(topic)) {
      if (nextOf(cursors, { topic, partition }) !== next) return false
    }
  }
  return true
}
