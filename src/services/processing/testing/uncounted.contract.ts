import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Failure } from '../../../errors.ts'
import type { RunifyEvent } from '../../../events/catalogue.ts'
import { FINGERPRINTS, fingerprintOf } from '../../../events/fingerprint.ts'
import { MS_PER_HOUR } from '../../../events/instant.ts'
import { anyEvent } from '../../../events/testing/event.arbitrary.ts'
import type { Cursors } from '../../../log/position.ts'
import { FORGOTTEN_TOPIC } from '../../../log/tombstone.ts'
import type { EventReader, StoredEvent } from '../../../store/event-store.ts'
import { createTelemetry } from '../../../telemetry.ts'
import { reckonErasure } from '../erasure/erasing.ts'
import { foldHours } from '../hourly-counts/counted-hours.ts'
import { backfill } from '../rebuild/backfill.ts'
import { StatisticsUpdater, type StatisticsUpdaterDeps } from '../statistics-updater.ts'
import type { StatisticsStore } from '../store/statistics-store.ts'
import { processingTelemetry } from '../telemetry.ts'
import { REFUSED_SONG } from './refused-song.fixture.ts'
import { Feed } from './shadow.contract.ts'
import { answersOf } from './statistics.probe.ts'
import type { StatisticsAdapter } from './statistics-store.contract.ts'

const telemetry = processingTelemetry(createTelemetry('processing', 'silent'))
const USERS = [1, 2, 3].map((digit) => `0000000${digit}-6c54-4b01-90e6-d701748f0851`)
const few = {
  user_id: fc.constantFrom(...USERS),
  timestamp: fc.nat(90 * 86_400_000),
  date_created: fc.nat(5 * MS_PER_HOUR),
}
const anyCounted = fc.oneof(anyEvent('running_stats', few), anyEvent('music_info', few))
const ALL_HOURS = { from: -1e6, to: 1e6 }
const EVENTS = 250

/** What every store does about an event that cannot be counted, and a updater with it. */
export function uncountedContract({ open }: StatisticsAdapter): void {
  test('an event that the database refuses is set aside, and all others are counted once, by whomever', async () => {
    await using place = await open()
    await place.refuseSong()
    const refused = [0, 17, 18, 120, EVENTS - 1]
    const events = someEvents(refused)
    const feed = new Feed(events)
    feed.show(EVENTS)
    const told: StoredEvent[] = []
    const setAside: StatisticsUpdaterDeps['setAside'] = async (event, detail) => {
      assert.match(
        detail,
        /^the statistics' database refuses what it adds: (not this song|ER_CHECK_CONSTRAINT_VIOLATED)$/,
      )
      told.push(event)
    }
    const updaters = [place.statistics, await place.openAgain()].map((statistics, index) =>
      updaterOf({ statistics, reader: feed, batchRecordsMax: 90 + index, setAside }),
    )
    await untilCounted(updaters)

    const left = events.filter((_, index) => !refused.includes(index))
    const gone = events.filter((_, index) => refused.includes(index))
    assert.deepEqual(new Set(told.map(({ event }) => event)), new Set(gone))
    await checkCounted(place.statistics, { left, gone, reader: feed })
    await using fresh = await open()
    await backfill({ ...depsOf(fresh.statistics), reader: feedOf(left) }, undefined)
    assert.deepEqual(await answersOf(place.statistics, USERS), await answersOf(fresh.statistics, USERS))

    // Everything begins anew.
    await place.statistics.clear()
    assert.equal((await place.statistics.totals({})).uncounted, 0)
    assert.deepEqual((await place.statistics.hours(ALL_HOURS)).uncounted, { hours: [], events: [] })
  })

  test('so is one of which our own code can make nothing, or no number that a database has', async () => {
    await using place = await open()
    const events = someEvents([])
    const broken = [
      events.find(({ type }) => type === 'music_info'),
      events.findLast((one) => one.type !== 'music_info'),
    ]
    Object.assign(broken[0]?.fields as object, { song_duration: 1n })
    Object.assign(broken[1]?.fields as object, { timestamp: Number.NaN })
    const gone = events.filter((event) => broken.includes(event))
    const left = events.filter((event) => !broken.includes(event))
    const feed = new Feed(events)
    feed.show(EVENTS)
    const told: string[] = []
    const setAside: StatisticsUpdaterDeps['setAside'] = async ({ event }) => void told.push(event.trace_id)
    await untilCounted([updaterOf({ statistics: place.statistics, reader: feed, batchRecordsMax: 100, setAside })])
    assert.deepEqual(new Set(told), new Set(gone.map(({ trace_id }) => trace_id)))
    await checkCounted(place.statistics, { left, gone, reader: feed })

    // A recount does the same, tells it once, and is found equal.
    {
      await using shadow = await place.statistics.shadow()
      const deps = { ...depsOf(shadow.statistics), reader: feed, setAside }
      await backfill(deps, await place.statistics.cursors())
      const { different, differences } = await shadow.compare((cursors) => backfill(deps, cursors))
      assert.deepEqual([different, differences], [0, []])
      await backfill(deps, undefined)
      await shadow.swapIn()
    }
    assert.equal(told.length, 2 * gone.length)
    await checkCounted(place.statistics, { left, gone, reader: feed })
  })

  test('nothing is set aside before it was told, and nothing while the world is broken', async () => {
    await using place = await open()
    await place.refuseSong()
    const events = someEvents([5])
    const feed = new Feed(events)
    feed.show(EVENTS)
    const away = new Failure('log_unavailable', 'away', { retryable: true })
    let tries = 0
    const setAside = async () => {
      if (++tries < 3) throw away
    }
    const updater = updaterOf({ statistics: place.statistics, reader: feed, batchRecordsMax: 100, setAside })
    for (let failures = 0; failures < 2; ) {
      await updater.countNext().catch((error) => {
        assert.equal(error, away)
        failures++
      })
      assert.equal((await place.statistics.totals({})).uncounted, 0)
    }
    await untilCounted([updater])
    assert.equal(tries, 3)
    await checkCounted(place.statistics, { left: events.toSpliced(5, 1), gone: events.slice(5, 6), reader: feed })

    const broken = Object.assign(Object.create(place.statistics) as StatisticsStore, {
      cursors: () => place.statistics.cursors(),
      fold: () => Promise.reject(new Failure('statistics_unavailable', 'the disk is full', { retryable: true })),
    })
    const more = new Feed([...events, ...someEvents([])])
    more.show(2 * EVENTS)
    const stuck = updaterOf({ statistics: broken, reader: more, batchRecordsMax: 1, setAside: () => assert.fail() })
    await assert.rejects(stuck.countNext(), { message: 'the disk is full' })
  })

  test('one of a user who is forgotten is forgotten too, and what is left of the user stays set aside', async () => {
    await using place = await open()
    await place.refuseSong()
    const [ann] = USERS as [string]
    const refused = [7, 30, 31]
    const events = someEvents(refused)
    for (const index of [7, 30]) Object.assign(events[index]?.fields as object, { user_id: ann })
    const feed = new Feed(events)
    feed.show(EVENTS)
    const setAside = async () => {}
    await untilCounted([updaterOf({ statistics: place.statistics, reader: feed, batchRecordsMax: 100, setAside })])

    // Half of what there is of the user is erased, with one of the two; the other came later.
    const { changes } = await feed.changes({ after: [], limit: EVENTS })
    const ofAnn = changes.filter(({ event }) => event.fields.user_id === ann)
    const isErased = ({ event }: StoredEvent) => events.indexOf(event) < 30
    const [erased, kept] = [ofAnn.filter(isErased), ofAnn.filter((stored) => !isErased(stored))]
    assert.ok(erased.length > 3 && kept.length > 3)
    const from = await place.statistics.cursors()
    const request = { request_id: 'x', user_id: ann, forgotten_at: 0, partition: 0, offset: 0 }
    const erasing = await reckonErasure(erasedReader({ erased, kept }), {
      erasure: { ...request, erased: { running_stats: 0, music_info: 0 } },
      from,
      uncounted: await place.statistics.uncountedOf(ann),
      now: 9,
    })
    assert.equal(await place.statistics.erase(erasing), true)

    const still = events.filter((event) => !erased.some((one) => one.event === event))
    const gone = still.filter((event) => events.indexOf(event) === 30 || events.indexOf(event) === 31)
    const left = still.filter((event) => !gone.includes(event))
    const cursors: Cursors = [...from, { topic: FORGOTTEN_TOPIC, partition: 0, next: 1 }]
    await checkCounted(place.statistics, { left, gone, reader: feed, cursors })
    await using fresh = await open()
    await backfill({ ...depsOf(fresh.statistics), reader: feedOf(left) }, undefined)
    assert.deepEqual(await answersOf(place.statistics, USERS), await answersOf(fresh.statistics, USERS))
  })
}

function someEvents(refused: readonly number[]): RunifyEvent[] {
  const events = fc.sample(anyCounted, { numRuns: EVENTS, seed: 11 }).map((event) => structuredClone(event))
  const plays = fc.sample(anyEvent('music_info', { ...few, song_name: fc.constant(REFUSED_SONG) }), {
    numRuns: refused.length,
    seed: 12,
  })
  for (const [at, index] of refused.entries()) events[index] = structuredClone(plays[at]) as RunifyEvent
  return events
}

/** That all of `left` is counted and all of `gone` set aside, and that this is what the hours say. */
async function checkCounted(
  statistics: StatisticsStore,
  of: { left: RunifyEvent[]; gone: RunifyEvent[]; reader: EventReader; cursors?: Cursors },
): Promise<void> {
  const { left, gone, reader } = of
  const { rollup, uncounted, cursors } = await statistics.totals({})
  assert.deepEqual([rollup.runs + rollup.plays, uncounted], [left.length, gone.length])
  const { stored } = await reader.changes({ after: [], limit: 1 })
  const expected = of.cursors ?? stored
  for (const { topic, partition, next } of expected) {
    assert.equal(cursors.find((one) => one.topic === topic && one.partition === partition)?.next, next)
  }
  const hours = await statistics.hours(ALL_HOURS)
  const sorted = (some: typeof hours.hours) => some.toSorted((a, b) => a.hour - b.hour || (a.type < b.type ? -1 : 1))
  assert.deepEqual(hours.hours, sorted(foldHours(left)))
  assert.deepEqual(hours.uncounted.hours, sorted(foldHours(gone)))
  assert.deepEqual(
    hours.uncounted.events.map(({ trace_id }) => trace_id).sort(),
    gone.map(({ trace_id }) => trace_id).sort(),
  )
}

/** The store after an erasure: what it has left of the user, and what it tells of what is gone. */
function erasedReader({ erased, kept }: { erased: StoredEvent[]; kept: StoredEvent[] }): EventReader {
  return {
    changes: () => assert.fail(),
    userEvents: async () => kept,
    erasedEvents: async () =>
      erased.map(({ partition, offset, event: { type, date_created, trace_id } }) => {
        const hour = Math.floor(date_created / MS_PER_HOUR)
        return { type, partition, offset, hour, fingerprint: fingerprintOf(trace_id) % FINGERPRINTS }
      }),
  }
}

function feedOf(events: readonly RunifyEvent[]): Feed {
  const feed = new Feed(events)
  feed.show(events.length)
  return feed
}

function depsOf(statistics: StatisticsStore) {
  return { statistics, telemetry, batchRecordsMax: 70, now: () => 7, setAside: () => assert.fail() }
}

function updaterOf(
  deps: Pick<StatisticsUpdaterDeps, 'statistics' | 'reader' | 'batchRecordsMax' | 'setAside'>,
): StatisticsUpdater {
  return new StatisticsUpdater({ ...deps, telemetry, periodMs: 1, now: () => 7 })
}

async function untilCounted(updaters: readonly StatisticsUpdater[]): Promise<void> {
  while ((await Promise.all(updaters.map((updater) => updater.countNext()))).includes(true));
}
