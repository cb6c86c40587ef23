import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { dayOf, formatInstant, MS_PER_DAY, parseDay, parseInstant } from './instant.ts'
import { anyInstant } from './testing/event.arbitrary.ts'

describe('instant', () => {
  test('reads UTC, lower-case letters and any zone as the same instant', () => {
    const half = Date.UTC(2024, 4, 1, 6, 30)
    for (const text of [
      '2024-05-01T06:30:00Z',
      '2024-05-01t06:30:00z',
      '2024-05-01T06:30:00+00:00',
      '2024-05-01T06:30:00-00:00',
      '2024-05-01T08:30:00+02:00',
      '2024-05-01T12:15:00+05:45',
      '2024-04-30T20:30:00-10:00',
      '2024-05-02T06:29:00+23:59',
      '2024-04-30T06:31:00-23:59',
    ]) {
      assert.equal(parseInstant(text), half, text)
    }
  })

  test('cuts what is finer than a millisecond, before 1970 too', () => {
    const second = Date.UTC(2024, 0, 1)
    assert.equal(parseInstant('2024-01-01T00:00:00.1Z'), second + 100)
    assert.equal(parseInstant('2024-01-01T00:00:00.04Z'), second + 40)
    assert.equal(parseInstant('2024-01-01T00:00:00.007Z'), second + 7)
    assert.equal(parseInstant('2024-01-01T00:00:00.9999999Z'), second + 999)
    assert.equal(parseInstant(`2024-01-01T00:00:00.${'9'.repeat(32)}Z`), second + 999)
    assert.equal(parseInstant('1969-12-31T23:59:59.9999Z'), -1)
    assert.equal(parseInstant('1969-12-31T23:59:59.0009Z'), -1000)
  })

  test('knows the leap days and no others', () => {
    for (const day of ['2024-02-29', '2000-02-29', '1600-02-29', '0000-02-29', '0004-02-29', '9996-02-29']) {
      assert.equal(formatInstant(parseInstant(`${day}T12:00:00Z`) ?? Number.NaN), `${day}T12:00:00.000Z`)
    }
    for (const day of ['2023-02-29', '1900-02-29', '2100-02-29', '0100-02-29', '2024-02-30']) {
      assert.equal(parseInstant(`${day}T12:00:00Z`), undefined, day)
    }
  })

  test('reaches from the first millisecond of the year 0000 to the last of 9999, and no further', () => {
    assert.equal(parseInstant('0000-01-01T00:00:00Z'), -62_167_219_200_000)
    assert.equal(parseInstant('9999-12-31T23:59:59.999Z'), 253_402_300_799_999)
    assert.equal(parseInstant('0000-01-01T00:00:00+00:01'), undefined)
    assert.equal(parseInstant('9999-12-31T23:59:59.999-00:01'), undefined)
    assert.equal(parseInstant('0000-01-01T00:01:00+00:01'), -62_167_219_200_000)
    assert.equal(parseInstant('9999-12-31T23:58:59.999-00:01'), 253_402_300_799_999)
  })

  test('does not take the years 0 to 99 for 1900 to 1999', () => {
    assert.equal(formatInstant(parseInstant('0099-12-31T23:59:59Z') ?? Number.NaN), '0099-12-31T23:59:59.000Z')
    assert.equal(parseDay('0070-01-01'), Date.parse('0070-01-01T00:00:00Z') / MS_PER_DAY)
  })

  for (const [text, why] of [
    ['', 'nothing'],
    ['2024-05-01', 'no time'],
    ['2024-05-01T06:30:00', 'no zone'],
    ['2024-05-01T06:30Z', 'no seconds'],
    ['2024-05-01 06:30:00Z', 'a space for the T'],
    ['2024-05-01T06:30:00 Z', 'a space before the zone'],
    [' 2024-05-01T06:30:00Z', 'a space in front'],
    ['2024-05-01T06:30:00Z\n', 'a line end behind'],
    ['2024-05-01T06:30:00.Z', 'a point without digits'],
    ['2024-05-01T06:30:00,5Z', 'a decimal comma'],
    ['2024-05-01T06:30:00+0200', 'a zone without colon'],
    ['2024-05-01T06:30:00+02', 'a zone without minutes'],
    ['2024-05-01T06:30:00+24:00', 'a zone of 24 hours'],
    ['2024-05-01T06:30:00+02:60', 'a zone of 60 minutes'],
    ['2024-05-01T06:30:00\u221202:00', 'a minus sign that is not the hyphen'],
    ['2024-05-01T24:00:00Z', 'hour 24'],
    ['2024-05-01T06:60:00Z', 'minute 60'],
    ['2016-12-31T23:59:60Z', 'a leap second'],
    ['2024-00-01T00:00:00Z', 'month 0'],
    ['2024-13-01T00:00:00Z', 'month 13'],
    ['2024-05-00T00:00:00Z', 'day 0'],
    ['2024-04-31T00:00:00Z', '31 April'],
    ['24-05-01T00:00:00Z', 'a year of two digits'],
    ['+002024-05-01T00:00:00Z', 'a year with a sign'],
    ['10000-01-01T00:00:00Z', 'a year of five digits'],
    ['2024-5-1T6:30:00Z', 'single digits'],
    ['٢٠٢٤-05-01T06:30:00Z', 'digits of another script'],
    ['1714545000000', 'a number in a string'],
  ] as const) {
    test(`refuses ${why}`, () => assert.equal(parseInstant(text), undefined))
  }

  test('refuses a date-time with any one of its characters out of place', () => {
    for (const text of ['2024-05-01T06:30:00.123Z', '2024-05-01T06:30:00Z', '2024-05-01T06:30:00.123456+02:00']) {
      for (let at = 0; at < text.length; at++) {
        // A sign in the place of the other is no error, and a shorter fraction neither.
        for (const wrong of [' ', '/', ':', ';', 'x', '٣', '\0', ...(text[at] === '+' ? [] : ['-', '.'])]) {
          if (wrong === text[at]) continue
          const changed = `${text.slice(0, at)}${wrong}${text.slice(at + 1)}`
          assert.equal(parseInstant(changed), undefined, changed)
        }
        const missing = `${text.slice(0, at)}${text.slice(at + 1)}`
        const inFraction = at > 19 && at < 26 && text.length > 20 && /\d/.test(text[at] ?? '')
        if (!inFraction) assert.equal(parseInstant(missing), undefined, missing)
      }
    }
  })

  test('reads back every instant that it writes', () => {
    fc.assert(
      fc.property(anyInstant, (instant) => parseInstant(formatInstant(instant)) === instant),
      { numRuns: 500 },
    )
  })

  test('reads an instant written in any zone as the one in UTC', () => {
    const zoneMinutes = fc.integer({ min: -23 * 60 - 59, max: 23 * 60 + 59 })
    const property = fc.property(fc.integer({ min: -62e12, max: 253e12 }), zoneMinutes, (instant, minutes) => {
      const local = formatInstant(instant + minutes * 60_000).slice(0, -1)
      const [hour, minute] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60].map((n) =>
        `${n}`.padStart(2, '0'),
      )
      assert.equal(parseInstant(`${local}${minutes < 0 ? '-' : '+'}${hour}:${minute}`), instant)
    })
    fc.assert(property, { numRuns: 500 })
  })

  test('agrees with the calendar of the runtime on which days there are', () => {
    const parts = fc.tuple(
      fc.integer({ min: 1, max: 9999 }),
      fc.integer({ min: 0, max: 13 }),
      fc.integer({ min: 0, max: 32 }),
    )
    const property = fc.property(parts, ([year, month, day]) => {
      const text = [`${year}`.padStart(4, '0'), `${month}`.padStart(2, '0'), `${day}`.padStart(2, '0')].join('-')
      const date = new Date(0)
      date.setUTCFullYear(year, month - 1, day)
      const exists = month >= 1 && month <= 12 && date.getUTCMonth() === month - 1 && date.getUTCDate() === day
      assert.equal(parseDay(text), exists ? date.getTime() / MS_PER_DAY : undefined, text)
      assert.equal(parseInstant(`${text}T00:00:00Z`), exists ? date.getTime() : undefined, text)
    })
    fc.assert(property, { numRuns: 500 })
  })
})

describe('day', () => {
  test('counts days from 1970-01-01 in both directions', () => {
    assert.equal(parseDay('1970-01-01'), 0)
    assert.equal(parseDay('1970-01-02'), 1)
    assert.equal(parseDay('1969-12-31'), -1)
    assert.equal(parseDay('2000-03-01'), 11_017)
  })

  test('refuses what is not a full date', () => {
    for (const text of ['', '2024-02-30', '2024-2-3', '2024-02-29T00:00:00Z', '20240229', '2024-02-29 ']) {
      assert.equal(parseDay(text), undefined, text)
    }
  })

  test('puts an instant on its UTC day, the last millisecond before 1970 too', () => {
    assert.equal(dayOf(0), 0)
    assert.equal(dayOf(MS_PER_DAY - 1), 0)
    assert.equal(dayOf(MS_PER_DAY), 1)
    assert.equal(dayOf(-1), -1)
    assert.equal(dayOf(-MS_PER_DAY), -1)
  })
})
