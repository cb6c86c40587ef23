import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { describe, test } from 'node:test'
import { checkEventText } from '../../events/check.ts'
import { type GeneratorOptions, generateEvents } from './generator.ts'

const OPTIONS: GeneratorOptions = { users: 20, days: 120, seed: 7, until: '2024-12-31' }
const EVENTS = [...generateEvents(OPTIONS)]
const HOUR_MS = 3_600_000

function linesOf(options: GeneratorOptions): string[] {
  return Array.from(generateEvents(options), ({ fields }) => JSON.stringify(fields))
}

function numbersOf(name: string): number[] {
  return EVENTS.filter(({ fields }) => name in fields).map(({ fields }) => fields[name] as number)
}

describe('what is generated', () => {
  test('is the same for the same seed, on every machine and in every version', () => {
    const lines = linesOf({ users: 5, days: 30, seed: 7 })
    assert.deepEqual(linesOf({ users: 5, days: 30, seed: 7 }), lines)
    // Whoever changes what a seed means changes this on purpose, and says so in the changelog.
    assert.equal(hash('sha256', lines.join('\n')), 'd684c9b1d4cfa05eccbe36c6c50b6c35ea52b1e08b295df09393c5983fad5cf7')
  })

  test('has no line in common with that of another seed', () => {
    const lines = new Set(linesOf({ ...OPTIONS, seed: 8 }))
    assert.equal(EVENTS.filter(({ fields }) => lines.has(JSON.stringify(fields))).length, 0)
  })

  test('passes the check of the Receiver, every line', () => {
    for (const { type, fields } of EVENTS) {
      const checked = checkEventText(type, Buffer.from(JSON.stringify(fields)))
      assert.ok(checked.ok, JSON.stringify({ fields, checked }))
      assert.ok(fields.event_id)
    }
  })

  test('is in the order of sending and lies within its days', () => {
    for (const [index, { sentAt, fields }] of EVENTS.entries()) {
      assert.ok(sentAt >= (EVENTS[index - 1]?.sentAt ?? 0))
      const timestamp = String(fields.timestamp)
      assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      assert.ok(timestamp >= '2024-09-03' && timestamp < '2025', timestamp)
    }
  })

  test('holds a few late events, sent long after younger ones', () => {
    let youngest = 0
    const late = EVENTS.filter(({ fields }) => {
      const timestamp = Date.parse(String(fields.timestamp))
      youngest = Math.max(youngest, timestamp)
      return timestamp < youngest - 24 * HOUR_MS
    })
    assert.ok(late.length > 0 && late.length < 0.05 * EVENTS.length, `${late.length} of ${EVENTS.length}`)
  })

  test('holds a few repeated events, and no id stands for two different ones', () => {
    const byId = Map.groupBy(EVENTS, ({ fields }) => fields.event_id)
    const repeated = [...byId.values()].filter(({ length }) => length > 1)
    assert.ok(repeated.length > 0 && repeated.length < 0.02 * EVENTS.length, `${repeated.length} of ${EVENTS.length}`)
    for (const same of repeated) assert.equal(new Set(same.map(({ fields }) => JSON.stringify(fields))).size, 1)
  })

  test('repeats the same events in a longer range and with more runners', () => {
    const more = new Set(linesOf({ users: 25, days: 150, seed: 7, until: '2025-01-10' }))
    const missing = EVENTS.filter(({ fields }) => !more.has(JSON.stringify(fields)))
    assert.deepEqual(missing, [])
  })

  test('has whole seconds, metres to the centimetre and names beyond ASCII', () => {
    for (const seconds of [...numbersOf('duration'), ...numbersOf('song_duration')])
      assert.ok(Number.isInteger(seconds))
    for (const metres of numbersOf('distance')) assert.equal(metres, Number(metres.toFixed(2)))
    assert.ok(EVENTS.some(({ fields }) => /\p{Script=Han}/u.test(String(fields.song_name))))
  })

  test('is run at a pace between 4:30 and 7:30 a kilometre', () => {
    for (const { type, fields } of EVENTS) {
      if (type !== 'running_stats' || Number(fields.distance) < 1500) continue
      const pace = Number(fields.duration) / (Number(fields.distance) / 1000)
      assert.ok(pace > 269 && pace < 451, `${pace} s/km`)
    }
  })

  test('has songs that follow one another, for each listener', () => {
    const plays = EVENTS.filter(({ type }) => type === 'music_info').map(({ fields }) => ({
      user: fields.user_id,
      begin: Date.parse(String(fields.timestamp)),
      end: Date.parse(String(fields.timestamp)) + 1000 * Number(fields.song_duration),
      id: fields.event_id,
    }))
    for (const mine of Map.groupBy(plays, ({ user }) => user).values()) {
      const ordered = [...new Map(mine.map((play) => [play.id, play])).values()].sort((a, b) => a.begin - b.begin)
      for (const [index, play] of ordered.entries())
        assert.ok(index === 0 || play.begin >= (ordered[index - 1]?.end ?? 0))
    }
  })

  test('begins at the day that was asked for, with the runners of the first day', () => {
    const oneDay = [...generateEvents({ users: 200, days: 1, seed: 3, until: '2024-02-29' })]
    assert.ok(oneDay.length > 0)
    for (const { fields } of oneDay) assert.match(String(fields.timestamp), /^2024-02-29T/)
  })
})

test('days that no calendar has, or before 1970, are refused', () => {
  assert.throws(() => generateEvents({ users: 1, days: 1, seed: 1, until: '2024-02-30' }).next(), RangeError)
  assert.throws(() => generateEvents({ users: 1, days: 2, seed: 1, until: '1970-01-01' }).next(), RangeError)
})
