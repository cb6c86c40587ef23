import assert from 'node:assert/strict'
import { test } from 'node:test'
import { murmur2, partitionOf } from './partitioner.ts'

test('hashes as the Java client does', () => {
  // The values of Kafka's own UtilsTest.
  for (const [text, hash] of [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ] as const) {
    assert.equal(murmur2(Buffer.from(text)), hash)
  }
})

test('gives every key one of the partitions, however long it is and whatever is in it', () => {
  for (const key of ['', 'a', 'ключ 🏃', '\ud800', 'x'.repeat(170), 'x'.repeat(171), 'ж'.repeat(5000)]) {
    const hash = murmur2(Buffer.from(key)) & 0x7fffffff
    for (const partitions of [1, 2, 7, 1000]) assert.equal(partitionOf(key, partitions), hash % partitions)
  }
})
