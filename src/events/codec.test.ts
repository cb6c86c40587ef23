import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { CATALOGUE, CATALOGUE_VERSION, EVENT_TYPES, fieldsOf, type RunifyEvent } from './catalogue.ts'
import { checkEvent } from './check.ts'
import {
  decodeEvent,
  decodeKnown,
  encodeEvent,
  fromWire,
  NEWER_EVENTS,
  sameContent,
  sentSchema,
  storedSchema,
  toWire,
} from './codec.ts'
import { anyTypeOfEvent } from './testing/event.arbitrary.ts'

const RUN: RunifyEvent<'running_stats'> = {
  type: 'running_stats',
  trace_id: '0190f1ee-6c54-7b01-90e6-d701748f0851',
  date_created: Date.UTC(2024, 4, 1, 6, 30),
  fields: { ...CATALOGUE.running_stats.example, timestamp: Date.parse(CATALOGUE.running_stats.example.timestamp) },
}

function refusalOf(change: Record<string, unknown>): string {
  const decoded = fromWire('running_stats', { ...toWire(RUN), ...change })
  assert.ok(!decoded.ok, 'should be refused')
  return decoded.detail
}

describe('the codec', () => {
  test('reads every event back as it was written', () => {
    const property = fc.property(anyTypeOfEvent, (event) => {
      assert.deepEqual(decodeEvent(event.type, encodeEvent(event)), { ok: true, event })
      assert.deepEqual(fromWire(event.type, toWire(event)), { ok: true, event })
    })
    fc.assert(property, { numRuns: 500 })
  })

  test('gives the fields as sent, then trace_id and date_created, instants in UTC', () => {
    assert.equal(
      encodeEvent({ ...RUN, fields: { ...RUN.fields, event_id: 'e1' } }).toString(),
      '{"user_id":"d290f1ee-6c54-4b01-90e6-d701748f0851","duration":1993,"distance":4689.24,' +
        '"timestamp":"2012-12-26T21:29:53.000Z","event_id":"e1",' +
        '"trace_id":"0190f1ee-6c54-7b01-90e6-d701748f0851","date_created":"2024-05-01T06:30:00.000Z"}',
    )
    assert.ok(!('event_id' in toWire(RUN)))
  })

  test('tells an event of a later version of the catalogue from one that is broken, and what of it is known', () => {
    const later = { ...toWire(RUN), weather: 'rain', catalogue: CATALOGUE_VERSION + 1 }
    const record = Buffer.from(JSON.stringify(later))
    assert.deepEqual(decodeEvent('running_stats', record), { ok: false, newer: true, detail: NEWER_EVENTS })
    assert.deepEqual(decodeKnown('running_stats', record), { ok: true, event: RUN })
    assert.deepEqual(fromWire('running_stats', { ...toWire(RUN), catalogue: CATALOGUE_VERSION }), {
      ok: true,
      event: RUN,
    })
    assert.equal(refusalOf({ weather: 'rain' }), 'weather is not a field of this event')
    for (const catalogue of ['2', 0, 1.5, null]) {
      assert.equal(refusalOf({ catalogue }), 'catalogue must be a version of the catalogue')
    }
  })

  test('gives a reason, never an exception, for a record that is no event', () => {
    for (const [value, detail] of [
      ['', 'the record is empty'],
      ['{', 'the record is not valid JSON'],
      ['null', 'the record is not a JSON object'],
      ['7', 'the record is not a JSON object'],
      ['[]', 'trace_id must be a UUID in a string, not nothing'],
    ] as const) {
      assert.deepEqual(decodeEvent('running_stats', Buffer.from(value)), { ok: false, detail })
    }
    assert.deepEqual(decodeEvent('running_stats', Buffer.from([0xff])), {
      ok: false,
      detail: 'the record is not valid UTF-8',
    })
    const bytes = fc.property(fc.uint8Array({ maxLength: 200 }), (value) => !decodeEvent('music_info', value).ok)
    fc.assert(bytes, { numRuns: 200 })
    const values = fc.property(fc.anything(), (value) => !fromWire('music_info', value).ok)
    fc.assert(values, { numRuns: 200 })
  })

  test('checks the fields that Runify adds like those that clients send', () => {
    assert.match(refusalOf({ trace_id: 'x' }), /^trace_id must be a UUID/)
    assert.match(refusalOf({ trace_id: undefined }), /^trace_id must be/)
    assert.match(refusalOf({ date_created: '2024-05-01' }), /^date_created must be/)
    assert.match(refusalOf({ date_created: 5 }), /^date_created must be/)
    assert.equal(
      refusalOf({ duration: '5', x: 1 }),
      'duration must be a number, not a string; x is not a field of this event',
    )
  })

  test('tells a repeat from a conflict by every field, and by nothing else', () => {
    assert.ok(sameContent(RUN, { ...RUN, date_created: RUN.date_created + 1, trace_id: RUN.fields.user_id }))
    const changes = { user_id: RUN.trace_id, duration: 1993.0000000000002, distance: 0, timestamp: 0, event_id: 'e' }
    assert.deepEqual(
      Object.keys(changes),
      fieldsOf('running_stats').map(([name]) => name),
    )
    for (const [name, value] of Object.entries(changes)) {
      const other = { ...RUN, fields: { ...RUN.fields, [name]: value } }
      assert.ok(!sameContent(RUN, other), name)
      assert.ok(!sameContent(other, RUN), name)
    }
    const property = fc.property(anyTypeOfEvent, (event) => sameContent(event, structuredClone(event)))
    fc.assert(property, { numRuns: 100 })
  })
})

describe('the schemas', () => {
  for (const type of EVENT_TYPES) {
    test(`name the fields of ${type} as the catalogue does, and no others`, () => {
      const sent = sentSchema(type) as {
        required: string[]
        properties: object
        additionalProperties: boolean
        examples: unknown[]
      }
      const names = fieldsOf(type).map(([name]) => name)
      assert.deepEqual(Object.keys(sent.properties), names)
      assert.deepEqual(
        sent.required,
        names.filter((name) => name !== 'event_id'),
      )
      assert.equal(sent.additionalProperties, false)
      for (const example of sent.examples) assert.ok(checkEvent(type, example).ok)
      const stored = storedSchema(type, { index: { type: 'integer' } }) as { required: string[]; properties: object }
      assert.deepEqual(Object.keys(stored.properties), [...names, 'trace_id', 'date_created', 'index'])
      assert.deepEqual(stored.required, [...sent.required, 'trace_id', 'date_created', 'index'])
    })
  }
})
