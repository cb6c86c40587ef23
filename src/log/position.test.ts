import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { formatCursors, nextOf, type PartitionCursor, parseCursors, samePartition, withMoved } from './position.ts'

const anyTopic = fc.oneof(fc.constantFrom('a', 'b', 'runify.music_info'), fc.stringMatching(/^[A-Za-z0-9._-]{1,249}$/))
const anyCursors: fc.Arbitrary<PartitionCursor[]> = fc.uniqueArray(
  fc.record(
    { topic: anyTopic, partition: fc.nat({ max: 999_999_999 }), next: fc.nat({ max: 999_999_999_999_999 }) },
    { noNullPrototype: true },
  ),
  { comparator: samePartition, maxLength: 10 },
)

describe('the cursors of a reader', () => {
  test('stand at 0 for a partition that is not named', () => {
    const cursors = [{ topic: 'a', partition: 1, next: 7 }]
    assert.equal(nextOf(cursors, { topic: 'a', partition: 1 }), 7)
    assert.equal(nextOf(cursors, { topic: 'a', partition: 0 }), 0)
    assert.equal(nextOf(cursors, { topic: 'b', partition: 1 }), 0)
    assert.equal(nextOf([], { topic: 'a', partition: 1 }), 0)
  })

  test('are moved partition by partition, back as well as on, and the others stay', () => {
    const before = [
      { topic: 'b', partition: 0, next: 5 },
      { topic: 'a', partition: 1, next: 7 },
      { topic: 'a', partition: 0, next: 9 },
    ]
    const moved = [
      { topic: 'a', partition: 1, next: 8 },
      { topic: 'b', partition: 0, next: 4 },
      { topic: 'c', partition: 2, next: 1 },
    ]
    assert.deepEqual(withMoved(before, moved), [
      { topic: 'a', partition: 0, next: 9 },
      { topic: 'a', partition: 1, next: 8 },
      { topic: 'b', partition: 0, next: 4 },
      { topic: 'c', partition: 2, next: 1 },
    ])
    assert.equal(nextOf(before, { topic: 'a', partition: 1 }), 7)
  })

  test('stand where they were moved to, and elsewhere where they stood', () => {
    const property = fc.property(anyCursors, anyCursors, (before, moved) => {
      const after = withMoved(before, moved)
      for (const at of [...before, ...moved]) {
        const expected = moved.some((cursor) => samePartition(cursor, at)) ? nextOf(moved, at) : nextOf(before, at)
        assert.equal(nextOf(after, at), expected)
      }
      assert.equal(new Set(after.map(({ topic, partition }) => `${topic}:${partition}`)).size, after.length)
    })
    fc.assert(property, { numRuns: 200 })
  })
})

describe('the text of cursors', () => {
  test('is sorted by topic, then by partition as a number', () => {
    const cursors = [
      { topic: 'b', partition: 0, next: 1 },
      { topic: 'a', partition: 10, next: 2 },
      { topic: 'a', partition: 9, next: 3 },
    ]
    assert.equal(formatCursors(cursors), 'a:9:3,a:10:2,b:0:1')
    assert.equal(formatCursors([]), '')
    assert.deepEqual(cursors[0], { topic: 'b', partition: 0, next: 1 })
  })

  test('is the same for the same cursors in any order, and is read back', () => {
    const property = fc.property(anyCursors, (cursors) => {
      const text = formatCursors(cursors)
      assert.equal(formatCursors(cursors.toReversed()), text)
      assert.equal(formatCursors(parseCursors(text) ?? []), text)
      const byText = (some: PartitionCursor[]) => some.map((cursor) => JSON.stringify(cursor)).sort()
      assert.deepEqual(byText(parseCursors(text) ?? []), byText(cursors))
    })
    fc.assert(property, { numRuns: 200 })
  })

  test('stands for the beginning when empty', () => {
    assert.deepEqual(parseCursors(''), [])
  })

  for (const [text, why] of [
    [',', 'only a comma'],
    ['a:0:1,', 'a comma at the end'],
    ['a:0:1, b:0:1', 'a space'],
    ['a:0', 'no offset'],
    ['a:0:1:2', 'a part too many'],
    [':0:1', 'no topic'],
    ['a::1', 'no partition'],
    ['a:-1:1', 'a negative partition'],
    ['a:0:-1', 'a negative offset'],
    ['a:0:1.5', 'half an offset'],
    ['a:0:1e3', 'an exponent'],
    ['a:0x1:1', 'a hexadecimal number'],
    ['a b:0:1', 'a topic that no log takes'],
    ['é:0:1', 'a topic beyond ASCII'],
    [`${'a'.repeat(250)}:0:1`, 'a topic too long'],
    ['a:0:1000000000000000', 'an offset of 16 digits'],
    ['a:1000000000:0', 'a partition of 10 digits'],
    ['a:0:1,a:0:2', 'a partition that is named twice'],
    ['a:0:1,a:00:2', 'a partition that is named twice, once with a zero in front'],
    ['a:0:1\n', 'a line end'],
  ] as const) {
    test(`is refused with ${why}`, () => assert.equal(parseCursors(text), undefined))
  }
})
