import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { packRecords, unpackRecords } from './packed-records.ts'

const RECORD = fc.record({
  topic: fc.constantFrom<string>('runs', 'songs'),
  key: fc.string({ unit: 'grapheme', maxLength: 12 }),
  value: fc.oneof({ weight: 20, arbitrary: fc.uint8Array({ maxLength: 400 }) }, fc.constant(new Uint8Array(20_000))),
})
const partitionOf = (key: string) => key.length % 3

describe('packed records', () => {
  test('come back as they were, those of each partition in their order', () => {
    const property = fc.property(fc.array(RECORD, { maxLength: 200 }), (records) => {
      const back = packRecords(records, partitionOf).flatMap(({ topic, partition, count, bytes }) => {
        const unpacked = [...unpackRecords({ first: 7, appendTime: 1, bytes }, 0)]
        assert.deepEqual(
          unpacked.map(({ offset }) => offset),
          Array.from({ length: count }, (_, index) => 7 + index),
        )
        return unpacked.map(({ key, value }) => ({ topic, partition, key, value: [...value] }))
      })
      const placed = records.map(({ topic, key, value }) => {
        return { topic, partition: partitionOf(key), key, value: [...value] }
      })
      for (const topic of ['runs', 'songs']) {
        for (const partition of [0, 1, 2]) {
          const of = (all: typeof placed) => all.filter((it) => it.topic === topic && it.partition === partition)
          assert.deepEqual(of(back), of(placed))
        }
      }
      assert.equal(back.length, records.length)
    })
    fc.assert(property, { numRuns: 200 })
  })

  test('are in pieces that are quick to read one record from, and share one buffer', () => {
    const records = Array.from({ length: 1000 }, (_, i) => ({ topic: 'runs', key: `${i}`, value: new Uint8Array(300) }))
    const packed = packRecords(records, () => 0)
    assert.ok(packed.length > 30)
    assert.ok(packed.every(({ bytes }) => bytes.byteLength <= 8 * 1024))
    assert.equal(new Set(packed.map(({ bytes }) => bytes.buffer)).size, 1)
  })

  test('are unpacked from an offset in their middle', () => {
    const records = ['a', 'b', 'c'].map((key) => ({ topic: 'runs', key, value: Buffer.from(key) }))
    const { bytes } = packRecords(records, () => 0)[0] as { bytes: Uint8Array }
    const found = [...unpackRecords({ first: 40, appendTime: 5, bytes }, 41)]
    assert.deepEqual(
      found.map(({ offset, appendTime, key }) => [offset, appendTime, key]),
      [
        [41, 5, 'b'],
        [42, 5, 'c'],
      ],
    )
  })
})
