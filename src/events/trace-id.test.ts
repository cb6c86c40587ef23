import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { EVENT_TYPES } from './catalogue.ts'
import { anyUuid } from './testing/event.arbitrary.ts'
import { derivedTraceId } from './trace-id.ts'

const USER = 'd290f1ee-6c54-4b01-90e6-d701748f0851'

describe('derivedTraceId', () => {
  // Worked out with another SHA-256. Were they to change, retries sent across an upgrade would be counted twice.
  test('gives the ids that it has always given', () => {
    assert.equal(derivedTraceId('running_stats', USER, 'run-1'), 'fb63206e-ea5a-8a44-b96c-e65c3a5b10a0')
    assert.equal(derivedTraceId('music_info', USER, 'run-1'), 'e826e791-6418-85d7-9672-29bafeff025e')
    assert.equal(derivedTraceId('running_stats', USER, 'ключ 🏃'), '6bb93fba-72b8-8daa-ac4c-0ad30c436bdb')
  })

  test('gives another id for another type, user or event_id', () => {
    const others = [
      derivedTraceId('running_stats', USER, 'run-1'),
      derivedTraceId('music_info', USER, 'run-1'),
      derivedTraceId('running_stats', USER.replace('d', 'e'), 'run-1'),
      derivedTraceId('running_stats', USER, 'run-2'),
      derivedTraceId('running_stats', USER, 'Run-1'),
      derivedTraceId('running_stats', USER, 'run-1 '),
      derivedTraceId('running_stats', USER, 'run-1\n'),
    ]
    assert.equal(new Set(others).size, others.length)
  })

  test('gives a UUID of version 8 and the RFC 9562 variant, the same for the same input only', () => {
    const input = fc.tuple(
      fc.constantFrom(...EVENT_TYPES),
      anyUuid,
      fc.string({ unit: 'binary', minLength: 1, maxLength: 128 }),
    )
    const property = fc.property(input, input, (a, b) => {
      assert.match(derivedTraceId(...a), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      assert.equal(derivedTraceId(...a), derivedTraceId(...a))
      assert.equal(
        derivedTraceId(...a) === derivedTraceId(...b),
        a.every((part, i) => part === b[i]),
      )
    })
    fc.assert(property, { numRuns: 200 })
  })
})
