import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { findRepeatedMembers } from './repeated-members.ts'

function pointersIn(text: string): string[] {
  JSON.parse(text)
  return findRepeatedMembers(text).map(({ pointer }) => pointer)
}

describe('findRepeatedMembers', () => {
  test('finds none where every name is there once', () => {
    for (const text of [
      '{}',
      '[]',
      '1',
      '"a"',
      'null',
      '{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}',
      '{"a":"a","b":"b"}',
      '["a","a"]',
    ]) {
      assert.deepEqual(pointersIn(text), [], text)
    }
  })

  test('says that a member is sent twice, and where', () => {
    assert.deepEqual(findRepeatedMembers('{"a":1,"a":1}'), [{ pointer: '/a', detail: 'is sent twice' }])
    assert.deepEqual(pointersIn('[{"a":1},{"b":{"c":[0,{"d":1,"d":2}]}}]'), ['/1/b/c/1/d'])
  })

  test('tells a member once for each time it is sent again', () => {
    assert.deepEqual(pointersIn('{"a":1,"b":2,"a":3,"a":4,"b":5}'), ['/a', '/a', '/b'])
  })

  test('takes an escaped name for the name that it spells', () => {
    assert.deepEqual(pointersIn('{"a":1,"\\u0061":2}'), ['/a'])
    assert.deepEqual(pointersIn('{"\\ud83d\\ude00":1,"😀":2}'), ['/😀'])
    assert.deepEqual(pointersIn('{"\\/":1,"/":2}'), ['/~1'])
    assert.deepEqual(pointersIn('{"\\\\u0061":1,"\\u005cu0061":2,"a":3}'), ['/\\u0061'])
  })

  test('does not take names for the same that only look alike', () => {
    assert.deepEqual(pointersIn('{"a":1,"A":2,"a ":3,"":4,"\\u00e9":5,"e\\u0301":6,"\\u0430":7}'), [])
  })

  test('is not led astray by what stands in strings', () => {
    assert.deepEqual(pointersIn('{"a":"{\\"a\\":1}","b":"\\\\","c":"\\\\\\"","d":"},{"}'), [])
    assert.deepEqual(pointersIn('{"a\\":1,\\"a":1,"a":2}'), [])
    assert.deepEqual(pointersIn('{"x":"\\"","a":"]}","a":"[{"}'), ['/a'])
    assert.deepEqual(pointersIn('{"x":["a:","\\":",":"],"x":":"}'), ['/x'])
  })

  test('sees a name with any white space before its colon', () => {
    assert.deepEqual(pointersIn('{"a" \t\r\n: 1 , "a"\n:\n2}'), ['/a'])
  })

  test('takes __proto__ and the empty name for names', () => {
    assert.deepEqual(pointersIn('{"__proto__":1,"__proto__":2,"":3,"":4}'), ['/__proto__', '/'])
  })

  test('tells a hundred of one object and no more', () => {
    assert.equal(pointersIn(`{"a":1${',"a":1'.repeat(500)}}`).length, 100)
  })

  test('tells at least one for each element of an array, however many there are', () => {
    const elements = Array.from({ length: 300 }, () => '{"a":1,"a":2,"b":3,"b":4}')
    const found = new Set(pointersIn(`[${elements.join(',')}]`).map((pointer) => pointer.split('/')[1]))
    assert.deepEqual(found, new Set(elements.keys().map(String)))
  })

  test('goes as deep as the text without recursion, and keeps the pointer short', () => {
    const depth = 200_000
    assert.deepEqual(findRepeatedMembers(`${'['.repeat(depth)}{"a":1,"a":2}${']'.repeat(depth)}`), [
      { pointer: '/0'.repeat(16), detail: 'has a member that is sent twice' },
    ])
    assert.deepEqual(pointersIn(`${'{"b":'.repeat(depth)}1${'}'.repeat(depth)}`), [])
  })

  test('does not answer with far more than it was given', () => {
    const again = ',"a":1'.repeat(200)
    for (const text of [
      `${'['.repeat(100_000)}{"a":1${again}}${']'.repeat(100_000)}`,
      `{"${'x'.repeat(100_000)}":{"a":1${again}}}`,
      `[${Array.from({ length: 500 }, () => `{"${'~'.repeat(1000)}":{"a":1${again}}}`).join(',')}]`,
    ]) {
      const told = pointersIn(text)
      assert.ok(told.length >= 100)
      assert.ok(told.join('').length < 2 * text.length)
    }
  })

  test('finds just the members that a random text was built to repeat', () => {
    const property = fc.property(anyNode(5), ({ text, repeated }) => {
      fc.pre(repeated.length <= 100)
      assert.deepEqual(pointersIn(text), repeated)
    })
    fc.assert(property, { numRuns: 500 })
  })
})

/** A JSON text, and the pointers of the members that are there again, in the order in which they are. */
type Node = { text: string; repeated: string[] }

const anyName = fc.oneof(
  fc.constantFrom('a', 'b', 'c', '', '/', '~', '"', '\\', '{', '}', ':', ',', '__proto__', '😀'),
  fc.string({ unit: 'binary', maxLength: 4 }),
)
const anySpace = fc.constantFrom('', ' ', '\n', '\t\r ')

/** A string in JSON, its characters escaped or not. */
const anySpelling = (value: string) =>
  fc.boolean().map((escaped) => {
    if (!escaped) return JSON.stringify(value)
    return `"${value.replace(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)}"`
  })

const anyLeaf: fc.Arbitrary<Node> = fc
  .oneof(anyName.chain(anySpelling), fc.constantFrom('0', '-1.5e3', 'true', 'null'))
  .map((text) => ({ text, repeated: [] }))

function anyNode(depth: number): fc.Arbitrary<Node> {
  if (depth === 0) return anyLeaf
  const child = anyNode(depth - 1)
  const member = anyName.chain((name) =>
    fc.record({ name: fc.constant(name), spelling: anySpelling(name), space: anySpace, child }),
  )
  return fc.oneof(
    anyLeaf,
    fc.array(child, { maxLength: 4 }).map((items) => ({
      text: `[${items.map(({ text }) => text).join(',')}]`,
      repeated: items.flatMap(({ repeated }, index) => repeated.map((below) => `/${index}${below}`)),
    })),
    fc.array(member, { maxLength: 5 }).map((members) => ({
      text: `{${members.map(({ spelling, space, child }) => `${space}${spelling}${space}:${child.text}`).join(',')}}`,
      repeated: members.flatMap(({ name, child }, index) => {
        const pointer = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
        const again = members.slice(0, index).some((earlier) => earlier.name === name)
        return [...(again ? [pointer] : []), ...child.repeated.map((below) => `${pointer}${below}`)]
      }),
    })),
  )
}
