import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { CATALOGUE, EVENT_TYPES, type EventType } from './catalogue.ts'
import { checkEvent, checkEventText, type FieldError, parseJson } from './check.ts'
import { toWire } from './codec.ts'
import { anyTypeOfEvent } from './testing/event.arbitrary.ts'

const RUN = CATALOGUE.running_stats.example
const PLAY = CATALOGUE.music_info.example

function errorsOf(type: EventType, text: string | Uint8Array): FieldError[] {
  const checked = checkEventText(type, Buffer.from(text))
  assert.ok(!checked.ok, 'should be refused')
  return checked.errors
}

function pointersOf(type: EventType, value: unknown): string[] {
  const checked = checkEvent(type, value)
  assert.ok(!checked.ok, 'should be refused')
  return checked.errors.map(({ pointer }) => pointer)
}

describe('the check of an event', () => {
  test('takes a run and a play as their examples show them', () => {
    assert.deepEqual(checkEventText('running_stats', Buffer.from(JSON.stringify(RUN))), {
      ok: true,
      fields: { ...RUN, timestamp: Date.parse(RUN.timestamp) },
    })
    assert.deepEqual(checkEventText('music_info', Buffer.from(JSON.stringify(PLAY))), {
      ok: true,
      fields: { ...PLAY, timestamp: Date.parse(PLAY.timestamp) },
    })
  })

  for (const type of EVENT_TYPES) {
    test(`names every field that ${type} misses`, () => {
      const names = Object.keys(CATALOGUE[type].example)
      assert.deepEqual(
        errorsOf(type, '{}'),
        names.map((name) => ({ pointer: `/${name}`, detail: 'is missing' })),
      )
      for (const name of names) {
        const { [name]: _, ...rest } = CATALOGUE[type].example as Record<string, unknown>
        assert.deepEqual(pointersOf(type, rest), [`/${name}`])
      }
    })

    test(`does not take null for a field of ${type} that is not there`, () => {
      for (const name of Object.keys(CATALOGUE[type].fields)) {
        assert.deepEqual(pointersOf(type, { ...CATALOGUE[type].example, [name]: null }), [`/${name}`])
      }
    })
  }

  for (const [type, field, max] of [
    ['running_stats', 'duration', 31_536_000],
    ['running_stats', 'distance', 10_000_000],
    ['music_info', 'song_duration', 86_400],
  ] as const) {
    test(`takes a ${field} from 0 to ${max} and no other`, () => {
      for (const value of [0, 5e-324, max])
        assert.ok(checkEvent(type, { ...CATALOGUE[type].example, [field]: value }).ok)
      for (const value of [-1, -0, max * (1 + Number.EPSILON), '3600', Number.NaN]) {
        assert.deepEqual(pointersOf(type, { ...CATALOGUE[type].example, [field]: value }), [`/${field}`], `${value}`)
      }
    })
  }

  for (const [type, field, max] of [
    ['music_info', 'song_name', 512],
    ['music_info', 'artist', 512],
    ['music_info', 'event_id', 128],
    ['running_stats', 'event_id', 128],
  ] as const) {
    test(`takes 1 to ${max} characters of any script as ${field} of ${type}`, () => {
      for (const value of ['a', '\0', '𝄞'.repeat(max)]) {
        assert.ok(checkEvent(type, { ...CATALOGUE[type].example, [field]: value }).ok)
      }
      for (const value of ['', 'a'.repeat(max + 1), '𝄞'.repeat(max + 1), '\ud834', 5]) {
        assert.deepEqual(pointersOf(type, { ...CATALOGUE[type].example, [field]: value }), [`/${field}`])
      }
    })
  }

  test('tells everything that is wrong at once, in the order of the fields', () => {
    const sent = {
      user_id: 'x',
      duration: '1',
      timestamp: '2024-02-30T00:00:00Z',
      event_id: '',
      colour: 'red',
      Distance: 1,
    }
    assert.deepEqual(pointersOf('running_stats', sent), [
      '/user_id',
      '/duration',
      '/distance',
      '/timestamp',
      '/event_id',
      '/colour',
      '/Distance',
    ])
  })

  test('refuses fields that it does not know, also those of the other type and those that Runify adds', () => {
    for (const name of ['calories', 'song_name', 'trace_id', 'date_created', 'type', 'Duration', ' duration', '']) {
      assert.deepEqual(pointersOf('running_stats', { ...RUN, [name]: 1 }), [`/${name}`])
    }
  })

  test('points at a field whose name needs escaping as RFC 6901 says', () => {
    assert.deepEqual(pointersOf('running_stats', { ...RUN, 'a/b~c~1': 1 }), ['/a~1b~0c~01'])
  })

  test('names no more than 20 unknown fields, and only the beginning of a long name', () => {
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`x${i}`, i]))
    assert.equal(pointersOf('running_stats', { ...RUN, ...many }).length, 20)
    assert.deepEqual(pointersOf('running_stats', { ...RUN, ['y'.repeat(100_000)]: 1 }), [`/${'y'.repeat(128)}`])
  })

  test('takes __proto__ for a field like any other: unknown, and it brings no fields', () => {
    const text = JSON.stringify(RUN).replace('{', '{"__proto__": {"event_id": "a"}, ')
    assert.deepEqual(errorsOf('running_stats', text), [
      { pointer: '/__proto__', detail: 'is not a field of this event' },
    ])
    const hidden = `{"__proto__": ${JSON.stringify(RUN)}}`
    assert.equal(errorsOf('running_stats', hidden).length, Object.keys(RUN).length + 1)
    for (const name of ['constructor', 'toString', 'hasOwnProperty']) {
      assert.deepEqual(pointersOf('running_stats', { ...RUN, [name]: 1 }), [`/${name}`])
    }
  })

  test('does not take inherited properties for fields', () => {
    assert.equal(pointersOf('running_stats', Object.create(RUN)).length, Object.keys(RUN).length)
  })

  for (const [text, what] of [
    ['[]', 'an array'],
    ['null', 'null'],
    ['"{}"', 'a string'],
    ['1', 'a number'],
    ['true', 'a boolean'],
  ] as const) {
    test(`refuses ${what} for an event`, () => {
      assert.deepEqual(errorsOf('running_stats', text), [{ pointer: '', detail: 'must be a JSON object' }])
    })
  }
})

describe('the check of a text', () => {
  test('tells an empty body from one that is not JSON', () => {
    for (const text of ['', ' \r\n\t'])
      assert.deepEqual(errorsOf('music_info', text), [{ pointer: '', detail: 'is empty' }])
    for (const text of [
      '{',
      '{"a":}',
      "{'a':1}",
      '{"a":1,}',
      '{} {}',
      'NaN',
      '{"a":NaN}',
      '{"a":01}',
      '\ufeff{}',
      '{"a":"\t"}',
    ]) {
      assert.deepEqual(errorsOf('music_info', text), [{ pointer: '', detail: 'is not valid JSON' }], text)
    }
  })

  test('says that a body is malformed only when it is not JSON', () => {
    const malformed = (text: string | Buffer) => {
      const checked = checkEventText('running_stats', Buffer.from(text))
      return !checked.ok && checked.malformed === true
    }
    for (const text of ['', '{', Buffer.from([0xff])]) assert.ok(malformed(text))
    for (const text of ['{}', '[]', 'null', '{"a":1,"a":1}', JSON.stringify(RUN)]) assert.ok(!malformed(text), text)
  })

  test('refuses bytes that are not UTF-8 instead of replacing them', () => {
    const good = Buffer.from(JSON.stringify({ ...PLAY, artist: 'X' }))
    const at = good.indexOf('X')
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x98], [0xe9]]) {
      const bad = Buffer.concat([good.subarray(0, at), Buffer.from(bytes), good.subarray(at + 1)])
      assert.deepEqual(errorsOf('music_info', bad), [{ pointer: '', detail: 'is not valid UTF-8' }])
    }
  })

  test('reads only the bytes of the view, not of the buffer behind it', () => {
    const framed = Buffer.from(`garbage${JSON.stringify(RUN)}garbage`)
    const view = new Uint8Array(framed.buffer, framed.byteOffset + 7, framed.length - 14)
    assert.ok(checkEventText('running_stats', view).ok)
    assert.deepEqual(parseJson(Buffer.from('x[1]').subarray(1)), { ok: true, value: [1], text: '[1]' })
  })

  test('refuses numbers that are not there as doubles', () => {
    const withDistance = (number: string) => JSON.stringify(RUN).replace('4689.24', number)
    for (const number of ['1e999', '-1e999', '-0', '-0.0', '-1e-999']) {
      assert.deepEqual(
        errorsOf('running_stats', withDistance(number)).map(({ pointer }) => pointer),
        ['/distance'],
        number,
      )
    }
    for (const number of ['0', '0.0', '1e7', '1E+7', '10000000.0', '0.30000000000000004']) {
      const checked = checkEventText('running_stats', Buffer.from(withDistance(number)))
      assert.ok(checked.ok && Object.is(checked.fields.distance, Number(number)), number)
    }
  })

  test('refuses a field that is sent twice, escaped or not, and whether or not the values agree', () => {
    const twice = [{ pointer: '/distance', detail: 'is sent twice' }]
    for (const again of ['"distance": 1', '"distance": 4689.24', '"d\\u0069stance": 1', '"distance"\n\t: 1']) {
      assert.deepEqual(errorsOf('running_stats', JSON.stringify(RUN).replace('{', `{${again}, `)), twice, again)
    }
  })

  test('refuses a field that is sent twice beside texts with quotes in them', () => {
    const odd = { ...PLAY, song_name: '"', artist: '", "artist": "\\"', event_id: '\\' }
    assert.ok(checkEventText('music_info', Buffer.from(JSON.stringify(odd))).ok)
    assert.deepEqual(errorsOf('music_info', JSON.stringify(odd).replace('{', '{"artist": "x", ')), [
      { pointer: '/artist', detail: 'is sent twice' },
    ])
  })

  test('takes every event that there is as it goes over the wire, however it is spaced and escaped', () => {
    const property = fc.property(
      anyTypeOfEvent,
      fc.boolean(),
      fc.constantFrom(undefined, 1, '\t'),
      (event, escaped, space) => {
        const { trace_id: _, date_created: __, ...sent } = toWire(event)
        const text = JSON.stringify(sent, undefined, space)
        const checked = checkEventText(event.type, Buffer.from(escaped ? escapeAll(text) : text))
        assert.deepEqual(checked, { ok: true, fields: event.fields })
      },
    )
    fc.assert(property, { numRuns: 300 })
  })

  test('refuses every event one of whose fields is sent once more', () => {
    const property = fc.property(anyTypeOfEvent, fc.nat(), fc.boolean(), (event, pick, atEnd) => {
      const { trace_id: _, date_created: __, ...sent } = toWire(event)
      const names = Object.keys(sent)
      const name = names[pick % names.length] as string
      const member = `${JSON.stringify(name)}:${JSON.stringify(sent[name])}`
      const text = JSON.stringify(sent)
      const twice = atEnd ? `${text.slice(0, -1)},${member}}` : `{${member},${text.slice(1)}`
      assert.deepEqual(errorsOf(event.type, twice), [{ pointer: `/${name}`, detail: 'is sent twice' }])
    })
    fc.assert(property, { numRuns: 200 })
  })
})

/** The same JSON with everything that is not ASCII, and every quote in a string, as \u escapes. */
function escapeAll(json: string): string {
  return json.replace(/\\.|[^\x20-\x7e\t\n]/g, (found) => {
    if (found.startsWith('\\')) return found === '\\"' ? '\\u0022' : found
    return `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
