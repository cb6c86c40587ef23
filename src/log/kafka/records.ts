import { compressionsAlgorithmsByBitmask, crc32c } from '@platformatic/kafka'
import { Failure } from '../../errors.ts'
import type { LogRecord, NewRecord, OffsetGap } from '../event-log.ts'

/**
 * Record batches, version 2 (https://kafka.apache.org/documentation/#messageformat), in one buffer each. The client's
 * own encoding makes several objects a record, which costs more than all the rest of an append or a read.
 */

const HEADER_BYTES = 61
const LENGTH_AT = 8
const MAGIC_AT = 16
const CRC_AT = 17
const ATTRIBUTES_AT = 21
const LAST_OFFSET_DELTA_AT = 23
const BASE_TIMESTAMP_AT = 27
const MAX_TIMESTAMP_AT = 35
const PRODUCER_AT = 43
const COUNT_AT = 57

const COMPRESSED = 0b111
const LOG_APPEND_TIME = 0b1000
const CONTROL = 0b10_0000

/** What a record takes in a batch at most. */
export function recordBytesMax({ key, value }: NewRecord): number {
  return key.length * 3 + value.byteLength + 23
}

/** The records of one partition as a batch; the broker sets offsets and times. */
export function encodeRecords(records: readonly NewRecord[], time: number): Buffer {
  const count = records.length
  const keyBytes = new Uint32Array(count)
  const bodyBytes = new Uint32Array(count)
  let total = HEADER_BYTES
  for (let i = 0; i < count; i++) {
    const { key, value } = records[i] as NewRecord
    const bytes = Buffer.byteLength(key)
    keyBytes[i] = bytes
    // Attributes, the time's delta and the number of headers are a byte each.
    const body = 3 + varintBytes(i) + varintBytes(bytes) + bytes + varintBytes(value.byteLength) + value.byteLength
    bodyBytes[i] = body
    total += varintBytes(body) + body
  }
  const batch = Buffer.allocUnsafe(total)
  batch.fill(0, 0, HEADER_BYTES)
  batch.writeInt32BE(total - LENGTH_AT - 4, LENGTH_AT)
  batch.writeInt32BE(-1, 12)
  batch[MAGIC_AT] = 2
  batch.writeInt32BE(count - 1, LAST_OFFSET_DELTA_AT)
  batch.writeBigInt64BE(BigInt(time), BASE_TIMESTAMP_AT)
  batch.writeBigInt64BE(BigInt(time), MAX_TIMESTAMP_AT)
  // Producer id, epoch and sequence of one who is not idempotent are all -1.
  batch.fill(0xff, PRODUCER_AT, COUNT_AT)
  batch.writeInt32BE(count, COUNT_AT)
  let at = HEADER_BYTES
  for (let i = 0; i < count; i++) {
    const { key, value } = records[i] as NewRecord
    at = writeVarint(batch, at, bodyBytes[i] as number)
    batch[at++] = 0
    batch[at++] = 0
    at = writeVarint(batch, at, i)
    at = writeVarint(batch, at, keyBytes[i] as number)
    at += batch.write(key, at)
    at = writeVarint(batch, at, value.byteLength)
    batch.set(value, at)
    at += value.byteLength
    batch[at++] = 0
  }
  batch.writeUInt32BE(crc32c(batch.subarray(ATTRIBUTES_AT)), CRC_AT)
  return batch
}

/** One record batch of an answer, its records decompressed. */
type Opened = {
  bytes: Buffer
  at: number
  left: number
  baseOffset: number
  endOffset: number
  baseTimestamp: number
  /** The time of all its records, where the log gives the time. */
  appendTime: number | undefined
  /** Holds a marker of a transaction, which is no record. Who writes in transactions is not Runify. */
  isControl: boolean
}

/**
 * The records of a fetch answer, decoded as they are taken. A broker answers with whole batches, so some records
 * before the wanted offset are passed over, and the last batch may be cut off. Values are views of the answer.
 */
export class RecordReader {
  readonly bytes: number
  /** What the answer covers: everything from the one offset up to, not including, the other. */
  readonly from: number
  readonly end: number
  /** Everything before this offset has been taken or is not there. */
  next: number
  readonly #answer: Buffer
  #gap: OffsetGap | undefined
  #at = 0
  #batch: Opened | undefined

  constructor(answer: Buffer, from: number) {
    this.#answer = answer
    this.bytes = answer.length
    this.from = from
    this.next = from
    this.end = Math.max(from, endOf(answer))
    this.#open()
  }

  /** Nothing is left to take. */
  get done(): boolean {
    return this.#batch === undefined
  }

  /** What was passed over since the last call though there should have been records. */
  takeGap(): OffsetGap | undefined {
    const gap = this.#gap
    this.#gap = undefined
    return gap
  }

  /** Appends up to `limit` records to `records`, but stops behind the one that fills `bytesMax`; gives what they have. */
  take(records: LogRecord[], limit: number, bytesMax = Number.POSITIVE_INFINITY): { count: number; bytes: number } {
    let count = 0
    let bytes = 0
    while (this.#batch !== undefined && count < limit && bytes < bytesMax) {
      const batch = this.#batch
      while (batch.left > 0 && count < limit && bytes < bytesMax) {
        const record = readRecord(batch)
        if (record.offset < this.next) continue
        if (record.offset > this.next) this.#passOver(record.offset)
        records.push(record)
        this.next = record.offset + 1
        count++
        bytes += record.value.byteLength
      }
      if (batch.left === 0) {
        this.#passOver(batch.endOffset)
        this.#open()
      }
    }
    return { count, bytes }
  }

  /** Goes to the next batch that has records behind `next`. */
  #open(): void {
    const bytes = this.#answer
    this.#batch = undefined
    while (this.#at + HEADER_BYTES <= bytes.length) {
      const start = this.#at
      const end = start + LENGTH_AT + 4 + bytes.readInt32BE(start + LENGTH_AT)
      if (end > bytes.length) return
      this.#at = end
      const batch = openBatch(bytes, start, end)
      if (batch.left > 0 && batch.endOffset > this.next) {
        this.#batch = batch
        return
      }
      this.#passOver(batch.isControl ? batch.baseOffset : batch.endOffset)
      this.next = Math.max(this.next, batch.endOffset)
    }
  }

  #passOver(to: number): void {
    if (to <= this.next) return
    this.#gap = joinGaps(this.#gap, { from: this.next, to, records: to - this.next })
    this.next = to
  }
}

/** One that tells of both; the other may be missing. */
export function joinGaps(first: OffsetGap | undefined, second: OffsetGap | undefined): OffsetGap | undefined {
  if (first === undefined || second === undefined) return first ?? second
  return { from: first.from, to: second.to, records: first.records + second.records }
}

/** The offset behind the last whole batch. */
function endOf(answer: Buffer): number {
  let end = 0
  for (let at = 0; at + HEADER_BYTES <= answer.length; ) {
    const behind = at + LENGTH_AT + 4 + answer.readInt32BE(at + LENGTH_AT)
    if (behind > answer.length) break
    end = readInt64(answer, at) + answer.readInt32BE(at + LAST_OFFSET_DELTA_AT) + 1
    at = behind
  }
  return end
}

function openBatch(answer: Buffer, start: number, end: number): Opened {
  if (answer[start + MAGIC_AT] !== 2) throw damaged('a record batch of another version than 2')
  const crc = crc32c(answer.subarray(start + ATTRIBUTES_AT, end))
  if (crc !== answer.readUInt32BE(start + CRC_AT)) throw damaged('a record batch whose checksum is wrong')
  const attributes = answer.readInt16BE(start + ATTRIBUTES_AT)
  const isControl = (attributes & CONTROL) !== 0
  const baseOffset = readInt64(answer, start)
  const algorithm = attributes & COMPRESSED
  const packed = answer.subarray(start + HEADER_BYTES, end)
  return {
    bytes: algorithm === 0 ? packed : decompress(algorithm, packed),
    at: 0,
    left: isControl ? 0 : answer.readInt32BE(start + COUNT_AT),
    isControl,
    baseOffset,
    endOffset: baseOffset + answer.readInt32BE(start + LAST_OFFSET_DELTA_AT) + 1,
    baseTimestamp: readInt64(answer, start + BASE_TIMESTAMP_AT),
    appendTime: (attributes & LOG_APPEND_TIME) === 0 ? undefined : readInt64(answer, start + MAX_TIMESTAMP_AT),
  }
}

function decompress(algorithm: number, packed: Buffer): Buffer {
  const known = compressionsAlgorithmsByBitmask[algorithm as keyof typeof compressionsAlgorithmsByBitmask]
  if (known === undefined) throw damaged(`the compression ${algorithm}, which nobody knows`)
  return known.decompressSync(packed)
}

function readRecord(batch: Opened): LogRecord {
  const { bytes } = batch
  let at = batch.at

  function varint(): number {
    let byte = bytes[at++] as number
    let value = byte & 0x7f
    for (let scale = 0x80; byte >= 0x80; scale *= 0x80) {
      byte = bytes[at++] as number
      value += (byte & 0x7f) * scale
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  const length = varint()
  const end = at + length
  at++
  const timestampDelta = varint()
  const offset = batch.baseOffset + varint()
  const keyLength = varint()
  const keyEnd = at + Math.max(keyLength, 0)
  const key = keyLength > 0 ? bytes.toString('utf8', at, keyEnd) : ''
  at = keyEnd
  const valueLength = varint()
  const value = bytes.subarray(at, at + Math.max(valueLength, 0))
  if (length < 0 || end > bytes.length || at + valueLength > end) throw damaged('a record that is cut off')
  batch.at = end
  batch.left--
  return { offset, appendTime: batch.appendTime ?? batch.baseTimestamp + timestampDelta, key, value }
}

function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4)
}

/** Of a number that is not negative, in zigzag form. */
function varintBytes(value: number): number {
  return value < 0x40 ? 1 : value < 0x2000 ? 2 : value < 0x10_0000 ? 3 : value < 0x800_0000 ? 4 : 5
}

function writeVarint(bytes: Buffer, at: number, value: number): number {
  let left = value * 2
  while (left >= 0x80) {
    bytes[at++] = (left & 0x7f) | 0x80
    left = Math.floor(left / 0x80)
  }
  bytes[at++] = left
  return at
}

function damaged(what: string): Failure {
  return new Failure('log_unavailable', `Kafka sent ${what}`, { retryable: true })
}
