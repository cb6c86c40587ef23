import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import {
  addDays,
  beginsMonth,
  type DayRow,
  daysBetween,
  isFuture,
  levels,
  mondayOf,
  readYear,
  timesOfYear,
  toWeeks,
  weekday,
  weeksOfYear,
} from '../dashboard/src/lib/calendar-days.ts'
import { readLine } from '../dashboard/src/lib/event-file.ts'
import { buildEvent, readDistance, readDuration } from '../dashboard/src/lib/event-form.ts'
import { elementsOf, linesOf } from '../dashboard/src/lib/event-texts.ts'
import { recogniseContent } from '../dashboard/src/lib/file-content.ts'
import { age, clock, distance, pace, paceSeconds, span } from '../dashboard/src/lib/format.ts'
import { reloadRows } from '../dashboard/src/lib/reload-rows.ts'
import { isBeginning } from '../dashboard/src/lib/users.ts'
import { makeRun, makeSong } from '../test-support/events.ts'

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

  test('are in the future by more than clocks differ', () => {
    const now = Date.parse('2026-05-01T08:00:00Z')
    const isLater = (instant: string) => isFuture(instant, now)
    assert.deepEqual(['2026-05-01T08:00:30Z', '2026-05-01T09:59:00+02:00'].map(isLater), [false, false])
    assert.deepEqual(['2026-05-01T08:02:00Z', '9999-12-31T00:00:00Z'].map(isLater), [true, true])
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

  test('make a week that two years share the same in both', () => {
    assert.deepEqual(weeksOfYear(2024), { from: '2024-01-01', to: '2025-01-05' })
    assert.deepEqual(weeksOfYear(2025), { from: '2024-12-30', to: '2026-01-04' })
    const rows = [
      ['2024-12-30', 21],
      ['2025-01-03', 25],
    ].map(([day, distance]) => ({ day, distance, runs: 1, duration: 1, plays: 0, listening: 0 }) as DayRow)
    const of = (year: number) =>
      toWeeks(rows, `${year}-01-01`, `${year}-12-31`).find(({ monday }) => monday === '2024-12-30')
    assert.deepEqual([of(2024)?.distance, of(2025)?.distance], [46, 46])
  })

  test('begin each month of a year once', () => {
    for (const [from, to] of [
      ['2024-01-01', '2024-12-31'],
      ['2025-01-01', '2025-12-31'],
    ] as const) {
      const weeks = toWeeks([], from, to)
      const months = weeks.filter((_, n) => beginsMonth(weeks, n)).map(({ monday }) => addDays(monday, 6).slice(5, 7))
      assert.deepEqual(months.map(Number), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    }
  })

  test('make a year of any that an event can have, and of nothing else', () => {
    for (const [text, year] of [
      ['1', 1],
      ['0024', 24],
      ['2024', 2024],
      ['9999', 9999],
    ] as const) {
      assert.equal(readYear(text), year)
      assert.ok(toWeeks([], ...(Object.values(weeksOfYear(year)) as [string, string])).length >= 52)
    }
    for (const text of ['', '0', '-1', '2024.5', '1e3', '10000', ' 2024', 'MMXXIV']) {
      assert.equal(readYear(text), undefined, text)
    }
    const { start_timestamp, end_timestamp } = timesOfYear(24)
    assert.equal(new Date(start_timestamp).getFullYear(), 24)
    assert.equal(new Date(Date.parse(end_timestamp as string) - 1).getFullYear(), 24)
    assert.equal(timesOfYear(9999).end_timestamp, undefined)
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

describe('A runner', () => {
  test('is found by how the UUID begins', () => {
    const uuid = 'D290f1ee-6c54-4b01-90e6-d701748f0851'
    for (let length = 0; length <= uuid.length; length++) assert.ok(isBeginning(uuid.slice(0, length)), String(length))
    for (const text of ['g', 'd290f1ee6', '-', `${uuid}0`, 'd290f1ee-6c54 ']) assert.ok(!isBeginning(text), text)
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

  const RUN = { user_id: randomUUID(), distance: '8.5', duration: '33:13', timestamp: '2026-05-01T08:00' }
  const NOW = Date.parse('2026-06-01T12:00:00Z')
  const errorsOf = (typed: Partial<typeof RUN>) =>
    buildEvent('running_stats', { ...RUN, ...typed }, 'mi', NOW).errors as Partial<typeof RUN>

  test('asks again where a number can be read in two ways', () => {
    assert.deepEqual(errorsOf({}), {})
    assert.deepEqual(errorsOf({ distance: '1,000' }), { distance: 'could be 1000 or 1.000: write it like that' })
    assert.deepEqual(errorsOf({ duration: '25' }), {
      duration: 'could be minutes or seconds: write 25:00 or 0:25',
    })
    for (const distance of ['1000', '1.000', '8,5', '0,125', '26,2']) assert.deepEqual(errorsOf({ distance }), {})
    for (const duration of ['25:00', '0:25', '1993']) assert.deepEqual(errorsOf({ duration }), {})
    for (const distance of ['1,000,000', '1,000.5']) assert.match(errorsOf({ distance }).distance ?? '', /not a number/)
    const song = { user_id: RUN.user_id, song_name: 'a', artist: 'b', song_duration: '247', timestamp: RUN.timestamp }
    assert.match(buildEvent('music_info', song, 'km', NOW).errors.song_duration ?? '', /write 4:07:00 or 4:07$/)
  })

  test('takes no time of another life, none that is to come, and none that the clocks jump over', () => {
    assert.match(errorsOf({ timestamp: '1890-05-01T08:00' }).timestamp ?? '', /is before 1950/)
    assert.match(errorsOf({ timestamp: '0190-05-01T08:00' }).timestamp ?? '', /is before 1950/)
    assert.match(errorsOf({ timestamp: '2031-05-01T08:00' }).timestamp ?? '', /is in the future/)
    assert.match(errorsOf({ timestamp: '2026-06-03T08:00' }).timestamp ?? '', /is in the future/)
    const zone = process.env.TZ
    try {
      process.env.TZ = 'Europe/Berlin'
      assert.match(errorsOf({ timestamp: '2026-03-29T02:30' }).timestamp ?? '', /clocks were put forward/)
      for (const timestamp of ['2026-03-29T01:59', '2026-03-29T03:00:30', '2025-10-26T02:30']) {
        assert.deepEqual(errorsOf({ timestamp }), {})
      }
    } finally {
      if (zone === undefined) delete process.env.TZ
      else process.env.TZ = zone
    }
  })

  test('takes no song of blanks', () => {
    const song = {
      user_id: RUN.user_id,
      song_name: '  ',
      artist: '\u00a0',
      song_duration: '4:07',
      timestamp: RUN.timestamp,
    }
    const { errors } = buildEvent('music_info', song, 'km', NOW)
    assert.deepEqual(errors, { song_name: 'is missing', artist: 'is missing' })
    const { event } = buildEvent('music_info', { ...song, song_name: ' Go ', artist: 'x' }, 'km', NOW)
    assert.equal(event.song_name, 'Go')
  })
})

describe('A list of which more was loaded', () => {
  test('loses no row that was shown, whatever arrives, and shows what arrived', async () => {
    const ids = fc.uniqueArray(fc.nat({ max: 400 }), { minLength: 1, maxLength: 80 })
    const check = fc.asyncProperty(ids, ids, fc.nat({ max: 80 }), async (before, arrived, loaded) => {
      const order = (rows: readonly number[]) => [...new Set(rows)].sort((a, b) => b - a)
      const shown = order(before).slice(0, Math.max(3, loaded))
      const { rows, next } = await reloadRows(shown, pagesOf(order([...before, ...arrived])))
      const all = order([...before, ...arrived])
      assert.deepEqual(rows, all.slice(0, rows.length))
      if (shown.length > 3) for (const row of shown) assert.ok(rows.includes(row), `${row} of ${shown}`)
      assert.equal(next === undefined, rows.length === all.length)
    })
    await fc.assert(check, { numRuns: 100 })
  })

  test('is done with a row that is no longer there', async () => {
    const { rows } = await reloadRows([9, 8, 7, 6, 5], pagesOf([9, 8, 6, 4]))
    assert.deepEqual(rows, [9, 8, 6, 4])
  })

  test('grows by no more than what has arrived', async () => {
    const shown = [9, 8, 7, 6, 5]
    const { rows, next } = await reloadRows(shown, pagesOf([11, 10, 9, 8, 7, 6, 5, 4, 3]))
    assert.deepEqual([rows, next], [[11, 10, ...shown], '7'])
  })
})

/** A list as a service gives it: at most forty rows a page. */
function pagesOf(all: readonly number[]) {
  const page = (from: number, limit: number) => {
    const next = from + limit < all.length ? String(from + limit) : undefined
    return Promise.resolve({ answer: all.slice(from, from + limit), next })
  }
  return {
    ...{ pageRows: 3, limitMax: 40, keyOf: String, signal: new AbortController().signal },
    firstPage: (limit: number) => page(0, limit),
    nextPage: (address: string, limit: number) => page(Number(address), limit),
  }
}

describe('A file', () => {
  const collect = async (texts: AsyncIterable<{ text: string }>) => {
    const found: string[] = []
    for await (const { text } of texts) found.push(text)
    return found
  }

  test('that is one array is cut into its elements, however the bytes come', async () => {
    const value = fc.object({
      maxDepth: 2,
      values: [fc.string({ unit: fc.constantFrom('"', '\\', ']', ',', '{', 'ü', ' ') })],
    })
    const check = fc.asyncProperty(fc.array(value), fc.constantFrom(0, 2), async (values, indent) => {
      const text = ` ${JSON.stringify(values, undefined, indent)} \n`
      const file = new Blob(text.match(/.{1,7}/gsu) ?? [])
      const found = await collect(elementsOf(file, new AbortController().signal))
      assert.deepEqual(
        found.map((text) => JSON.parse(text)),
        values.map((one) => JSON.parse(JSON.stringify(one))),
      )
    })
    await fc.assert(check, { numRuns: 50 })
    for (const [text, expected] of [
      ['[{"a":1},', /cut off/],
      ['[1] 2', /follows the end/],
    ] as const) {
      await assert.rejects(collect(elementsOf(new Blob([text]), new AbortController().signal)), expected)
    }
  })

  test('is unpacked where it is gzipped', async () => {
    const { signal } = new AbortController()
    const text = 'a line\n'.repeat(50_000)
    assert.deepEqual(await collect(linesOf(new Blob([gzipSync(text)]), signal)), text.trim().split('\n'))
    const damaged = new Blob([gzipSync(text).subarray(0, 100)])
    await assert.rejects(collect(linesOf(damaged, signal)), /cannot be unpacked to its end/)
  })

  test('is named where it holds no JSON', async () => {
    const fit = Buffer.concat([Buffer.from([14, 16, 0, 0, 0, 0, 0, 0]), Buffer.from('.FIT'), Buffer.alloc(50)])
    const kinds: [content: string | Buffer, expected: string | RegExp][] = [
      [fit, /^is a FIT file/],
      [gzipSync(fit), /^is a FIT file/],
      ['<?xml version="1.0"?><gpx/>', /^is a GPX file/],
      ['<TrainingCenterDatabase/>', /^is a TCX file/],
      ['\ufeff<kml/>', /^is an XML file/],
      ['<!doctype html><html>', /^is an HTML page/],
      [Buffer.from('PK\x03\x04....'), /^is a ZIP archive/],
      [Buffer.from('\ufeff{}', 'utf16le'), /^is UTF-16 text/],
      [Buffer.from([1, 2, 3, 0xff]), /^is a binary file/],
      [Buffer.from([0x1f, 0x8b, 1, 2, 3]), /cannot be unpacked/],
      ['', /^is empty/],
      ['[]', 'array'],
      [' [\n {"a":1}]', 'array'],
      [gzipSync('[{}]'), 'array'],
      ['{"a":1}', 'lines'],
      ['nothing', 'lines'],
      ['ü'.repeat(20_000), 'lines'],
    ]
    for (const [content, expected] of kinds) {
      const found = await recogniseContent(new Blob([content as string]))
      if (typeof expected === 'string') assert.equal(found.kind, expected)
      else assert.match(found.kind === 'refused' ? found.reason : found.kind, expected)
    }
  })

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
