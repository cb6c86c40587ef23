import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeCanary, encodeCanary } from './canary.ts'
import { CANARY, EVENT_TYPES, TOPICS, typeOfTopic } from './catalogue.ts'

test('A canary that was written is read back, and nothing else is', () => {
  const anyCanary = fc.record(
    { trace_id: fc.uuid(), date_created: fc.maxSafeNat().map((n) => n % Date.UTC(9000, 0)) },
    { noNullPrototype: true },
  )
  fc.assert(fc.property(anyCanary, (canary) => assert.deepEqual(decodeCanary(encodeCanary(canary)), canary)))
  for (const text of ['', 'null', '[]', '{}', '{"trace_id":"1","date_created":"2026-11-25T00:00:00.000Z"}', '\xff']) {
    assert.equal(decodeCanary(Buffer.from(text, 'latin1')), undefined, text)
  }
})

test('A canary is on the log, and is no type of event', () => {
  assert.ok(!TOPICS.includes(CANARY.topic))
  assert.equal(typeOfTopic(CANARY.topic), undefined)
  assert.ok(!(EVENT_TYPES as readonly string[]).includes('canary'))
})
