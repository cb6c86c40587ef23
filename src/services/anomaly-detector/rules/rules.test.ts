import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { readConfig } from '../../../config.ts'
import { findOutlier } from './baseline.ts'
import {
  type Finding,
  type ImpossibilityRule,
  PLAY_IMPOSSIBILITIES,
  PLAY_RULES,
  RUN_IMPOSSIBILITIES,
  RUN_RULES,
  type Rule,
} from './rules.ts'
import type { KnownPlay, KnownRun, Remembered } from './user-state.ts'
import { recordPace, WORLD_RECORDS } from './world-records.ts'

const { anomalyThresholds: thresholds } = readConfig({})
const BEGIN = Date.UTC(2024, 4, 1)
const DAY_MS = 86_400_000

let ids = 0
const newId = () => `00000000-0000-4000-8000-${String(++ids).padStart(12, '0')}`
const runAt = (day: number, run: Partial<KnownRun> = {}): KnownRun => {
  return { trace_id: newId(), timestamp: BEGIN + day * DAY_MS, duration: 1800, distance: 5000, ...run }
}
const playAt = (second: number, song_duration = 200): KnownPlay => {
  return { trace_id: newId(), timestamp: BEGIN + second * 1000, song_duration }
}

function judge<E extends Remembered>(rules: readonly Rule<E>[], event: E, known: readonly E[] = []): Finding[] {
  const inOrder = known.toSorted((a, b) => a.timestamp - b.timestamp)
  return rules.flatMap((rule) => rule(event, inOrder, thresholds))
}
function judgeAlone<E extends Remembered>(
  rules: readonly ImpossibilityRule<E>[],
  event: E,
  received: number,
): Finding[] {
  return rules.flatMap((rule) => rule(event, received, thresholds))
}
const typesOf = (findings: readonly Finding[]) => findings.map(({ anomaly_type }) => anomaly_type)
const judgeRun = (run: KnownRun, known: readonly KnownRun[] = []) => typesOf(judge(RUN_RULES, run, known))

describe('The pace of world records', () => {
  test('is that of the record at each record distance', () => {
    for (const { metres, seconds } of WORLD_RECORDS) {
      assert.ok(Math.abs(recordPace(metres) - (seconds / metres) * 1000) < 1e-9)
    }
  })

  test('never gets faster over a longer distance, and the time never shorter', () => {
    const anyDistance = fc.double({ min: 1, max: 1e7, noNaN: true })
    fc.assert(
      fc.property(anyDistance, anyDistance, (a, b) => {
        const [short, long] = [Math.min(a, b), Math.max(a, b)]
        assert.ok(recordPace(short) <= recordPace(long))
        assert.ok(recordPace(short) * short <= recordPace(long) * long)
      }),
    )
  })

  test('lets a world record pass, and finds what is a little faster than believable', () => {
    for (const { metres: distance, seconds } of WORLD_RECORDS) {
      assert.ok(!judgeRun(runAt(0, { distance, duration: seconds })).includes('ImpossiblePace'), `${distance}`)
      assert.ok(judgeRun(runAt(0, { distance, duration: seconds * 0.97 })).includes('ImpossiblePace'), `${distance}`)
    }
    assert.ok(judgeRun(runAt(0, { distance: 1e-300, duration: 0 })).includes('ImpossiblePace'))
    assert.ok(!judgeRun(runAt(0, { distance: 0, duration: 0 })).includes('ImpossiblePace'))
  })
})

describe('Overlapping runs', () => {
  const other = runAt(0)
  const after = (seconds: number, duration = 1800) => runAt(0, { timestamp: BEGIN + seconds * 1000, duration })

  test('are found from either side and from within, and not what is within the tolerance', () => {
    assert.deepEqual(judgeRun(after(1739), [other]), ['OverlappingRun'])
    assert.deepEqual(judgeRun(after(1740), [other]), [])
    assert.deepEqual(judgeRun(after(-1739), [other]), ['OverlappingRun'])
    assert.deepEqual(judgeRun(after(-1740), [other]), [])
    assert.deepEqual(judgeRun(after(600, 900), [other, runAt(-1), runAt(1)]), ['OverlappingRun'])
    assert.deepEqual(judgeRun(after(1900), [other]), [])
  })

  test('name the one with which there is most', () => {
    const [finding] = judge(RUN_RULES, after(600), [after(-1500), other, after(2300)])
    assert.equal(finding?.value, 1200)
    assert.match(finding?.description ?? '', new RegExp(other.trace_id))
  })

  test('do not go on for months after a run that claims to', () => {
    const months = runAt(0, { duration: 60 * 86_400, distance: 3e6 })
    assert.ok(judgeRun(months, [runAt(3)]).includes('OverlappingRun'), 'it is found itself')
    assert.deepEqual(judgeRun(runAt(5), [months]), [])
  })
})

describe("A runner's own past", () => {
  const usual = (count: number) =>
    Array.from({ length: count }, (_, n) => runAt(-n - 1, { distance: 5000 + 100 * (n % 7), duration: 1800 + n }))

  test('says nothing before there are 10 runs, of the 90 days before', () => {
    const far = runAt(0, { distance: 20_000, duration: 7200 })
    assert.deepEqual(judgeRun(far, usual(9)), [])
    assert.deepEqual(judgeRun(far, usual(10)), ['UnusualDistance'])
    const long = usual(10).map((run) => ({ ...run, timestamp: run.timestamp - 85 * DAY_MS }))
    assert.deepEqual(judgeRun(far, long), [], 'half of them are too old')
    const later = usual(10).map((run) => ({ ...run, timestamp: run.timestamp + 30 * DAY_MS }))
    assert.deepEqual(judgeRun(far, later), [], 'they come after it')
  })

  test('finds what is far too far, near, fast or slow, and not what is a little', () => {
    const known = usual(30)
    assert.deepEqual(judgeRun(runAt(0, { distance: 9000, duration: 3200 }), known), [])
    assert.deepEqual(judgeRun(runAt(0, { distance: 900, duration: 320 }), known), ['UnusualDistance'])
    assert.deepEqual(judgeRun(runAt(0, { distance: 5000, duration: 900 }), known), ['UnusualPace'])
    assert.deepEqual(judgeRun(runAt(0, { distance: 5000, duration: 4000 }), known), ['UnusualPace'])
    assert.deepEqual(judgeRun(runAt(0, { distance: 0, duration: 1800 }), known), [])
  })

  test('is not changed by a few runs that were unusual themselves', () => {
    const known = [...usual(30), ...[1, 2, 3].map((n) => runAt(-n - 0.5, { distance: 40_000, duration: 15_000 }))]
    assert.deepEqual(judgeRun(runAt(0, { distance: 40_000, duration: 15_000 }), known), ['UnusualDistance'])
  })

  test('has its bound where the deviations say, however the values lie', () => {
    const anyValues = fc.array(fc.double({ min: 1, max: 1e5, noNaN: true }), { minLength: 10, maxLength: 60 })
    const options = { deviations: 6, deviationMin: 0.15 }
    fc.assert(
      fc.property(anyValues, fc.double({ min: 1e-3, max: 1e9, noNaN: true }), (values, value) => {
        const outlier = findOutlier(value, values, options)
        if (outlier === undefined) return
        const { threshold, median } = outlier
        assert.ok(value > median ? value >= threshold * 0.999_999 : value <= threshold * 1.000_001)
        const just = Math.sqrt(threshold * median)
        assert.equal(findOutlier(just, values, options), undefined)
      }),
    )
  })
})

describe('What cannot be', () => {
  const received = Date.UTC(2026, 10, 28)
  const runTypes = (run: Partial<KnownRun>) => typesOf(judgeAlone(RUN_IMPOSSIBILITIES, runAt(0, run), received))
  const playTypes = (timestamp: number) =>
    typesOf(judgeAlone(PLAY_IMPOSSIBILITIES, { trace_id: newId(), timestamp, song_duration: 200 }, received))

  test('is a run or a play of the future, by more than a clock is ahead', () => {
    for (const types of [(timestamp: number) => runTypes({ timestamp }), playTypes]) {
      assert.deepEqual(types(received + DAY_MS), [])
      assert.deepEqual(types(received + DAY_MS + 1), ['FutureTimestamp'])
      assert.deepEqual(types(Date.UTC(9999, 11, 31)), ['FutureTimestamp'])
    }
  })

  test('is one from before 1980', () => {
    for (const types of [(timestamp: number) => runTypes({ timestamp }), playTypes]) {
      assert.deepEqual(types(Date.UTC(1980, 0, 1)), [])
      assert.deepEqual(types(Date.UTC(1980, 0, 1) - 1), ['AncientTimestamp'])
      assert.deepEqual(types(-62_167_219_200_000), ['AncientTimestamp'])
    }
  })

  test('is a run of more than a week', () => {
    assert.deepEqual(runTypes({ duration: 7 * 86_400 }), [])
    assert.deepEqual(runTypes({ duration: 7 * 86_400 + 0.5 }), ['EndlessRun'])
  })

  test('is told in words of what was sent and what would have to be', () => {
    const run = runAt(0, { timestamp: Date.UTC(9999, 11, 31), duration: 31_536_000 })
    assert.deepEqual(
      judgeAlone(RUN_IMPOSSIBILITIES, run, received).map(({ description }) => description),
      [
        'It says to have begun at 9999-12-31T00:00:00.000Z, more than 86,400 s after it was received at 2026-11-28T00:00:00.000Z.',
        'The run says to have taken 31,536,000 s, more than 604,800 s.',
      ],
    )
    const play = { trace_id: newId(), timestamp: 0, song_duration: 200 }
    const [ancient] = judgeAlone(PLAY_IMPOSSIBILITIES, play, received)
    assert.equal(ancient?.description, 'It says to have begun at 1970-01-01T00:00:00.000Z, before the year 1980.')
    assert.deepEqual([ancient?.value, ancient?.threshold], [1970, 1980])
  })
})

describe('Every finding', () => {
  const anyInstant = fc.integer({ min: -62_167_219_200_000, max: 253_402_300_799_999 })
  /** All doubles there are between the bounds, with those at the edges among them far more often than by chance. */
  const anyDouble = (max: number) =>
    fc.oneof(fc.double({ min: 0, max, noNaN: true }), fc.constantFrom(0, -0, 5e-324, 1e-310, 2.3e-308, 1e-9, max))
  const anyRun = fc
    .record({ timestamp: anyInstant, duration: anyDouble(31_536_000), distance: anyDouble(1e7) })
    .map((run) => ({ trace_id: newId(), ...run }))
  const anyPlay = fc
    .record({ timestamp: anyInstant, song_duration: anyDouble(86_400) })
    .map((play) => ({ trace_id: newId(), ...play }))
  const checkAll = (findings: readonly Finding[]) => {
    for (const { anomaly_type, value, threshold, description } of findings) {
      const what = `${anomaly_type}: ${value}, ${threshold}`
      assert.ok(Number.isFinite(value) && Number.isFinite(threshold), what)
      assert.deepEqual(JSON.parse(JSON.stringify([value, threshold])), [value || 0, threshold || 0], what)
      assert.ok(description.length <= 1000 && !/NaN|∞|Infinity/.test(description), description)
    }
  }

  test('of any run has numbers that JSON and tables hold, and a description that fits', () => {
    const shortly = fc.integer({ min: 1, max: 89 * DAY_MS })
    // A runner's runs are alike, or nothing is unusual.
    const anyKnown = fc.oneof(
      { weight: 9, arbitrary: fc.constant(runAt(0)).map((run) => ({ ...run, trace_id: newId() })) },
      anyRun,
    )
    fc.assert(
      fc.property(
        anyRun,
        fc.array(fc.tuple(anyKnown, shortly), { maxLength: 40 }),
        anyInstant,
        (run, others, received) => {
          const known = others.map(([other, before]) => ({ ...other, timestamp: run.timestamp - before }))
          checkAll(judge(RUN_RULES, run, known))
          checkAll(judgeAlone(RUN_IMPOSSIBILITIES, run, received))
        },
      ),
      { numRuns: 1000 },
    )
  })

  test('of any play does so too', () => {
    fc.assert(
      fc.property(anyPlay, fc.array(anyPlay, { maxLength: 32 }), anyInstant, (play, known, received) => {
        checkAll(judge(PLAY_RULES, play, known))
        checkAll(judgeAlone(PLAY_IMPOSSIBILITIES, play, received))
      }),
    )
  })

  test('of a run of 1e-310 m after ten of 5 km is about its distance, for it has no pace', () => {
    const known = Array.from({ length: 10 }, (_, day) => runAt(day))
    const findings = judge(RUN_RULES, runAt(20, { distance: 1e-310 }), known)
    assert.deepEqual(typesOf(findings), ['UnusualDistance'])
    assert.match(findings[0]?.description ?? '', /^The run is 1\.0e-310 m long; /)
    const slow = judge(RUN_RULES, runAt(20, { distance: 1e-300 }), known).find(({ anomaly_type }) => {
      return anomaly_type === 'UnusualPace'
    })
    assert.match(slow?.description ?? '', /^The pace is 1\.8e\+306 s\/km; /)
  })
})

describe('Overlapping songs', () => {
  const findingsOf = (play: KnownPlay, known: KnownPlay[]) =>
    judge(PLAY_RULES, play, known).map(({ anomaly_type, about, value }) => [anomaly_type, about.trace_id, value])

  test('are those that go on after the next one began', () => {
    const [first, second] = [playAt(0, 200), playAt(60)]
    assert.deepEqual(findingsOf(second, [first]), [['OverlappingSong', first.trace_id, 140]])
    assert.deepEqual(
      findingsOf(first, [second]),
      [['OverlappingSong', first.trace_id, 140]],
      'also when it comes later',
    )
  })

  test('are not those that were skipped, or fade into the next', () => {
    const skipped = playAt(0, 60)
    assert.deepEqual(findingsOf(playAt(60), [skipped]), [])
    assert.deepEqual(findingsOf(playAt(45), [skipped]), [])
    assert.deepEqual(findingsOf(playAt(44), [skipped]), [['OverlappingSong', skipped.trace_id, 16]])
  })

  test('are compared with the next one only, and with both sides when one comes in between', () => {
    const [first, between, third] = [playAt(0, 1), playAt(30, 200), playAt(100, 200)]
    assert.deepEqual(
      findingsOf(between, [first, third]),
      [
        ['ShortSong', between.trace_id, 200],
        ['OverlappingSong', between.trace_id, 130],
      ].slice(1),
    )
    const long = playAt(0, 400)
    assert.deepEqual(findingsOf(playAt(50, 40), [long, playAt(100)]), [['OverlappingSong', long.trace_id, 350]])
    assert.deepEqual(findingsOf(playAt(100), [long, playAt(50, 40)]), [])
  })
})
