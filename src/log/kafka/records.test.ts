import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c, createRecordsBatch, Reader, readRecordsBatch } from '@platformatic/kafka'
import fc from 'fast-check'
import { isFailure } from '../../errors.ts'
import type { LogRecord } from '../event-log.ts'
import { encodeRecords, RecordReader, recordBytesMax } from './records.ts'

const TIME = 1_700_000_000_123

const contents = fc.array(
  fc.record({ key: fc.string({ unit: 'grapheme' }), value: fc.uint8Array({ maxLength: 300 }) }),
  {
    minLength: 1,
    maxLength: 300,
  },
)

/** A batch as a broker gives it back: with offsets, and with its own time where `appendTime` says so. */
function stored(
  some: { key: string; value: Uint8Array }[],
  { at = 0, appendTime = 0, attributes = 0, lastOffsetDelta = some.length - 1 } = {},
): Buffer {
  const batch = encodeRecords(
    some.map((it) => ({ topic: 't', ...it })),
    TIME,
  )
  batch.writeBigInt64BE(BigInt(at), 0)
  batch.writeInt16BE(attributes | (appendTime > 0 ? 0b1000 : 0), 21)
  batch.writeInt32BE(lastOffsetDelta, 23)
  if (appendTime > 0) batch.writeBigInt64BE(BigInt(appendTime), 35)
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

function takeAll(reader: RecordReader, limit = Number.POSITIVE_INFINITY): LogRecord[] {
  const records: LogRecord[] = []
  while (!reader.done) reader.take(records, limit)
  return records
}

function plain(records: readonly { key: string; value: Uint8Array }[]) {
  return records.map(({ key, value }) => [key, Buffer.from(value).toString('hex')])
}

test('gives back what was encoded, in any portions', () => {
  fc.assert(
    fc.property(contents, fc.integer({ min: 1, max: 400 }), fc.nat(2 ** 40), (some, limit, at) => {
      const reader = new RecordReader(stored(some, { at, appendTime: TIME + 5 }), at)
      assert.equal(reader.end, at + some.length)
      const records = takeAll(reader, limit)
      assert.deepEqual(plain(records), plain(some))
      assert.deepEqual(
        records.map(({ offset }) => offset),
        some.map((_, i) => at + i),
      )
      assert.ok(records.every(({ appendTime }) => appendTime === TIME + 5))
      assert.equal(reader.next, reader.end)
    }),
  )
})

test('encodes what another implementation reads, and reads what it encodes', () => {
  const some = Array.from({ length: 200 }, (_, i) => ({ key: `ключ ${i}`, value: Buffer.alloc(i + 1, i) }))
  const theirs = readRecordsBatch(Reader.from(stored(some)))
  assert.deepEqual(
    theirs.records.map(({ key, value }) => [key?.toString(), value]),
    some.map(({ key, value }) => [key, value]),
  )
  const batch = createRecordsBatch(
    some.map(({ key, value }, i) => ({
      key: Buffer.from(key),
      value,
      topic: 't',
      timestamp: BigInt(TIME + i),
      headers: new Map([[Buffer.from('h'), Buffer.from('v')]]),
    })),
    { compression: 'gzip' },
  )
  const ours = takeAll(new RecordReader(batch.buffer, 0))
  assert.deepEqual(plain(ours), plain(some))
  assert.deepEqual(
    ours.map(({ appendTime }) => appendTime),
    some.map((_, i) => TIME + i),
  )
})

test('begins at the offset that was asked for, and leaves out a batch that is cut off', () => {
  const some = Array.from({ length: 5 }, (_, i) => ({ key: 'k', value: Buffer.from(`${i}`) }))
  const answer = Buffer.concat([stored(some, { at: 10 }), stored(some, { at: 20 }), stored(some, { at: 30 })])
  const reader = new RecordReader(answer.subarray(0, answer.length - 1), 13)
  assert.equal(reader.end, 25)
  const offsets = takeAll(reader).map(({ offset }) => offset)
  assert.deepEqual(offsets, [13, 14, 20, 21, 22, 23, 24])
})

test('passes over batches of control records, and says so in next', () => {
  const control = stored([{ key: '', value: Buffer.alloc(6) }], { at: 7 })
  control.writeInt16BE(0b10_0000, 21)
  control.writeUInt32BE(crc32c(control.subarray(21)), 17)
  const reader = new RecordReader(control, 7)
  assert.deepEqual([reader.done, reader.next, reader.end], [true, 8, 8])
})

test('stops behind the record that fills bytesMax', () => {
  const some = Array.from({ length: 5 }, () => ({ key: 'k', value: Buffer.alloc(100) }))
  const records: LogRecord[] = []
  const reader = new RecordReader(stored(some), 0)
  assert.deepEqual(reader.take(records, 10, 150), { count: 2, bytes: 200 })
  assert.equal(reader.next, 2)
})

test('refuses what was damaged on the way', () => {
  const batch = stored([{ key: 'k', value: Buffer.from('value') }])
  batch[batch.length - 3] = (batch[batch.length - 3] as number) ^ 1
  assert.throws(
    () => new RecordReader(batch, 0),
    (error) => isFailure(error, 'log_unavailable') && error.retryable,
  )
})

test('never takes more than it said', () => {
  fc.assert(
    fc.property(contents, (some) => {
      const records = some.map((it) => ({ topic: 't', ...it }))
      const most = records.reduce((sum, record) => sum + recordBytesMax(record), 64)
      assert.ok(encodeRecords(records, TIME).length <= most)
    }),
  )
})

test('tells of offsets that have no record any more, but for the markers of transactions', () => {
  const some = (count: number) => Array.from({ length: count }, () => ({ key: 'k', value: Buffer.from('v') }))
  const marker = stored(some(1), { at: 9, attributes: 0b11_0000 })
  // What compaction leaves of a batch of which it has removed every record.
  const emptied = stored([], { at: 10, lastOffsetDelta: 4 })
  const answer = Buffer.concat([
    stored(some(3)),
    stored(some(2), { at: 7 }),
    marker,
    emptied,
    stored(some(1), { at: 15 }),
  ])
  const reader = new RecordReader(answer, 0)
  assert.deepEqual(
    takeAll(reader).map(({ offset }) => offset),
    [0, 1, 2, 7, 8, 15],
  )
  assert.deepEqual(reader.takeGap(), { from: 3, to: 15, records: 9 })
  assert.equal(reader.takeGap(), undefined)
  assert.equal(reader.next, 16)
})

test('takes what comes before the place where it was to begin for no gap', () => {
  const some = Array.from({ length: 5 }, () => ({ key: 'k', value: Buffer.from('v') }))
  const reader = new RecordReader(stored(some, { at: 10 }), 13)
  assert.equal(takeAll(reader).length, 2)
  assert.equal(reader.takeGap(), undefined)
})
