import { createAPI, fetchV13, type Reader, Writer } from '@platformatic/kafka'
import type { NewRecord } from '../event-log.ts'

/**
 * The two requests that carry records, with the records as bytes. All requests have one version each, those of Kafka
 * 3.1, which 4.x has kept: there is nothing to negotiate.
 */

export type ProduceBatch = { topic: string; partition: number; bytes: Buffer; records: readonly NewRecord[] }
export type Produced = { topic: string; partition: number; errorCode: number }

const ALL_IN_SYNC = -1

/** Produce, version 9; a broker takes one batch for each partition. */
export const PRODUCE = createAPI<[batches: readonly ProduceBatch[], timeoutMs: number], Produced[]>(
  0,
  9,
  (batches: readonly ProduceBatch[], timeoutMs: number) => {
    const byTopic = [...Map.groupBy(batches, ({ topic }) => topic)]
    return Writer.create()
      .appendString(null)
      .appendInt16(ALL_IN_SYNC)
      .appendInt32(timeoutMs)
      .appendArray(byTopic, (writer, [topic, some]) => {
        writer.appendString(topic).appendArray(some, (inner, { partition, bytes }) => {
          inner
            .appendInt32(partition)
            .appendUnsignedVarInt(bytes.length + 1)
            .append(bytes)
        })
      })
      .appendTaggedFields()
  },
  (_correlationId, _apiKey, _apiVersion, reader) => {
    const produced: Produced[] = []
    reader.readArray((inner) => {
      const topic = inner.readString()
      inner.readArray((part) => {
        produced.push({ topic, partition: part.readInt32(), errorCode: part.readInt16() })
        // Base offset, append time, log start.
        part.skip(24)
        part.readArray((error) => {
          error.readInt32()
          error.readNullableString()
        })
        part.readNullableString()
      })
    })
    return produced
  },
)

export type FetchedPart = {
  topicId: string
  partition: number
  errorCode: number
  highWatermark: number
  records: Buffer
}

const NO_RECORDS = Buffer.alloc(0)

/** Fetch, version 13: it names topics by their ids, so that no record comes of one that was made anew meanwhile. */
export const FETCH = createAPI<Parameters<typeof fetchV13.createRequest>, FetchedPart[]>(
  1,
  13,
  fetchV13.createRequest,
  (_correlationId, _apiKey, _apiVersion, reader) => {
    reader.readInt32()
    const errorCode = reader.readInt16()
    reader.readInt32()
    const parts: FetchedPart[] = []
    reader.readArray((inner) => {
      const topicId = inner.readUUID()
      inner.readArray((part) => {
        parts.push(readPart(part, topicId, errorCode))
      })
    })
    return parts
  },
)

function readPart(reader: Reader, topicId: string, errorCode: number): FetchedPart {
  const partition = reader.readInt32()
  const ownErrorCode = reader.readInt16()
  const highWatermark = Number(reader.readInt64())
  // Last stable offset and log start.
  reader.skip(16)
  reader.readNullableArray((aborted) => aborted.skip(16))
  reader.skip(4)
  const length = reader.readUnsignedVarInt() - 1
  const records = length > 0 ? reader.buffer.slice(reader.position, reader.position + length) : NO_RECORDS
  reader.skip(Math.max(length, 0))
  return { topicId, partition, errorCode: ownErrorCode || errorCode, highWatermark, records }
}

/** One partition as `FETCH` wants it. */
export function fetchPartition(partition: number, from: number, bytesMax: number) {
  return {
    partition,
    currentLeaderEpoch: -1,
    fetchOffset: BigInt(from),
    lastFetchedEpoch: -1,
    partitionMaxBytes: bytesMax,
  }
}
