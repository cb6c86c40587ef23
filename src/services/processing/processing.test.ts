import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { readConfig } from '../../config.ts'
import { isFailure } from '../../errors.ts'
import { CATALOGUE, type RunifyEvent, TOPICS } from '../../events/catalogue.ts'
import { encodeEvent } from '../../events/codec.ts'
import { MS_PER_DAY } from '../../events/instant.ts'
import { anyEvent } from '../../events/testing/event.arbitrary.ts'
import { DEAD_LETTER_TOPIC, decodeDeadLetter } from '../../log/dead-letter.ts'
import { EmbeddedLog } from '../../log/embedded/embedded-log.ts'
import { type Cursors, formatCursors, nextOf } from '../../log/position.ts'
import { encodeTombstone, FORGOTTEN_TOPIC } from '../../log/tombstone.ts'
import type { EventStore, StoredEvent } from '../../store/event-store.ts'
import { openSqliteStore } from '../../store/sqlite/sqlite-store.ts'
import { newPlay } from '../../store/testing/event-store.probe.ts'
import { createTelemetry } from '../../telemetry.ts'
import { StorageConsumer } from '../storage/consumer.ts'
import { Forgetter } from '../storage/forgetter.ts'
import { storageTelemetry } from '../storage/telemetry.ts'
import { foldEvents } from './fold.ts'
import { createProcessing } from './processing.ts'
import { toStatistics } from './rollup/rollup.ts'
import { StatisticsUpdater } from './statistics-updater.ts'
import { openSqliteStatistics } from './store/sqlite/sqlite-statistics.ts'
import type { StatisticsStore } from './store/statistics-store.ts'
import { processingTelemetry } from './telemetry.ts'
import { chosenEvents, recountDays, recountRecords } from './testing/days.reference.ts'
import { sumByBigInt } from './testing/exact-sum.reference.ts'
import { REFUSED_SONG, refuseSongInSqlite } from './testing/refused-song.fixture.ts'
import { answersOf } from './testing/statistics.probe.ts'
import { anyTurningInstant, anyZone } from './testing/zones.arbitrary.ts'

const telemetry = processingTelemetry(createTelemetry('processing', 'silent'))
const storing = storageTelemetry(createTelemetry('storage', 'silent'))
const WAIT = { interval: 2, timeout: 20_000 }
const EVERYTHING = 1_000_000

const USERS = [1, 2, 3].map((digit) => `0000000${digit}-6c54-4b01-90e6-d701748f0851`)
/** Days beside each other, around the epoch, and at both ends of the calendar. */
const DAYS = [-719_528, -2, -1, 0, 1, 2, 19_782, 19_783, 2_932_896]

const anyInstantOfDays = fc
  .tuple(fc.constantFrom(...DAYS), fc.oneof(fc.constantFrom(0, MS_PER_DAY - 1), fc.nat(MS_PER_DAY - 1)))
  .map(([day, ms]) => day * MS_PER_DAY + ms)
const anyWhen = fc.oneof(anyInstantOfDays, anyTurningInstant)
const fixed = { user_id: fc.constantFrom(...USERS), timestamp: anyWhen }
const anyText = fc.constantFrom('only my railgun', '𝄞', 'a')
const anyOfUs: fc.Arbitrary<RunifyEvent> = fc.oneof(
  anyEvent('running_stats', fixed),
  anyEvent('music_info', { ...fixed, song_name: anyText, artist: anyText, event_id: anyText }),
)
const anyEvents = fc.uniqueArray(anyOfUs, { selector: ({ trace_id }) => trace_id, minLength: 1, maxLength: 30 })

/** What happens one after the other; deliveries name events by their place, again and in any order. */
const anySteps = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ deliver: fc.array(fc.nat(29), { minLength: 1, maxLength: 15 }) }) },
    { weight: 3, arbitrary: fc.record({ count: fc.array(fc.nat(2), { minLength: 1, maxLength: 4 }) }) },
    { weight: 1, arbitrary: fc.constant({ look: true as const }) },
    // All of a user that was received up to when one of the events was.
    { weight: 1, arbitrary: fc.record({ forget: fc.constantFrom(...USERS), upTo: fc.nat(29) }) },
  ),
  { minLength: 3, maxLength: 20 },
)

const anyRange = fc.record(
  {
    user_id: fc.constantFrom(...USERS),
    from: fc.constantFrom(...DAYS),
    to: fc.constantFrom(...DAYS),
    time_zone: anyZone,
  },
  { requiredKeys: [] },
)
type Range = Parameters<StatisticsStore['totals']>[0]

const anyHistory = fc.record({
  events: anyEvents,
  steps: anySteps,
  ranges: fc.array(anyRange, { minLength: 1, maxLength: 8 }),
  partitions: fc.constantFrom(1, 3),
  batches: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
})

describe('Statistics', () => {
  test('equal a recount of what the store holds, however late, often and mixed up events come, and users go, at every moment', async (t) => {
    const history = fc.asyncProperty(anyHistory, async ({ events, steps, ranges, partitions, batches }) => {
      await using system = await openSystem({ partitions, batchRecordsMax: batches[0] })
      const { log, store, statistics } = system
      // Two that share a connection, and one with its own, as in another process.
      const updaters = [statistics[0], statistics[0], statistics[1]].map((its, index) =>
        countInto(its, store, batches[index] as number),
      )
      const delivered = new Set<RunifyEvent>()
      const forgotten = new Map<string, number>()
      const forgetter = new Forgetter({ log, store, telemetry: storing })
      for (const step of steps) {
        if ('deliver' in step) {
          const batch = step.deliver.map((place) => events[place % events.length] as RunifyEvent)
          for (const event of batch) delivered.add(event)
          await append(log, batch)
        } else if ('forget' in step) {
          const { date_created: forgotten_at } = events[step.upTo % events.length] as RunifyEvent
          const user_id = step.forget
          forgotten.set(user_id, Math.max(forgotten_at, forgotten.get(user_id) ?? forgotten_at))
          await log.append([encodeTombstone({ request_id: randomUUID(), user_id, forgotten_at })])
          await forgetter.catchUp()
        } else if ('count' in step)
          await Promise.all(step.count.map((index) => (updaters[index] as StatisticsUpdater).countNext()))
        else if (await knowsErasures(statistics[0], store))
          for (const range of [{}, ...ranges]) await assertRecount(statistics[0], store, range)
      }

      await stored(t, log, store)
      while (!(await covers(statistics[0], store))) await Promise.all(updaters.map((updater) => updater.countNext()))
      for (const range of [{}, ...USERS.map((user_id) => ({ user_id })), ...ranges]) {
        await assertRecount(statistics[1], store, range)
      }
      const { rollup } = await statistics[0].totals({})
      const left = [...delivered].filter(({ fields, date_created }) => {
        return date_created > (forgotten.get(fields.user_id) ?? Number.NEGATIVE_INFINITY)
      })
      assert.equal(rollup.runs + rollup.plays, left.length)
      await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-'))
      await using fresh = await openSqliteStatistics({ dir: folder.path })
      await fresh.fold({ from: [], to: [], parts: foldEvents(left), now: 0 })
      assert.deepEqual(await answersOf(statistics[1], USERS), await answersOf(fresh, USERS))
    })
    await fc.assert(history, { numRuns: 30 })
  })

  test('of nothing are counts of 0, and null for all else', async () => {
    await using system = await openSystem()
    assert.deepEqual(toStatistics((await system.statistics[0].totals({})).rollup), {
      num_running_stats: 0,
      num_music_info: 0,
      max_distance: null,
      max_duration: null,
      avg_run_duration: null,
      avg_song_duration: null,
      total_distance: null,
      total_run_duration: null,
      total_song_duration: null,
    })
  })

  test('cover what was counted and nothing that was stored later, and say so', async (t) => {
    await using system = await openSystem()
    const { log, store, statistics } = system
    const updater = countInto(statistics[0], store)
    assert.equal(await updater.countNext(), false)
    assert.deepEqual(await statistics[0].cursors(), [])
    await append(log, [run(1)])
    await stored(t, log, store)
    await updater.countNext()
    await append(log, [run(2)])
    await stored(t, log, store)
    const { rollup, cursors } = await statistics[0].totals({})
    assert.equal(rollup.runs, 1)
    assert.equal(formatCursors(cursors), 'runify.running_stats:0:1')
  })
})

describe('Counters', () => {
  test('that race for the same events count them once', async (t) => {
    await using system = await openSystem({ partitions: 3 })
    const { log, store, statistics } = system
    await append(
      log,
      Array.from({ length: 500 }, (_, index) => run(index)),
    )
    await stored(t, log, store)

    const before = await countedByMetric()
    const racers = [
      countInto(statistics[0], store, 7),
      countInto(statistics[1], store, 7),
      countInto(statistics[1], store, 11),
    ]
    while (!(await covers(statistics[0], store))) await Promise.all(racers.map((updater) => updater.countNext()))
    assert.equal((await statistics[0].totals({})).rollup.runs, 500)
    assert.equal((await countedByMetric()) - before, 500, 'what was folded in vain is in no metric either')
    await assertRecount(statistics[0], store, {})
  })

  test('stop at a store that is behind the statistics, and go on when it has caught up', async (t) => {
    await using full = await openSystem()
    await append(
      full.log,
      Array.from({ length: 10 }, (_, index) => run(index)),
    )
    await stored(t, full.log, full.store)
    const statistics = full.statistics[0]
    while (!(await covers(statistics, full.store))) await countInto(statistics, full.store).countNext()
    const counted = await statistics.totals({})

    await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-'))
    await using older = await openSqliteStore({ dir: folder.path })
    const updater = countInto(statistics, older)
    const copy = async (from: number, next: number) => {
      const { changes } = await full.store.changes({ after: [], limit: EVERYTHING })
      const events = changes.filter(({ offset }) => offset >= from && offset < next)
      await older.write({ type: 'running_stats', partition: 0, from, next, events })
    }
    const refuses = () => assert.rejects(updater.countNext(), (error) => isFailure(error, 'position_conflict'))

    await refuses()
    await copy(0, 4)
    await refuses()
    assert.deepEqual(await statistics.totals({}), counted)

    await copy(4, 10)
    assert.equal(await updater.countNext(), false)
    assert.deepEqual(await statistics.totals({}), counted)
    const later = run(10)
    await older.write({
      type: 'running_stats',
      partition: 0,
      from: 10,
      next: 11,
      events: [{ offset: 10, event: later }],
    })
    await updater.countNext()
    assert.equal((await statistics.totals({})).rollup.runs, 11)
    await assertRecount(statistics, older, {})
  })

  test('keep their last error until it is over, and try again by themselves', async (t) => {
    await using system = await openSystem()
    const { log, store, statistics } = system
    const to = [{ topic: CATALOGUE.running_stats.topic, partition: 0, next: 2 }]
    await statistics[0].fold({ from: [], to, parts: foldEvents([run(0), run(1)]), now: 0 })
    const updater = countInto(statistics[0], store)
    const stop = new AbortController()
    const running = updater.run(stop.signal)
    try {
      await t.waitFor(() => assert.ok(isFailure(updater.lastError, 'position_conflict')), WAIT)
      await append(log, [run(0), run(1), run(2)])
      await t.waitFor(() => assert.equal(updater.lastError, undefined), WAIT)
      await t.waitFor(() => assertRecount(statistics[0], store, {}), WAIT)
    } finally {
      stop.abort()
      await running
    }
    assert.equal((await statistics[0].totals({})).rollup.runs, 3)
  })
})

describe('A fold', () => {
  const topic = CATALOGUE.running_stats.topic
  const to = [
    { topic, partition: 0, next: 2 },
    { topic, partition: 1, next: 1 },
  ]

  test('that fails half way leaves rollups and cursors as they were', async () => {
    await using system = await openSystem()
    const [statistics] = system.statistics
    await statistics.fold({ from: [], to, parts: foldEvents([run(0), run(1)]), now: 1 })
    const before = await statistics.totals({})
    const parts = foldEvents([run(2)])
    // No column takes it, and it comes last: the others have been written by then.
    parts.hours = [{ type: 'running_stats', hour: 0.5, events: Number.NaN, fingerprint: 0 }]
    const further = to.map((cursor) => ({ ...cursor, next: cursor.next + 1 }))
    assert.equal((await statistics.fold({ from: to, to: further, parts, now: 2 })).kind, 'refused')
    assert.deepEqual(await statistics.totals({}), before)
  })

  test('writes nothing when one of its cursors has been moved by somebody else', async () => {
    await using system = await openSystem()
    const [statistics, other] = system.statistics
    const moved = [{ topic, partition: 1, next: 1 }]
    assert.equal((await other.fold({ from: [], to: moved, parts: foldEvents([run(0)]), now: 1 })).kind, 'folded')
    assert.equal(
      (await statistics.fold({ from: [], to, parts: foldEvents([run(0), run(1)]), now: 2 })).kind,
      'overtaken',
    )
    const { rollup, cursors, updated } = await statistics.totals({})
    assert.deepEqual({ runs: rollup.runs, cursors, updated }, { runs: 1, cursors: moved, updated: 1 })
  })
})

test('an event that the statistics refuse goes to the dead letters, and stops nothing', async (t) => {
  await using system = await openSystem()
  const { dir, log, store, statistics } = system
  refuseSongInSqlite(dir)
  const telemetry = processingTelemetry(createTelemetry('processing', 'silent'))
  const deps = { log, reader: store, statistics: statistics[0], config: quick(), telemetry }
  await using server = await createProcessing(deps)
  const address = await server.listen(0, 'PROCESSING_PORT')
  const refused = newPlay({ song_name: REFUSED_SONG })
  await append(log, [run(0), newPlay(), refused, run(1), newPlay()])
  const counted = async () => (await (await fetch(`${address}/stats`)).json()) as Record<string, unknown>
  await t.waitFor(async () => {
    const { num_running_stats, num_music_info, behind } = await counted()
    assert.deepEqual(
      { num_running_stats, num_music_info, behind },
      { num_running_stats: 2, num_music_info: 2, behind: 0 },
    )
  }, WAIT)
  assert.equal((await counted()).uncounted, 1)
  assert.equal((await fetch(`${address}/health/ready`)).status, 200)
  const records = await log.read({ topic: DEAD_LETTER_TOPIC, partition: 0, from: 0, limit: 10 })
  const letters = records.map(({ value }) => decodeDeadLetter(value))
  const { topic } = CATALOGUE.music_info
  assert.deepEqual(
    letters.map((letter) => [letter?.reason, letter?.topic, letter?.offset, letter?.record.key]),
    [['uncounted', topic, 1, refused.fields.user_id]],
  )
  assert.equal(letters[0]?.detail, "the statistics' database refuses what it adds: not this song")
  assert.deepEqual(letters[0]?.record.value, encodeEvent(refused))
  assert.match(await telemetry.metrics(), /runify_dead_letters_total\{reason="uncounted",service="processing"\} 1/)
})

describe('GET /stats', () => {
  test('says what it covers and how far it is behind, and counts up to the end of the log', async (t) => {
    await using system = await openSystem()
    const { log, store, statistics } = system
    await using server = await createProcessing({
      log,
      reader: store,
      statistics: statistics[0],
      config: quick(),
      telemetry,
    })
    const address = await server.listen(0, 'PROCESSING_PORT')
    const get = async (query = '') =>
      (await fetch(`${address}/stats${query}`)).json() as Promise<Record<string, unknown>>

    const empty = await get()
    assert.deepEqual(
      [empty.num_running_stats, empty.max_distance, empty.last_updated, empty.as_of],
      [0, null, null, []],
    )
    await append(log, [run(0), run(1), run(1), run(2)])
    await t.waitFor(async () => assert.equal((await get()).behind, 0), WAIT)
    const full = await get()
    assert.equal(full.num_running_stats, 3)
    assert.deepEqual(full.as_of, [{ topic: 'runify.running_stats', partition: 0, next: 4 }])
    assert.equal(new Date(full.last_updated as string).toISOString(), full.last_updated)
    assert.equal((await get(`?user_id=${USERS[1]}`)).num_running_stats, 1)
    assert.equal((await get('?from=1970-01-02&to=1970-01-02')).num_running_stats, 1)
  })

  test('refuses a range that ends before it begins', async () => {
    await using system = await openSystem()
    const { log, store, statistics } = system
    await using server = await createProcessing({
      log,
      reader: store,
      statistics: statistics[0],
      config: quick(),
      telemetry,
    })
    const address = await server.listen(0, 'PROCESSING_PORT')
    const response = await fetch(`${address}/stats?from=2024-05-02&to=2024-05-01`)
    const problem = (await response.json()) as { code: string; errors: { pointer: string }[] }
    assert.deepEqual([response.status, problem.code, problem.errors[0]?.pointer], [400, 'invalid_parameter', '/to'])
  })

  test('stays with what it counted, and is not ready, while the store is another one', async (t) => {
    await using system = await openSystem()
    const { log, store, statistics } = system
    const to = [{ topic: CATALOGUE.running_stats.topic, partition: 0, next: 1 }]
    await statistics[0].fold({ from: [], to, parts: foldEvents([run(0)]), now: 0 })
    await using server = await createProcessing({
      log,
      reader: store,
      statistics: statistics[0],
      config: quick(),
      telemetry,
    })
    const address = await server.listen(0, 'PROCESSING_PORT')
    await t.waitFor(async () => {
      const ready = await fetch(`${address}/health/ready`)
      assert.equal(ready.status, 503)
      assert.match(
        ((await ready.json()) as { detail: string }).detail,
        /runify\.running_stats:0 up to 1, the store only up to 0/,
      )
    }, WAIT)
    const statistic = (await (await fetch(`${address}/stats`)).json()) as { num_running_stats: number }
    assert.equal(statistic.num_running_stats, 1)
  })
})

/** Log, store and statistics in a folder of their own, with Storage's consumer at work until it is disposed. */
async function openSystem({ partitions = 1, batchRecordsMax = 100 } = {}) {
  await using opened = new AsyncDisposableStack()
  const { path: dir } = opened.use(await mkdtempDisposable(join(tmpdir(), 'runify-')))
  const log = opened.use(new EmbeddedLog({ dir, partitions }))
  const store = opened.use(await openSqliteStore({ dir }))
  const statistics = [
    opened.use(await openSqliteStatistics({ dir })),
    opened.use(await openSqliteStatistics({ dir })),
  ] as const
  const stop = new AbortController()
  const consuming = new StorageConsumer({ log, store, telemetry: storing, batchRecordsMax }).run(stop.signal)
  opened.defer(async () => {
    stop.abort()
    await consuming
  })
  const all = opened.move()
  return { dir, log, store, statistics, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

function countInto(statistics: StatisticsStore, reader: EventStore, batchRecordsMax = 100): StatisticsUpdater {
  return new StatisticsUpdater({
    reader,
    statistics,
    telemetry,
    periodMs: 10,
    batchRecordsMax,
    now: () => 1_700_000_000_000,
    setAside: () => assert.fail(),
  })
}

function quick() {
  return { ...readConfig({}), processingPeriodMs: 10 }
}

function run(index: number): RunifyEvent {
  return {
    type: 'running_stats',
    trace_id: `00000000-0000-8000-8000-${String(index).padStart(12, '0')}`,
    date_created: 0,
    fields: {
      user_id: USERS[index % USERS.length] as string,
      duration: index / 10,
      distance: index / 100,
      timestamp: index * MS_PER_DAY,
    },
  }
}

function append(log: EmbeddedLog, events: readonly RunifyEvent[]): Promise<void> {
  return log.append(
    events.map((event) => ({
      topic: CATALOGUE[event.type].topic,
      key: event.fields.user_id,
      value: encodeEvent(event),
    })),
  )
}

/** Waits until the store has all that the log has. */
async function stored(t: TestContext, log: EmbeddedLog, store: EventStore): Promise<void> {
  await t.waitFor(async () => {
    const cursors = await store.cursors()
    for (const topic of TOPICS) {
      for (const { partition, next } of await log.partitions(topic))
        assert.equal(nextOf(cursors, { topic, partition }), next)
    }
  }, WAIT)
}

async function covers(statistics: StatisticsStore, store: EventStore): Promise<boolean> {
  return formatCursors(await statistics.cursors()) === formatCursors(await store.cursors())
}

/** Whether all that was erased is out of the statistics too: only then can a recount of what is there be the same. */
async function knowsErasures(statistics: StatisticsStore, store: EventStore): Promise<boolean> {
  const erasures = (cursors: Cursors) => formatCursors(cursors.filter(({ topic }) => topic === FORGOTTEN_TOPIC))
  return erasures(await statistics.cursors()) === erasures(await store.cursors())
}

async function countedByMetric(): Promise<number> {
  return Number(/^runify_events_counted_total\S* (\d+)$/m.exec(await telemetry.metrics())?.[1])
}

/** Compares the statistics with a scan of the store, up to where they say that they go: every bit must be the same. */
async function assertRecount(statistics: StatisticsStore, store: EventStore, range: Range): Promise<void> {
  const { from: _, to: __, ...scope } = range
  const { rollup, cursors } = await statistics.totals(range)
  const { days, ...covered } = await statistics.daily({ ...range, limit: 10_000 })
  const { records, cursors: recorded } = await statistics.records(scope)
  // What lies below a cursor changes by erasures only, so it does not matter that the store may have moved on.
  const { changes } = await store.changes({ after: [], limit: EVERYTHING })
  const what = JSON.stringify(range)
  assert.deepEqual(toStatistics(rollup), recount(below(changes, cursors), range), `statistics of ${what}`)
  assert.deepEqual(days, recountDays(below(changes, covered.cursors), range), `days of ${what}`)
  assert.deepEqual(records, recountRecords(below(changes, recorded), scope), `records of ${what}`)
}

function below(changes: readonly StoredEvent[], cursors: Cursors): RunifyEvent[] {
  return changes
    .filter(
      ({ partition, offset, event }) => offset < nextOf(cursors, { topic: CATALOGUE[event.type].topic, partition }),
    )
    .map(({ event }) => event)
}

function recount(all: readonly RunifyEvent[], range: Range) {
  const events = chosenEvents(all, range)
  const runs = events.flatMap((event) => (event.type === 'running_stats' ? [event.fields] : []))
  const plays = events.flatMap((event) => (event.type === 'music_info' ? [event.fields] : []))
  const runDuration = sumByBigInt(runs.map(({ duration }) => duration))
  const songDuration = sumByBigInt(plays.map(({ song_duration }) => song_duration))
  const some = <T>(list: readonly unknown[], value: T) => (list.length === 0 ? null : value)
  return {
    num_running_stats: runs.length,
    num_music_info: plays.length,
    max_distance: some(runs, Math.max(...runs.map(({ distance }) => distance))),
    max_duration: some(runs, Math.max(...runs.map(({ duration }) => duration))),
    avg_run_duration: some(runs, runDuration / runs.length),
    avg_song_duration: some(plays, songDuration / plays.length),
    total_distance: some(runs, sumByBigInt(runs.map(({ distance }) => distance))),
    total_run_duration: some(runs, runDuration),
    total_song_duration: some(plays, songDuration),
  }
}
