import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { HISTORY_MINUTES, History, type Observation } from './history.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
const START = Date.parse('2026-11-25T00:00:00Z')

describe('The history of a service', () => {
  test('is empty before anything was asked', () => {
    const nothing = { asked: 0, uptime: null, latency_p50: null, latency_p99: null }
    assert.deepEqual(new History().summary({ now: START, minutes: 60 }), nothing)
  })

  test('counts what a recount of the same minutes counts, whatever comes when', () => {
    const anyObservation = fc.record({
      time: fc.integer({ min: START, max: START + 2 * DAY_MS }),
      healthy: fc.boolean(),
      ms: fc.double({ min: 0.01, max: 20_000, noNaN: true }),
    })
    const property = fc.property(
      fc.array(anyObservation, { maxLength: 300 }),
      fc.constantFrom(1, 60, 1440),
      (all, minutes) => {
        const sorted = all.toSorted((a, b) => a.time - b.time)
        const history = new History()
        for (const observation of sorted) history.add(observation)
        const now = sorted.at(-1)?.time ?? START
        const seen = sorted.filter(({ time }) => minuteOf(time) > minuteOf(now) - minutes)
        const { asked, uptime, latency_p50, latency_p99 } = history.summary({ now, minutes })
        assert.equal(asked, seen.length)
        if (seen.length === 0) return assert.equal(uptime, null)
        const expected = (seen.filter(({ healthy }) => healthy).length / seen.length) * 100
        assert.ok(Math.abs((uptime as number) - expected) < 0.001, `${uptime} is not ${expected}`)
        near(latency_p50, quantile(seen, 0.5))
        near(latency_p99, quantile(seen, 0.99))
      },
    )
    fc.assert(property, { numRuns: 100 })
  })

  test('forgets what is older than a day', () => {
    const history = new History()
    for (let minute = 0; minute < 365 * HISTORY_MINUTES; minute += 7) {
      history.add({ time: START + minute * MINUTE_MS, healthy: minute % 2 === 0, ms: 3 })
    }
    const now = START + 365 * DAY_MS
    const { asked } = history.summary({ now, minutes: HISTORY_MINUTES })
    assert.ok(Math.abs(asked - HISTORY_MINUTES / 7) <= 1, `${asked}`)
    assert.equal(history.summary({ now: now + DAY_MS, minutes: HISTORY_MINUTES }).asked, 0)
  })

  test('keeps counts, so that a minute of many questions takes no more room than one of few', () => {
    const history = new History()
    for (let n = 0; n < 70_000; n++) history.add({ time: START, healthy: true, ms: 1 })
    const { asked, uptime } = history.summary({ now: START, minutes: 1 })
    assert.deepEqual([asked, uptime], [65_535, 100], 'it stands still instead of beginning anew')
  })

  test('does not round one failure in a day away', () => {
    const history = new History()
    for (let n = 0; n < 60_000; n++) history.add({ time: START, healthy: n > 0 })
    assert.equal(history.summary({ now: START, minutes: 60 }).uptime, 99.998)
  })

  test('goes on after it was saved as if it had never been', () => {
    const anyObservation = fc.record({
      time: fc.integer({ min: START, max: START + 2 * DAY_MS }),
      healthy: fc.boolean(),
      ms: fc.option(fc.double({ min: 0.01, max: 20_000, noNaN: true }), { nil: undefined }),
    })
    const property = fc.property(fc.array(anyObservation, { maxLength: 300 }), fc.nat(), (all, at) => {
      const sorted = all.toSorted((a, b) => a.time - b.time)
      const now = sorted.at(-1)?.time ?? START
      const whole = new History()
      let saved = new History()
      for (const [n, { ms, ...observation }] of sorted.entries()) {
        for (const history of [whole, saved]) history.add({ ...observation, ...(ms !== undefined && { ms }) })
        if (n === at % sorted.length) {
          saved = History.fromMinutes(JSON.parse(JSON.stringify(saved.toMinutes(observation.time))))
        }
      }
      for (const minutes of [1, 60, HISTORY_MINUTES]) {
        assert.deepEqual(saved.summary({ now, minutes }), whole.summary({ now, minutes }))
      }
    })
    fc.assert(property, { numRuns: 100 })
  })

  test('takes nothing for minutes that are none', () => {
    for (const minutes of [[[1.5, 1, 1]], [[1, 2]], [[1, 1, 70_000]], [[1, 1, 1, 5]], [[2 ** 40, 1, 1]], ['x'], [[]]]) {
      assert.throws(() => History.fromMinutes(minutes as number[][]), JSON.stringify(minutes))
    }
  })

  test('does not count what a clock that was put back has left in the future', () => {
    const history = new History()
    history.add({ time: START + 10 * MINUTE_MS, healthy: false })
    history.add({ time: START, healthy: true })
    assert.equal(history.summary({ now: START, minutes: 60 }).asked, 1)
  })
})

function minuteOf(time: number): number {
  return Math.floor(time / MINUTE_MS)
}

function quantile(seen: readonly Observation[], q: number): number {
  const sorted = seen.map(({ ms }) => ms as number).sort((a, b) => a - b)
  return sorted[Math.ceil(q * sorted.length) - 1] as number
}

/** Within what a bound is wide; beyond the first and last there is only that bound. */
function near(found: number | null, exact: number): void {
  const clipped = Math.min(11_500, Math.max(0.45, exact))
  const ratio = (found as number) / clipped
  assert.ok(ratio > 0.87 && ratio < 1.15, `${found} is not near ${exact}`)
}
