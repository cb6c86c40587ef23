import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { formatDay, MS_PER_DAY, parseDay } from './instant.ts'
import { anyInstant } from './testing/event.arbitrary.ts'
import { LocalDays, parseTimeZone } from './time-zone.ts'

describe('parseTimeZone', () => {
  test('takes every name that IANA has, in any case, aliases too', () => {
    for (const name of Intl.supportedValuesOf('timeZone')) assert.equal(parseTimeZone(name), name)
    assert.equal(parseTimeZone('europe/BERLIN'), 'Europe/Berlin')
    for (const alias of ['Asia/Calcutta', 'US/Pacific', 'UTC', 'Etc/GMT+5', 'EST5EDT']) {
      assert.equal(parseTimeZone(alias), alias)
    }
  })

  test('refuses what is no name of a zone', () => {
    for (const text of [
      '',
      ' ',
      'Berlin',
      '+02:00',
      '-05',
      'UTC+2',
      'Europe/Berlin ',
      'Mars/Olympus',
      'a'.repeat(65),
    ]) {
      assert.equal(parseTimeZone(text), undefined, text)
    }
  })
})

describe('LocalDays', () => {
  const day = (text: string) => parseDay(text) as number

  test('gives the day that Intl gives, in whatever order instants come', () => {
    const instants = fc.array(fc.integer({ min: Date.UTC(1972, 0, 8), max: Date.UTC(2120, 0) }), { minLength: 1 })
    const zones = fc.constantFrom(...Intl.supportedValuesOf('timeZone'))
    const property = fc.property(zones, instants, (timeZone, some) => {
      const days = new LocalDays(timeZone)
      const format = new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' })
      for (const instant of some) {
        const day = days.at(instant)
        assert.equal(formatDay(day), format.format(instant))
        assert.ok(days.until > instant)
        const last = days.until - 1
        assert.equal(formatDay(days.at(last)), format.format(last))
        assert.equal(days.at(last), day, 'up to `until` it is the same day')
      }
    })
    fc.assert(property, { numRuns: 300 })
  })

  test('gives a day that can be written and asked for, of every instant in every zone', () => {
    const zones = fc.constantFrom(...Intl.supportedValuesOf('timeZone'))
    const [first, last] = [Date.parse('0000-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59.999Z')]
    const atEnds = fc.oneof(
      fc.nat(2 * MS_PER_DAY).map((ms) => first + ms),
      fc.nat(2 * MS_PER_DAY).map((ms) => last - ms),
    )
    const property = fc.property(zones, fc.array(fc.oneof(anyInstant, atEnds), { minLength: 1 }), (timeZone, some) => {
      const days = new LocalDays(timeZone)
      for (const instant of [...some, first, last]) {
        const day = days.at(instant)
        const text = formatDay(day)
        assert.match(text, /^\d{4}-\d\d-\d\d$/)
        assert.equal(parseDay(text), day)
        assert.ok(days.until > instant)
        const end = Math.min(days.until - 1, last)
        assert.equal(days.at(end), day, 'up to `until` it is the same day')
      }
    })
    fc.assert(property)
  })

  test('has no other days before the first and after the last that can be written', () => {
    const [first, last] = [Date.parse('0000-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59.999Z')]
    const inTokyo = new LocalDays('Asia/Tokyo')
    assert.deepEqual(
      [first, last].map((instant) => formatDay(inTokyo.at(instant))),
      ['0000-01-01', '9999-12-31'],
    )
    const inNewYork = new LocalDays('America/New_York')
    assert.deepEqual(
      [first, last].map((instant) => formatDay(inNewYork.at(instant))),
      ['0000-01-01', '9999-12-31'],
    )
  })

  test('knows days of 23 and 25 hours, and one that a zone left out', () => {
    const hoursOf = (timeZone: string, text: string): number => {
      const days = new LocalDays(timeZone)
      const begin = (day(text) - 2) * MS_PER_DAY
      const hours = Array.from({ length: 5 * 24 }, (_, hour) => days.at(begin + hour * 3_600_000))
      return hours.filter((its) => its === day(text)).length
    }
    assert.equal(hoursOf('Europe/Berlin', '2024-03-31'), 23)
    assert.equal(hoursOf('Europe/Berlin', '2024-10-27'), 25)
    assert.equal(hoursOf('Europe/Berlin', '2024-10-28'), 24)
    assert.equal(hoursOf('Pacific/Apia', '2011-12-29'), 24)
    assert.equal(hoursOf('Pacific/Apia', '2011-12-30'), 0)
    assert.equal(hoursOf('Pacific/Apia', '2011-12-31'), 24)
  })

  test('knows offsets of half hours and of quarters', () => {
    const midnight = day('2024-05-02') * MS_PER_DAY
    for (const [timeZone, minutes] of [
      ['Asia/Kolkata', 330],
      ['Asia/Kathmandu', 345],
      ['Pacific/Chatham', 765],
      ['America/St_Johns', -150],
    ] as const) {
      const days = new LocalDays(timeZone)
      const begin = midnight - minutes * 60_000
      assert.deepEqual([days.at(begin - 1), days.at(begin)], [day('2024-05-01'), day('2024-05-02')], timeZone)
    }
  })
})
