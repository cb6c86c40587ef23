import type { LogRecord, NewRecord } from '../event-log.ts'

/**
 * Consecutive records of one partition in one piece of bytes: for each the lengths of its key and of its value
 * (uint32, little-endian), then the two. It is what the embedded log keeps in a row and what its threads hand to each
 * other, because a row and a message cost much more than a record in them.
 */
export type PackedRecords = { topic: string; partition: number; count: number; bytes: Uint8Array }

/**
 * What one piece has at most, unless one record alone is larger: reading a single record reads its whole piece, and
 * with pieces of 64 KiB the process took 35 MB more under load, and stored no faster.
 */
const BYTES_MAX = 8 * 1024
const LENGTHS_BYTES = 8

/** Packs records, each partition's in their order. All pieces share one buffer, so that it can be transferred. */
export function packRecords(records: readonly NewRecord[], partitionOf: (key: string) => number): PackedRecords[] {
  const groups: { topic: string; partition: number; records: NewRecord[] }[] = []
  let total = 0
  for (const record of records) {
    const { topic, key, value } = record
    total += LENGTHS_BYTES + Buffer.byteLength(key) + value.byteLength
    const partition = partitionOf(key)
    const group = groups.find((other) => other.partition === partition && other.topic === topic)
    if (group === undefined) groups.push({ topic, partition, records: [record] })
    else group.records.push(record)
  }
  const buffer = Buffer.allocUnsafeSlow(total)
  const packed: PackedRecords[] = []
  let at = 0
  for (const { topic, partition, records } of groups) {
    let start = at
    let count = 0
    const end = () => {
      packed.push({ topic, partition, count, bytes: buffer.subarray(start, at) })
      start = at
      count = 0
    }
    for (const { key, value } of records) {
      if (count > 0 && at - start + LENGTHS_BYTES + value.byteLength > BYTES_MAX) end()
      const keyBytes = buffer.write(key, at + LENGTHS_BYTES)
      buffer.writeUInt32LE(keyBytes, at)
      buffer.writeUInt32LE(value.byteLength, at + 4)
      buffer.set(value, at + LENGTHS_BYTES + keyBytes)
      at += LENGTHS_BYTES + keyBytes + value.byteLength
      count++
    }
    end()
  }
  return packed
}

/** The records of a piece whose first has offset `first`, from offset `from` on. Their values are views of `bytes`. */
export function* unpackRecords(
  { first, appendTime, bytes }: { first: number; appendTime: number; bytes: Uint8Array },
  from: number,
): Generator<LogRecord> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  for (let offset = first; at < buffer.byteLength; offset++) {
    const key = at + LENGTHS_BYTES
    const value = key + buffer.readUInt32LE(at)
    const end = value + buffer.readUInt32LE(at + 4)
    if (offset >= from) {
      yield { offset, appendTime, key: buffer.toString('utf8', key, value), value: buffer.subarray(value, end) }
    }
    at = end
  }
}
