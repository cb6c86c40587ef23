import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { CATALOGUE, EVENT_TYPES, type RunifyEvent } from '../../../events/catalogue.ts'
import { dayOf, formatDay, MS_PER_DAY, MS_PER_HOUR, parseDay } from '../../../events/instant.ts'
import { anyEvent, anyInstant } from '../../../events/testing/event.arbitrary.ts'
import { type Cursors, formatCursors, nextOf, type PartitionCursor } from '../../../log/position.ts'
import type { Totals } from '../days/day-statistics.ts'
import { foldDays } from '../days/quarter-hours.ts'
import { foldEvents } from '../fold.ts'
import type { CountedHour } from '../hourly-counts/counted-hours.ts'
import { EMPTY_ROLLUP, toStatistics } from '../rollup/rollup.ts'
import type { StatisticsStore } from '../store/statistics-store.ts'
import { chosenEvents, recountDays, recountRecords } from './days.reference.ts'
import { erasingContract } from './erasing.contract.ts'
import { playedContract } from './played.contract.ts'
import { shadowContract } from './shadow.contract.ts'
import { uncountedContract } from './uncounted.contract.ts'
import { usersContract } from './users.contract.ts'
import { anyTurningInstant, anyZone, HARD_ZONES } from './zones.arbitrary.ts'

/** A fresh place for statistics. Disposing of it closes every instance of the place and removes what is in it. */
export type OpenedStatistics = AsyncDisposable & {
  statistics: StatisticsStore
  /** Another instance on the same place. */
  openAgain(): Promise<StatisticsStore>
  /** Has the database refuse what is counted of `REFUSED_SONG` from now on. */
  refuseSong(): Promise<void>
}

export type StatisticsAdapter = { name: string; open(): Promise<OpenedStatistics> }

/** What every store of statistics does, whatever it is made of. */
export function statisticsStoreContract(adapter: StatisticsAdapter): void {
  describe(`statistics store: ${adapter.name}`, () => {
    describe('fold', () => foldContract(adapter))
    describe('totals', () => totalsContract(adapter))
    describe('days and records', () => daysContract(adapter))
    describe('hours', () => hoursContract(adapter))
    describe('played', () => playedContract(adapter))
    describe('users', () => usersContract(adapter))
    describe('shadow statistics', () => shadowContract(adapter))
    describe('erase', () => erasingContract(adapter))
    describe('what cannot be counted', () => uncountedContract(adapter))
    describe('several instances', () => instanceContract(adapter))
  })
}

const [RUNS, PLAYS] = EVENT_TYPES.map((type) => CATALOGUE[type].topic) as [string, string]
const USERS = [1, 2, 3].map((digit) => `0000000${digit}-6c54-4b01-90e6-d701748f0851`)
/** Days beside each other, around the epoch, and at both ends of the calendar. */
const DAYS = [-719_528, -1, 0, 1, 19_782, 2_932_896]

const ours = {
  user_id: fc.constantFrom(...USERS),
  timestamp: fc.tuple(fc.constantFrom(...DAYS), fc.nat(MS_PER_DAY - 1)).map(([day, ms]) => day * MS_PER_DAY + ms),
}
const anyRunOrPlay = fc.oneof(anyEvent('running_stats', ours), anyEvent('music_info', ours))

function manyEvents(count: number, seed = 1): RunifyEvent[] {
  return fc.sample(anyRunOrPlay, { numRuns: count, seed })
}

function cursor(topic: string, partition: number, next: number): PartitionCursor {
  return { topic, partition, next }
}

function foldContract({ open }: StatisticsAdapter): void {
  test('adds to what is there, and moves the cursors with it', async () => {
    await using place = await open()
    const { statistics } = place
    await statistics.checkReady()
    assert.deepEqual(await statistics.cursors(), [])
    assert.deepEqual(await statistics.totals({}), {
      rollup: EMPTY_ROLLUP,
      cursors: [],
      updated: undefined,
      uncounted: 0,
    })

    const [first, second] = [manyEvents(40, 1), manyEvents(40, 2)]
    const [half, whole] = [[cursor(RUNS, 0, 40)], [cursor(RUNS, 0, 60), cursor(PLAYS, 3, 20)]]
    assert.equal((await statistics.fold({ from: [], to: half, parts: foldEvents(first), now: 5 })).kind, 'folded')
    assert.deepEqual(await statistics.cursors(), half)
    assert.equal((await statistics.fold({ from: half, to: whole, parts: foldEvents(second), now: 7 })).kind, 'folded')
    const totals = await statistics.totals({})
    assert.equal(formatCursors(totals.cursors), formatCursors(whole))
    assert.equal(totals.updated, 7)
    assert.deepEqual(toStatistics(totals.rollup), recount([...first, ...second], {}))
  })

  test('keeps the time of the last change when there is nothing to add', async () => {
    await using place = await open()
    const { statistics } = place
    const [one, two] = [[cursor(RUNS, 0, 1)], [cursor(RUNS, 0, 9)]]
    await statistics.fold({ from: [], to: one, parts: foldEvents(manyEvents(1)), now: 5 })
    assert.equal((await statistics.fold({ from: one, to: two, parts: foldEvents([]), now: 8 })).kind, 'folded')
    const { cursors, updated } = await statistics.totals({})
    assert.deepEqual({ cursors, updated }, { cursors: two, updated: 5 })
  })

  test('begins anew after clear, also for those who had it open before', async () => {
    await using place = await open()
    const other = await place.openAgain()
    const to = [cursor(RUNS, 0, 20)]
    const parts = foldEvents(manyEvents(20))
    await other.fold({ from: [], to, parts, now: 5 })
    await place.statistics.clear()
    for (const statistics of [place.statistics, other]) {
      assert.deepEqual(await statistics.totals({}), {
        rollup: EMPTY_ROLLUP,
        cursors: [],
        updated: undefined,
        uncounted: 0,
      })
    }
    assert.equal((await other.fold({ from: to, to: [cursor(RUNS, 0, 30)], parts, now: 6 })).kind, 'overtaken')
    assert.equal((await other.fold({ from: [], to, parts, now: 7 })).kind, 'folded')
    assert.deepEqual(toStatistics((await place.statistics.totals({})).rollup), recount(manyEvents(20), {}))
  })

  test('writes nothing when a cursor is not where the reader began', async () => {
    await using place = await open()
    const { statistics } = place
    const parts = foldEvents(manyEvents(20))
    const at = [cursor(RUNS, 0, 3), cursor(RUNS, 1, 5)]
    await statistics.fold({ from: [], to: at, parts, now: 1 })
    const before = await statistics.totals({})
    const further = [cursor(RUNS, 0, 9), cursor(RUNS, 1, 9)]
    for (const from of [[], [cursor(RUNS, 0, 3)], [cursor(RUNS, 0, 3), cursor(RUNS, 1, 4)]]) {
      assert.equal((await statistics.fold({ from, to: further, parts, now: 2 })).kind, 'overtaken')
    }
    assert.equal(
      (await statistics.fold({ from: [cursor(PLAYS, 0, 1)], to: [cursor(PLAYS, 0, 2)], parts, now: 2 })).kind,
      'overtaken',
    )
    assert.deepEqual(await statistics.totals({}), before)
    assert.equal((await statistics.fold({ from: at, to: further, parts, now: 2 })).kind, 'folded')
  })

  test('takes some thousands of users at once', async () => {
    await using place = await open()
    const { statistics } = place
    const events = Array.from({ length: 6000 }, (_, index) => runOf(index))
    const [half, whole] = [[cursor(RUNS, 0, 6000)], [cursor(RUNS, 0, 12_000)]]
    await statistics.fold({ from: [], to: half, parts: foldEvents(events), now: 1 })
    await statistics.fold({ from: half, to: whole, parts: foldEvents(events), now: 1 })
    assert.equal((await statistics.totals({})).rollup.runs, 12_000)
    for (const index of [0, 999, 1000, 5999]) {
      const { user_id } = runOf(index).fields
      const { rollup } = await statistics.totals({ user_id, from: 0, to: 0 })
      assert.deepEqual([rollup.runs, rollup.max_distance], [2, index])
    }
  })
}

function totalsContract({ open }: StatisticsAdapter): void {
  test('are those of a user, of everybody, of days', async () => {
    await using place = await open()
    const { statistics } = place
    const events = manyEvents(200)
    for (const [index, some] of [events.slice(0, 90), events.slice(90)].entries()) {
      const from = index === 0 ? [] : [cursor(RUNS, 0, 1)]
      await statistics.fold({ from, to: [cursor(RUNS, 0, index + 1)], parts: foldEvents(some), now: 1 })
    }
    const range = fc.record(
      { user_id: fc.constantFrom(...USERS), from: fc.constantFrom(...DAYS), to: fc.constantFrom(...DAYS) },
      { requiredKeys: [] },
    )
    await fc.assert(
      fc.asyncProperty(range, async (of) => {
        assert.deepEqual(toStatistics((await statistics.totals(of)).rollup), recount(events, of))
      }),
    )
    assert.deepEqual((await statistics.totals({ user_id: '0'.repeat(8) + USERS[0]?.slice(8) })).rollup, EMPTY_ROLLUP)
  })

  test('have every bit of sums that no double holds', async () => {
    await using place = await open()
    const distances = [1e7, 5e-324, 0.1, 2.2250738585072014e-308, 1e-20, 9_999_999.999_999_998]
    const events = distances.map((distance) => ({ ...runOf(0), fields: { ...runOf(0).fields, distance } }))
    let from: Cursors = []
    for (const [index, event] of events.entries()) {
      const to = [cursor(RUNS, 0, index + 1)]
      await place.statistics.fold({ from, to, parts: foldEvents([event]), now: 1 })
      from = to
    }
    const again = await place.openAgain()
    const { rollup } = await again.totals({})
    assert.equal(toStatistics(rollup).total_distance, recount(events, {}).total_distance)
    assert.equal(rollup.max_distance, 1e7)
  })

  test('are of one moment, whatever is folded meanwhile', async () => {
    await using place = await open()
    const other = await place.openAgain()
    let done = false
    const folding = (async () => {
      let from: Cursors = []
      for (let next = 1; next <= 100; next++) {
        const to = [cursor(RUNS, 0, next)]
        assert.equal((await other.fold({ from, to, parts: foldEvents([runOf(next)]), now: next })).kind, 'folded')
        from = to
      }
      done = true
    })()
    const consistent = ({ rollup, cursors, updated }: Totals) => {
      const next = nextOf(cursors, { topic: RUNS, partition: 0 })
      assert.deepEqual([rollup.runs, updated ?? 0], [next, next])
    }
    while (!done) {
      consistent(await place.statistics.totals({}))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await folding
    consistent(await place.statistics.totals({}))
  })
}

function daysContract({ open }: StatisticsAdapter): void {
  const anyOfZones = fc.uniqueArray(
    fc.oneof(
      anyEvent('running_stats', {
        ...ours,
        timestamp: anyTurningInstant,
        distance: fc.constantFrom(0, 1.1, 5000.3, 42_200),
      }),
      anyEvent('music_info', { ...ours, timestamp: anyTurningInstant }),
    ),
    { selector: ({ trace_id }) => trace_id, minLength: 60, maxLength: 120 },
  )
  const anyAsked = fc.record(
    {
      user_id: fc.constantFrom(...USERS),
      from: anyTurningInstant.map(dayOf),
      to: anyTurningInstant.map(dayOf),
      time_zone: anyZone,
    },
    { requiredKeys: [] },
  )
  const folded = async (statistics: StatisticsStore, events: readonly RunifyEvent[]) => {
    let from = await statistics.cursors()
    const size = Math.ceil(events.length / 3)
    for (let begin = 0; begin < events.length; begin += size) {
      const to = [cursor(RUNS, 0, nextOf(from, { topic: RUNS, partition: 0 }) + size)]
      await statistics.fold({ from, to, parts: foldEvents(events.slice(begin, begin + size)), now: 1 })
      from = to
    }
  }

  test('are those of a recount, in any zone', async () => {
    await using place = await open()
    const [events = []] = fc.sample(anyOfZones, { numRuns: 1, seed: 5 })
    await folded(place.statistics, events)
    const property = fc.asyncProperty(anyAsked, async (asked) => {
      const { statistics } = place
      const { rollup } = await statistics.totals(asked)
      assert.deepEqual(toStatistics(rollup), recountTotals(chosenEvents(events, asked)))
      const { days, more } = await statistics.daily({ ...asked, limit: 10_000 })
      assert.deepEqual({ days, more }, { days: recountDays(events, asked), more: false })
      const { from: _, to: __, ...scope } = asked
      assert.deepEqual((await statistics.records(scope)).records, recountRecords(events, scope))
    })
    await fc.assert(property, { numRuns: 60 })
  })

  test('know days of 23 and 25 hours, quarters of an hour, a day left out, and one that goes on after the next began', async () => {
    await using place = await open()
    const { statistics } = place
    const zones: [string, [instant: string, day: string][]][] = [
      [
        'Europe/Berlin',
        [
          ['2024-03-30T23:00:00Z', '2024-03-31'],
          ['2024-03-31T21:59:59Z', '2024-03-31'],
          ['2024-03-31T22:00:00Z', '2024-04-01'],
          ['2024-10-26T22:00:00Z', '2024-10-27'],
          ['2024-10-27T22:59:59Z', '2024-10-27'],
          ['2024-10-27T23:00:00Z', '2024-10-28'],
        ],
      ],
      [
        'Asia/Kathmandu',
        [
          ['2024-05-01T18:14:59.999Z', '2024-05-01'],
          ['2024-05-01T18:15:00Z', '2024-05-02'],
        ],
      ],
      [
        'America/St_Johns',
        [
          ['2006-10-29T02:30:30Z', '2006-10-29'],
          ['2006-10-29T02:50:00Z', '2006-10-28'],
          ['2006-10-29T03:30:00Z', '2006-10-29'],
        ],
      ],
      [
        'Pacific/Apia',
        [
          ['2011-12-30T09:59:59Z', '2011-12-29'],
          ['2011-12-30T10:00:00Z', '2011-12-31'],
        ],
      ],
    ]
    const events = zones.flatMap(([, its], zone) =>
      its.map(([instant], index) => {
        const run = runOf(zone * 100 + index)
        return {
          ...run,
          fields: { ...run.fields, user_id: runOf(zone).fields.user_id, timestamp: Date.parse(instant) },
        }
      }),
    )
    await folded(statistics, events)
    for (const [zone, [time_zone, its]] of zones.entries()) {
      const asked = { user_id: runOf(zone).fields.user_id, time_zone }
      const { days } = await statistics.daily({ ...asked, limit: 10 })
      const expected = Object.entries(Object.groupBy(its, ([, day]) => day))
      const found = days.map(({ day, num_running_stats }) => [formatDay(day), num_running_stats])
      assert.deepEqual(
        found,
        expected.sort().map(([day, some]) => [day, some?.length]),
        time_zone,
      )
      for (const { day, num_running_stats } of days) {
        const { rollup } = await statistics.totals({ ...asked, from: day, to: day })
        assert.equal(rollup.runs, num_running_stats)
      }
      const { records } = await statistics.records(asked)
      if (time_zone !== 'Pacific/Apia') continue
      assert.deepEqual(records.longest_streak_days, { length: 2, begin: '2011-12-29', end: '2011-12-31' })
      const inUtc = await statistics.records({ user_id: asked.user_id })
      assert.deepEqual(inUtc.records.longest_streak_days, { length: 1, begin: '2011-12-30', end: '2011-12-30' })
    }
  })

  test('can be written and asked for, whenever an event began and whatever the zone', async () => {
    await using place = await open()
    const { statistics } = place
    const timestamp = fc.oneof(anyInstant, anyTurningInstant)
    const anyRuns = fc.array(anyEvent('running_stats', { ...ours, timestamp }), { minLength: 100, maxLength: 100 })
    const [events = []] = fc.sample(anyRuns, { numRuns: 1, seed: 8 })
    const ends = ['0000-01-01T00:00:00Z', '9999-12-31T23:59:59.999Z'].map((text, index) => {
      const run = runOf(index)
      return { ...run, fields: { ...run.fields, user_id: USERS[0] as string, timestamp: Date.parse(text) } }
    })
    await folded(statistics, [...events, ...ends])
    const isDay = (text: string) => parseDay(text) !== undefined
    for (const time_zone of ['Asia/Tokyo', 'America/New_York', ...HARD_ZONES]) {
      const scope = { user_id: USERS[0] as string, time_zone }
      const { days } = await statistics.daily({ ...scope, limit: 10_000 })
      assert.deepEqual(
        days.filter(({ day }) => !isDay(formatDay(day))).map(({ day }) => formatDay(day)),
        [],
        time_zone,
      )
      for (const { day, num_running_stats } of [days[0], days.at(-1)].flatMap((one) => one ?? [])) {
        const { rollup } = await statistics.totals({ ...scope, from: day, to: day })
        assert.equal(rollup.runs, num_running_stats, `${time_zone} ${formatDay(day)}`)
        const asked = await statistics.daily({ ...scope, from: day, to: day, limit: 10 })
        assert.deepEqual(
          asked.days.map((row) => [row.day, row.num_running_stats]),
          [[day, num_running_stats]],
        )
      }
      const { records } = await statistics.records(scope)
      const { longest_streak_days, longest_streak_weeks, best_week, best_month } = records
      for (const period of [longest_streak_days, longest_streak_weeks, best_week, best_month]) {
        assert.ok(period !== null && isDay(period.begin) && isDay(period.end), `${time_zone} ${JSON.stringify(period)}`)
      }
    }
  })

  test('of a week at either end of the calendar end with it', async () => {
    await using place = await open()
    const at = (index: number, text: string): RunifyEvent => {
      const run = runOf(index)
      return { ...run, fields: { ...run.fields, user_id: USERS[index] as string, timestamp: Date.parse(text) } }
    }
    await folded(place.statistics, [at(0, '0000-01-01T00:00:00Z'), at(1, '9999-12-31T23:59:59.999Z')])
    for (const [user_id, begin, end] of [
      [USERS[0], '0000-01-01', '0000-01-02'],
      [USERS[1], '9999-12-27', '9999-12-31'],
    ] as const) {
      for (const time_zone of [undefined, 'Asia/Tokyo', 'America/New_York']) {
        const { records } = await place.statistics.records({ user_id, time_zone })
        assert.deepEqual(records.longest_streak_weeks, { length: 1, begin, end }, `${time_zone}`)
      }
    }
  })

  test('come in pages that leave nothing out', async () => {
    await using place = await open()
    const [events = []] = fc.sample(anyOfZones, { numRuns: 1, seed: 6 })
    await folded(place.statistics, events)
    for (const asked of [{}, { user_id: USERS[1], time_zone: 'America/St_Johns' }, { time_zone: 'Pacific/Apia' }]) {
      for (const limit of [1, 3]) {
        const found: unknown[] = []
        for (let from: number | undefined, more = true; more; ) {
          const page = await place.statistics.daily({ ...asked, from, limit })
          assert.ok(page.days.length <= limit)
          found.push(...page.days)
          from = (page.days.at(-1)?.day ?? 0) + 1
          more = page.more
        }
        assert.deepEqual(found, recountDays(events, asked))
      }
    }
  })

  test('are never those of before: not after a fold by another instance, nor after all was counted anew', async () => {
    await using place = await open()
    const other = await place.openAgain()
    const [events = []] = fc.sample(anyOfZones, { numRuns: 1, seed: 7 })
    const asked = { user_id: USERS[0], time_zone: 'Asia/Kathmandu' }
    const check = async (counted: readonly RunifyEvent[]) => {
      for (const statistics of [place.statistics, place.statistics, other]) {
        const { days, cursors } = await statistics.daily({ ...asked, limit: 1000 })
        const { records, cursors: same } = await statistics.records(asked)
        assert.deepEqual(days, recountDays(counted, asked))
        assert.deepEqual(records, recountRecords(counted, asked))
        const covered = await statistics.cursors()
        assert.deepEqual([cursors, same], [covered, covered])
      }
    }
    for (let count = 10; count <= 40; count += 10) {
      await folded(count % 20 === 0 ? other : place.statistics, events.slice(count - 10, count))
      await check(events.slice(0, count))
    }
    await other.clear()
    await check([])
    await folded(other, events.slice(40, 60))
    await check(events.slice(40, 60))
  })
}

function hoursContract({ open }: StatisticsAdapter): void {
  test('are those in which the events were received, with a fingerprint of their ids', async () => {
    await using place = await open()
    const { statistics } = place
    const anyReceived = fc
      .tuple(anyRunOrPlay, fc.integer({ min: -3, max: 5 }), fc.nat(MS_PER_HOUR - 1))
      .map(([event, hour, ms]) => ({ ...event, date_created: hour * MS_PER_HOUR + ms }))
    const events = fc.sample(anyReceived, { numRuns: 200, seed: 3 }) as RunifyEvent[]
    let from: Cursors = []
    for (const [index, some] of [events.slice(0, 70), events.slice(70)].entries()) {
      const to = [cursor(RUNS, 0, index + 1)]
      await statistics.fold({ from, to, parts: foldEvents(some), now: 1 })
      from = to
    }
    const expected = EVENT_TYPES.flatMap((type) =>
      [-3, -2, -1, 0, 1, 2, 3, 4, 5].map((hour) => {
        const its = events.filter(
          (event) => event.type === type && Math.floor(event.date_created / MS_PER_HOUR) === hour,
        )
        const sum = its.reduce((total, { trace_id }) => total + BigInt(`0x${trace_id.slice(-12)}`), 0n)
        return { type, hour, events: its.length, fingerprint: Number(sum % 2n ** 48n) }
      }),
    ).filter((counted) => counted.events > 0)
    const byHour = (a: CountedHour, b: CountedHour) => a.hour - b.hour || (a.type < b.type ? -1 : 1)
    assert.deepEqual(await statistics.hours({ from: -99, to: 99 }), {
      hours: expected.sort(byHour),
      uncounted: { hours: [], events: [] },
      cursors: from,
    })
    const { hours } = await statistics.hours({ from: -1, to: 4 })
    assert.deepEqual(
      hours,
      expected.filter(({ hour }) => hour >= -1 && hour < 4),
    )
  })
}

function instanceContract({ open }: StatisticsAdapter): void {
  test('count everything once, however many fold the same feed at the same time', async () => {
    await using place = await open()
    const events = manyEvents(600)
    const partitions = [0, 1, 2].map((partition) => events.filter((_, index) => index % 3 === partition))
    const instances = [place.statistics, place.statistics, await place.openAgain(), await place.openAgain()]
    const folded = await Promise.all(instances.map((statistics, index) => foldAll(statistics, partitions, 7 + index)))
    assert.equal(
      folded.reduce((sum, count) => sum + count),
      events.length,
    )
    for (const of of [{}, ...USERS.map((user_id) => ({ user_id })), { from: DAYS[1], to: DAYS[3] }]) {
      assert.deepEqual(toStatistics((await place.statistics.totals(of)).rollup), recount(events, of))
    }
  })

  test('loses nothing when two fold other partitions at the same time into a place where nothing is', async () => {
    for (let round = 0; round < 5; round++) {
      await using place = await open()
      const instances = [place.statistics, await place.openAgain()]
      const fold = (statistics: StatisticsStore, partition: number) =>
        statistics.fold({ from: [], to: [cursor(RUNS, partition, 1)], parts: foldEvents([runOf(1)]), now: 1 })
      assert.deepEqual(await Promise.all(instances.map(fold)), [{ kind: 'folded' }, { kind: 'folded' }])
      assert.equal((await place.statistics.totals({})).rollup.runs, 2)
    }
  })

  test('may be closed twice, and keeps everything', async () => {
    await using place = await open()
    await place.statistics.fold({ from: [], to: [cursor(RUNS, 0, 1)], parts: foldEvents([runOf(1)]), now: 1 })
    const before = await place.statistics.totals({})
    await place.statistics[Symbol.asyncDispose]()
    await place.statistics[Symbol.asyncDispose]()
    assert.deepEqual(await (await place.openAgain()).totals({}), before)
  })
}

/** Folds pages of all partitions until there is nothing more. Gives how many events were its own to fold. */
async function foldAll(
  statistics: StatisticsStore,
  partitions: readonly RunifyEvent[][],
  size: number,
): Promise<number> {
  for (let folded = 0; ; ) {
    const from = await statistics.cursors()
    const pages = partitions.map((events, partition) => {
      const begin = nextOf(from, { topic: RUNS, partition })
      return {
        events: events.slice(begin, begin + size),
        to: cursor(RUNS, partition, Math.min(begin + size, events.length)),
      }
    })
    const some = pages.filter(({ events }) => events.length > 0)
    if (some.length === 0) return folded
    const events = some.flatMap((page) => page.events)
    const to = some.map((page) => page.to)
    const { kind } = await statistics.fold({ from, to, parts: foldEvents(events), now: 1 })
    if (kind === 'folded') folded += events.length
  }
}

function runOf(index: number): RunifyEvent<'running_stats'> {
  const digits = String(index).padStart(12, '0')
  const fields = {
    user_id: `${digits.slice(4)}-6c54-4b01-90e6-d701748f0851`,
    duration: 1,
    distance: index,
    timestamp: 0,
  }
  return { type: 'running_stats', trace_id: `00000000-0000-8000-8000-${digits}`, date_created: 0, fields }
}

function recount(events: readonly RunifyEvent[], asked: Parameters<StatisticsStore['totals']>[0]) {
  return recountTotals(chosenEvents(events, asked))
}

/** All of the events folded at once: sums are exact, so in any order and grouping it is the same. */
function recountTotals(events: readonly RunifyEvent[]) {
  return toStatistics(foldDays(events).scopes.find((scope) => scope.user_id === undefined)?.total ?? EMPTY_ROLLUP)
}
