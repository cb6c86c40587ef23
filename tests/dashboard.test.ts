import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { addDays, type DayRow, daysBetween, levels, mondayOf, toWeeks, weekday } from '../dashboard/src/lib/days.ts'
import { linesOf, readLine } from '../dashboard/src/lib/event-file.ts'
import { buildEvent, readDistance, readDuration } from '../dashboard/src/lib/event-form.ts'
import { age, clock, distance, pace, paceSeconds, span } from '../dashboard/src/lib/format.ts'
import { makeRun, makeSong } from './events.ts'

/** The parts of the dashboard's page that need no browser. */

const anyDay = fc
  .integer({ min: -20_000, max: 60_000 })
  .map((days) => new Date(days * 86_400_000).toISOString().slice(0, 10))

describe('Days', () => {
  test('come one after the other, whatever the year', () => {
    fc.assert(
      fc.property(anyDay, fc.nat({ max: 800 }), (from, count) => {
        const days = daysBetween(from, addDays(from, count))
        assert.equal(days.length, count + 1)
        for (const [n, day] of days.entries()) assert.equal(day, addDays(from, n))
        assert.equal(new Set(days).size, days.length)
      }),
      { numRuns: 50 },
    )
    assert.deepEqual(daysBetween('2024-02-28', '2024-03-01'), ['2024-02-28', '2024-02-29', '2024-03-01'])
  })

  test('belong to the week of their Monday', () => {
    assert.deepEqual([mondayOf('2026-01-01'), weekday('2026-01-01')], ['2025-12-29', 3])
    fc.assert(
      fc.property(anyDay, (day) => {
        const monday = mondayOf(day)
        assert.equal(weekday(monday), 0)
        assert.equal(addDays(monday, weekday(day)), day)
      }),
    )
  })

  test('make weeks without gaps that have all that the days have', () => {
    const anyRow = fc.record({
      ...{ day: fc.integer({ min: 0, max: 364 }).map((n) => addDays('2026-01-01', n)), runs: fc.nat({ max: 5 }) },
      ...{ distance: fc.nat({ max: 50_000 }), duration: fc.nat({ max: 20_000 }) },
      ...{ plays: fc.constant(0), listening: fc.constant(0) },
    })
    fc.assert(
      fc.property(fc.array(anyRow), (rows: DayRow[]) => {
        const weeks = toWeeks(rows, '2026-01-01', '2026-12-31')
        assert.equal(weeks.length, 53)
        const sum = (of: readonly { distance: number }[]) => of.reduce((total, one) => total + one.distance, 0)
        assert.equal(sum(weeks), sum(rows))
      }),
      { numRuns: 50 },
    )
  })

  test('are as strong as they are long, and nothing is not drawn', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 100 })), (values) => {
        const level = levels(values)
        for (const value of values) assert.ok(value > 0 ? level(value) >= 1 && level(value) <= 4 : level(value) === 0)
        const ordered = values.toSorted((a, b) => a - b).map(level)
        assert.deepEqual(ordered, ordered.toSorted())
      }),
    )
    assert.equal(levels([5])(5), 4, 'the only one is the strongest')
  })
})

describe('The form', () => {
  test('takes times and distances as people write them', () => {
    assert.deepEqual(['1993', '33:13', '1:05:00', '0:20.5'].map(readDuration), [1993, 1993, 3900, 20.5])
    for (const text of ['', '-1', '1:60', '1:2:3:4', 'an hour', '1:']) assert.equal(readDuration(text), undefined, text)
    assert.deepEqual(
      [readDistance('4.68924', 'km'), readDistance('8,5', 'km'), readDistance('1', 'mi')],
      [4689.24, 8500, 1609.344],
    )
    for (const text of ['', '1e3', '-1', '1.2.3', 'far']) assert.equal(readDistance(text, 'km'), undefined, text)
  })

  test('finds what is wrong as the Receiver does, before anything is sent', () => {
    const typed = {
      user_id: 'me',
      song_name: '',
      artist: 'x'.repeat(513),
      song_duration: '25:00:00',
      timestamp: '2026-05-01T08:00',
    }
    const { errors } = buildEvent('music_info', typed, 'km')
    assert.deepEqual(Object.keys(errors).sort(), ['artist', 'song_duration', 'song_name', 'user_id'])
    assert.equal(errors.song_name, 'is missing')
    assert.match(errors.user_id ?? '', /must be a UUID/)
  })
})

describe('A file', () => {
  test('is cut into its lines, however the bytes come', async () => {
    const anyText = fc.array(fc.string({ unit: fc.constantFrom('a', 'ü', '😀', ' ', '\r') }), { maxLength: 20 })
    const check = fc.asyncProperty(anyText, fc.boolean(), async (lines, ended) => {
      const file = new Blob([lines.join('\n') + (ended ? '\n' : '')])
      const found: { text: string; number: number }[] = []
      for await (const line of linesOf(file, new AbortController().signal)) found.push(line)
      const expected = lines.join('\n').split('\n')
      while (expected.at(-1) === '' && found.length < expected.length) expected.pop()
      assert.deepEqual(
        found.map(({ text }) => text),
        expected,
      )
      assert.deepEqual(
        found.map(({ number }) => number),
        expected.map((_, n) => n + 1),
      )
    })
    await fc.assert(check, { numRuns: 50 })
  })

  test('tells by the fields of a line what it is, and what is wrong with it', () => {
    const typeOf = (event: unknown) => readLine(JSON.stringify(event))
    assert.deepEqual(typeOf(makeRun(1)), { ok: true, type: 'running_stats', hasId: false })
    assert.deepEqual(typeOf(makeSong(1, { event_id: 'x' })), { ok: true, type: 'music_info', hasId: true })
    const details: [line: string, expected: RegExp][] = [
      ['nothing', /not valid JSON/],
      ['[]', /JSON object/],
      ['{"user_id":1}', /no field that tells its type/],
      [JSON.stringify({ ...makeRun(1), ...makeSong(1) }), /several types/],
      [JSON.stringify({ ...makeRun(1), distance: 'far' }), /must be a number/],
      [`"${'x'.repeat(70_000)}"`, /longer than/],
    ]
    for (const [line, expected] of details) {
      const read = readLine(line)
      assert.match(read.ok ? '' : (read.errors[0]?.detail ?? ''), expected)
    }
  })
})

describe('Figures', () => {
  test('are in the units that people run in', () => {
    assert.equal(clock(3 * 3600 + 5 * 60 + 9), '3:05:09')
    assert.equal(clock(59.6), '1:00')
    assert.equal(span(90), '2 min')
    assert.equal(span(3 * 86_400 + 4 * 3600), '3 d 4 h')
    assert.match(distance(8500, 'km'), /^8.5 km$/)
    assert.match(distance(1609.344, 'mi'), /^1 mi$/)
    assert.equal(pace({ distance: 10_000, duration: 3000 }, 'km'), '5:00 /km')
    assert.equal(Math.round(paceSeconds({ distance: 1609.344, duration: 480 }, 'mi') as number), 480)
    for (const none of [
      { distance: 0, duration: 10 },
      { distance: 10, duration: 0 },
    ])
      assert.equal(pace(none, 'km'), '–')
    assert.equal(distance(null, 'km'), '–')
  })

  test('say how long ago something was', () => {
    const now = Date.UTC(2026, 0, 1)
    assert.equal(age(now - 500, now), 'just now')
    assert.match(age(now - 180_000, now), /3/)
    assert.match(age(now - 400 * 86_400_000, now), /1/)
    assert.equal(age(null, now), '–')
  })
})
