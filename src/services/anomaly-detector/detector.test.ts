import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { readConfig } from '../../config.ts'
import { anyEvent } from '../../events/testing/event.arbitrary.ts'
import { type EncodedStates, type FoundAnomaly, type JudgedType, judgeEvents, type LoggedEvent } from './detector.ts'
import { countArrival, decodeState, emptyState, encodeState, RUN_FORM, remember } from './rules/user-state.ts'

const { anomalyThresholds } = readConfig({})
const thresholds = { ...anomalyThresholds, eventsPerMinute: 5 }
const BEGIN = Date.UTC(2024, 4, 1)
const USERS = [1, 2].map((digit) => `0000000${digit}-6c54-4b01-90e6-d701748f0851`)

const ours = {
  user_id: fc.constantFrom(...USERS),
  timestamp: fc.integer({ min: 0, max: 40 * 24 }).map((hour) => BEGIN + hour * 3_600_000),
  /** When all of it was sent, by devices whose clocks were right. */
  date_created: fc.constant(BEGIN + 41 * 86_400_000),
  /** Mostly of runs as they are. */
  duration: fc.oneof(fc.integer({ min: 0, max: 7200 }), fc.double({ min: 0, max: 31_536_000, noNaN: true })),
  trace_id: fc.integer({ min: 0, max: 150 }).map((n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`),
}
/** Some of them are repeats, and most overlap; now and then many come at once. */
const anyLogged = (type: JudgedType) =>
  fc
    .array(fc.tuple(anyEvent(type, ours), fc.constantFrom(0, 0, 0, 1000, 60_000)), { minLength: 1, maxLength: 200 })
    .map((sent) => {
      let appendTime = BEGIN + 41 * 86_400_000
      return sent.map(([event, laterMs], offset): LoggedEvent => {
        appendTime += laterMs
        return { offset, appendTime, event: event as LoggedEvent['event'] }
      })
    })

describe('Judging', () => {
  for (const type of ['running_stats', 'music_info'] as const) {
    test(`finds the same however the log is cut into batches: ${type}`, () => {
      fc.assert(
        fc.property(anyLogged(type), fc.array(fc.nat(200), { maxLength: 8 }), (events, cuts) => {
          const whole = judgeInBatches(type, events, [])
          const cut = judgeInBatches(type, events, cuts)
          assert.deepEqual(cut.found, whole.found)
          assert.deepEqual(cut.states, whole.states)
        }),
        { numRuns: 60 },
      )
    })
  }

  test('takes an event that is sent again for nothing', () => {
    const [events = []] = fc.sample(anyLogged('running_stats'), { numRuns: 1, seed: 3 })
    const first = judgeInBatches('running_stats', events, [])
    const again = judgeEvents('running_stats', events, { before: first.states, thresholds })
    const known = new Set(first.found.map(({ anomaly }) => anomaly.anomaly_id))
    assert.deepEqual(
      again.found.filter(({ anomaly }) => !known.has(anomaly.anomaly_id)),
      [],
    )
  })

  test('says the same of all others where runs that cannot be are among them', () => {
    const usual = fc.record({
      distance: fc.constantFrom(5000, 5100, 5200, 25_000),
      duration: fc.constantFrom(1800, 1900),
    })
    const farOff = fc.constantFrom(10, 5000, 90_000)
    const impossible = fc.oneof(
      fc.record({ distance: farOff, duration: fc.constant(1800), year: fc.constantFrom(0, 1970, 1979, 2030, 9999) }),
      fc.record({ distance: farOff, duration: fc.integer({ min: 604_801, max: 31_536_000 }) }),
    )
    const inTurn = fc.array(
      fc.oneof(
        usual.map((run) => ({ run, isImpossible: false })),
        impossible.map((run) => ({ run, isImpossible: true })),
      ),
      { minLength: 20, maxLength: 60, size: 'max' },
    )
    fc.assert(
      fc.property(inTurn, (sent) => {
        const events = sent.map(({ run, isImpossible }, n) => ({ logged: toRun(n, run), isImpossible }))
        const others = events.filter((event) => !event.isImpossible).map(({ logged }) => logged)
        const ids = new Set(others.map(({ event }) => event.trace_id))
        const all = findAll(events.map(({ logged }) => logged))
        assert.deepEqual(
          all.filter(({ trace_id }) => ids.has(trace_id)),
          findAll(others),
        )
        const told = new Set(all.map(({ trace_id }) => trace_id))
        for (const { logged, isImpossible } of events) assert.ok(!isImpossible || told.has(logged.event.trace_id))
      }),
    )
  })

  test('finds a burst once, and the next one after it has fallen to half', () => {
    const send = (count: number, at: number, first: number): LoggedEvent[] =>
      Array.from({ length: count }, (_, n) => {
        const trace_id = `00000000-0000-4000-8000-${String(first + n).padStart(12, '0')}`
        const timestamp = BEGIN + (first + n) * 3_600_000
        const fields = { user_id: USERS[0] as string, song_name: 'a', artist: 'b', song_duration: 100, timestamp }
        return {
          offset: first + n,
          appendTime: BEGIN + 1e9 + at * 1000 + n,
          event: { type: 'music_info', trace_id, date_created: BEGIN, fields },
        }
      })
    const events = [...send(5, 0, 0), ...send(3, 20, 5), ...send(2, 70, 8), ...send(2, 200, 10), ...send(6, 202, 12)]
    const bursts = judgeInBatches('music_info', events, []).found.map(({ offset, anomaly }) => [
      anomaly.anomaly_type,
      offset,
      anomaly.value,
    ])
    assert.deepEqual(bursts, [
      ['RateBurst', 5, 6],
      ['RateBurst', 15, 6],
    ])
  })
})

describe('What is remembered of a user', () => {
  const anyRun = fc.record(
    {
      trace_id: fc.uuid(),
      timestamp: fc.integer({ min: -62_167_219_200_000, max: 253_402_300_799_999 }),
      duration: fc.double({ min: 0, max: 31_536_000, noNaN: true }),
      distance: fc.double({ min: 0, max: 1e7, noNaN: true }),
    },
    { noNullPrototype: true },
  )

  test('is read back as it was written', () => {
    const anyArrivals = fc.array(
      fc.tuple(fc.nat(4_294_967_295), fc.nat(1_000_000)).map(([second, count]) => ({ second, count })),
      {
        maxLength: 60,
      },
    )
    fc.assert(
      fc.property(fc.array(anyRun, { maxLength: 30 }), anyArrivals, fc.boolean(), (events, arrivals, inBurst) => {
        const state = { events, arrivals, inBurst }
        assert.deepEqual(decodeState(encodeState(state, RUN_FORM), RUN_FORM), state)
      }),
    )
    assert.throws(() => decodeState(Uint8Array.of(9, 0, 0, 0), RUN_FORM), /version 9/)
  })

  test('is in order and bounded, the newest are kept, and one from the future does not push out the others', () => {
    fc.assert(
      fc.property(fc.array(anyRun, { maxLength: 60 }), (runs) => {
        const state = emptyState<(typeof runs)[number]>()
        const now = 1_700_000_000_000
        for (const run of runs) remember(state, run, { eventsMax: 10, ageMsMax: 1e12, now })
        const believable = runs.filter(({ timestamp }) => timestamp <= now + 86_400_000)
        const newest = Math.max(...believable.map(({ timestamp }) => timestamp))
        const expected = believable
          .filter(({ timestamp }) => timestamp >= newest - 1e12)
          .sort((a, b) => a.timestamp - b.timestamp || (a.trace_id < b.trace_id ? -1 : 1))
          .slice(-10)
        assert.deepEqual(state.events, expected)
      }),
    )
  })

  test('counts what came in this second and the 59 before it', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 30_000 }), { maxLength: 80 }), (gaps) => {
        const state = emptyState<never>()
        const times: number[] = []
        let now = 1e12
        for (const gap of gaps) {
          now += gap
          times.push(now)
          const from = (Math.floor(now / 1000) - 59) * 1000
          assert.equal(countArrival(state, now), times.filter((time) => time >= from).length)
          assert.ok(state.arrivals.length <= 60)
        }
      }),
    )
  })
})

/** A run a day, received when it began. */
function toRun(n: number, { year, ...run }: { distance: number; duration: number; year?: number }): LoggedEvent {
  const trace_id = `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
  const began = BEGIN + n * 86_400_000
  const timestamp = year === undefined ? began : new Date(BEGIN).setUTCFullYear(year)
  const fields = { user_id: USERS[0] as string, ...run, timestamp }
  const event = { type: 'running_stats' as const, trace_id, date_created: began, fields }
  return { offset: n, appendTime: began, event }
}

function findAll(events: readonly LoggedEvent[]) {
  const unhurried = { ...anomalyThresholds, eventsPerMinute: 1_000_000 }
  const { found } = judgeEvents('running_stats', events, { before: new Map(), thresholds: unhurried })
  return found.map(({ anomaly }) => anomaly)
}

function judgeInBatches(type: JudgedType, events: readonly LoggedEvent[], cuts: readonly number[]) {
  const ends = [...cuts.toSorted((a, b) => a - b), events.length]
  const found = new Map<string, FoundAnomaly>()
  const states = new Map<string, Uint8Array>()
  let begin = 0
  for (const end of ends) {
    const batch = events.slice(begin, end)
    begin = Math.max(begin, end)
    const judgement = judgeEvents(type, batch, { before: states as EncodedStates, thresholds })
    for (const [user, state] of judgement.states) states.set(user, state)
    // As the store does: what is there stays.
    for (const one of judgement.found) if (!found.has(one.anomaly.anomaly_id)) found.set(one.anomaly.anomaly_id, one)
  }
  return { found: [...found.values()], states }
}
