import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { checkField, type Field, fieldSchema, Refusal, wireValue } from './field.ts'

const SECONDS: Field = { kind: 'number', unit: 'seconds', min: 0, max: 86_400, description: 'How long' }
const NAME: Field = { kind: 'text', charactersMin: 1, charactersMax: 512, description: 'A name' }
const USER: Field = { kind: 'uuid', description: 'Who' }
const TIME: Field = { kind: 'instant', description: 'When' }

function refusalOf(field: Field, value: unknown): string {
  const result = checkField(field, value)
  assert.ok(result instanceof Refusal, `${String(value)} should be refused`)
  return result.detail
}

describe('a number', () => {
  test('is kept exactly, up to and with its bounds', () => {
    for (const value of [0, 5e-324, 0.1 + 0.2, 1, 4689.24, 86_399.999_999_999_99, 86_400]) {
      assert.ok(Object.is(checkField(SECONDS, value), value), `${value}`)
    }
  })

  test('is refused beyond its bounds, with the bounds and the unit', () => {
    for (const value of [-5e-324, -1, 86_400.000_000_000_01, 1e308, Infinity, -Infinity, Number.NaN]) {
      assert.equal(refusalOf(SECONDS, value), 'must be from 0 to 86400 seconds')
    }
  })

  test('is refused as negative zero, which no store keeps', () => {
    assert.match(refusalOf(SECONDS, -0), /-0/)
  })

  test('is not made of anything else', () => {
    assert.equal(refusalOf(SECONDS, '3600'), 'must be a number, not a string')
    assert.equal(refusalOf(SECONDS, ''), 'must be a number, not a string')
    assert.equal(refusalOf(SECONDS, true), 'must be a number, not a boolean')
    assert.equal(refusalOf(SECONDS, null), 'must be a number, not null')
    assert.equal(refusalOf(SECONDS, [3600]), 'must be a number, not an array')
    assert.equal(refusalOf(SECONDS, {}), 'must be a number, not an object')
    assert.equal(refusalOf(SECONDS, 3600n), 'must be a number, not a bigint')
  })
})

describe('a text', () => {
  test('is kept as it is: no trimming, no normalising', () => {
    for (const value of [
      ' ',
      '\0',
      ' a ',
      'Cafe\u0301',
      'Caf\u00e9',
      'שלום עולם',
      '\u202e',
      '\ufeff',
      '\uffff',
      '😀',
    ]) {
      assert.equal(checkField(NAME, value), value)
    }
  })

  test('is counted in code points, not in UTF-16 units and not in graphemes', () => {
    assert.equal(checkField(NAME, '😀'.repeat(512)), '😀'.repeat(512))
    assert.equal(checkField(NAME, 'a'.repeat(512)), 'a'.repeat(512))
    assert.equal(refusalOf(NAME, '😀'.repeat(513)), 'must have 1 to 512 characters')
    assert.equal(refusalOf(NAME, 'a'.repeat(513)), 'must have 1 to 512 characters')
    assert.equal(refusalOf(NAME, `${'😀'.repeat(511)}ab`), 'must have 1 to 512 characters')
    assert.equal(refusalOf(NAME, 'e\u0301'.repeat(257)), 'must have 1 to 512 characters')
    assert.equal(checkField({ ...NAME, charactersMin: 2 }, '😀a'), '😀a')
    assert.equal(refusalOf({ ...NAME, charactersMin: 2 }, '😀'), 'must have 2 to 512 characters')
  })

  test('is refused when empty', () => {
    assert.equal(refusalOf(NAME, ''), 'must have 1 to 512 characters')
  })

  test('is refused with half a surrogate pair, wherever it stands', () => {
    for (const value of ['\ud83d', '\ude00', 'a\ud83d', '\ude00a', '\ude00\ud83d', '😀\ud83d']) {
      assert.match(refusalOf(NAME, value), /lone surrogates/)
    }
  })

  test('is not made of anything else', () => {
    assert.equal(refusalOf(NAME, 5), 'must be a string, not a number')
    assert.equal(refusalOf(NAME, null), 'must be a string, not null')
    assert.equal(refusalOf(NAME, ['a']), 'must be a string, not an array')
    assert.equal(refusalOf(NAME, { length: 1 }), 'must be a string, not an object')
  })
})

describe('a UUID', () => {
  test('is taken in either case and kept in lower case', () => {
    assert.equal(checkField(USER, 'D290F1EE-6C54-4B01-90E6-D701748F0851'), 'd290f1ee-6c54-4b01-90e6-d701748f0851')
    assert.equal(checkField(USER, '00000000-0000-0000-0000-000000000000'), '00000000-0000-0000-0000-000000000000')
    assert.equal(checkField(USER, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), 'ffffffff-ffff-ffff-ffff-ffffffffffff')
  })

  test('is refused in any other form', () => {
    for (const value of [
      '',
      'd290f1ee6c544b0190e6d701748f0851',
      '{d290f1ee-6c54-4b01-90e6-d701748f0851}',
      'urn:uuid:d290f1ee-6c54-4b01-90e6-d701748f0851',
      'd290f1ee-6c54-4b01-90e6-d701748f085',
      'd290f1ee-6c54-4b01-90e6-d701748f08511',
      'd290f1ee-6c54-4b01-90e6-d701748f085g',
      'd290f1e-e6c54-4b01-90e6-d701748f0851',
      ' d290f1ee-6c54-4b01-90e6-d701748f0851',
      'd290f1ee-6c54-4b01-90e6-d701748f0851\n',
    ]) {
      assert.match(refusalOf(USER, value), /must be a UUID/)
    }
    assert.equal(refusalOf(USER, 7), 'must be a UUID in a string, not a number')
  })
})

describe('an instant', () => {
  test('becomes epoch milliseconds and goes out in UTC', () => {
    assert.equal(checkField(TIME, '2012-12-26T22:29:53.1239+01:00'), 1_356_557_393_123)
    assert.equal(wireValue(TIME, 1_356_557_393_123), '2012-12-26T21:29:53.123Z')
  })

  test('is refused when there is no such day, no zone, or no text', () => {
    assert.match(refusalOf(TIME, '2024-02-30T00:00:00Z'), /RFC 3339/)
    assert.match(refusalOf(TIME, '2024-02-28T00:00:00'), /RFC 3339/)
    assert.equal(refusalOf(TIME, 1_356_557_393_123), 'must be a date-time in a string, not a number')
  })
})

describe('the schema of a field', () => {
  test('says what the check does', () => {
    assert.deepEqual(fieldSchema(SECONDS), {
      type: 'number',
      minimum: 0,
      maximum: 86_400,
      description: 'How long, in seconds',
    })
    assert.deepEqual(fieldSchema(NAME), { type: 'string', minLength: 1, maxLength: 512, description: 'A name' })
    assert.deepEqual(fieldSchema(USER), { type: 'string', format: 'uuid', description: 'Who' })
    assert.deepEqual(fieldSchema(TIME), { type: 'string', format: 'date-time', description: 'When' })
  })
})
