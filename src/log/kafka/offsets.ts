import { listOffsetsV6, ProtocolError } from '@platformatic/kafka'
import { Failure } from '../../errors.ts'
import type { EventLog, LogRecord, PartitionRange, TimedOffset } from '../event-log.ts'
import { madeAnew } from '../place-in-log.ts'
import { FETCH, fetchPartition } from './apis.ts'
import type { Broker } from './broker-connections.ts'
import { type KafkaCluster, noLeader } from './cluster.ts'
import { RecordReader } from './records.ts'

/** Reading by position and time, without a group. */

const CONSUMER = -1
const READ_UNCOMMITTED = 0
const LATEST = -1
const EARLIEST = -2

const READ_BYTES_MAX = 8 * 1024 * 1024
const FETCH_BYTES_MAX = 1024 * 1024
const FETCH_BYTES_MIN = 16 * 1024
const TYPICAL_RECORD_BYTES = 512
const OFFSET_OUT_OF_RANGE = 1

export function partitionsOf(count: number): number[] {
  return Array.from({ length: count }, (_, partition) => partition)
}

export async function rangesOf(cluster: KafkaCluster, topic: string, count: number): Promise<PartitionRange[]> {
  const [firsts, nexts] = await listOffsets(cluster, topic, partitionsOf(count), [EARLIEST, LATEST])
  return partitionsOf(count).map((partition) => {
    const first = firsts?.[partition]?.offset ?? 0
    return { partition, first, next: Math.max(nexts?.[partition]?.offset ?? 0, first) }
  })
}

/**
 * One request a leader, as long as all partitions have such a record. Where one has none, its end is asked for first,
 * in the same flight and on the same connection: what is appended between the two answers is then found by its time, for
 * it has a later one.
 */
export async function offsetsAt(
  cluster: KafkaCluster,
  topic: string,
  partitions: readonly number[],
  time: number,
): Promise<TimedOffset[]> {
  const at = Math.max(time, 0)
  let [found] = await listOffsets(cluster, topic, partitions, [at])
  let nexts: Listed[] | undefined
  if (!partitions.every((partition) => isThere(found?.[partition]))) {
    ;[nexts, found] = await listOffsets(cluster, topic, partitions, [LATEST, at])
  }
  return partitions.map((partition) => {
    const one = found?.[partition]
    if (isThere(one)) return { partition, offset: one.offset, appendTime: one.time }
    return { partition, offset: nexts?.[partition]?.offset ?? 0, appendTime: undefined }
  })
}

type Listed = { offset: number; time: number }

function isThere(listed: Listed | undefined): listed is Listed {
  return listed !== undefined && listed.offset >= 0
}

/** For each of `times` what each of the partitions has there, by its number: one request a leader and time, all at once. */
async function listOffsets(
  cluster: KafkaCluster,
  topic: string,
  partitions: readonly number[],
  times: readonly number[],
): Promise<Listed[][]> {
  return cluster.retry(
    async () => {
      const byLeader = Map.groupBy(partitions, (partition) => leaderOf(cluster, topic, partition))
      const offsets = times.map((): Listed[] => [])
      const requests = [...byLeader].flatMap(([leader, some]) =>
        times.map(async (time, i) => {
          const wanted = some.map((partitionIndex) => ({
            partitionIndex,
            currentLeaderEpoch: -1,
            timestamp: BigInt(time),
          }))
          const topics = [{ name: topic, partitions: wanted }]
          const answer = await cluster.request(leader, listOffsetsV6.api, CONSUMER, READ_UNCOMMITTED, topics)
          for (const { partitionIndex, offset, timestamp } of answer.topics[0]?.partitions ?? []) {
            ;(offsets[i] as Listed[])[partitionIndex] = { offset: Number(offset), time: Number(timestamp) }
          }
        }),
      )
      await Promise.all(requests)
      return offsets
    },
    { topics: [topic] },
  )
}

export async function readRecords(
  cluster: KafkaCluster,
  { topic, partition, from, limit, bytesMax = READ_BYTES_MAX, logId }: Parameters<EventLog['read']>[0],
): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  let at = from
  let bytes = 0
  while (records.length < limit && bytes < bytesMax) {
    const wanted = Math.min((limit - records.length) * TYPICAL_RECORD_BYTES, bytesMax - bytes, FETCH_BYTES_MAX)
    const answerBytesMax = Math.max(wanted, FETCH_BYTES_MIN)
    const part = await fetchOnce(cluster, { topic, partition, from: at, bytesMax: answerBytesMax, logId })
    if (part === undefined) {
      const { first } = (await rangesOf(cluster, topic, partition + 1))[partition] as PartitionRange
      // Beyond the end there is nothing; before the beginning there was something.
      if (at >= first || records.length > 0) break
      throw new Failure('offset_removed', `${topic}:${partition} begins at ${first}`, { retryable: false })
    }
    const reader = new RecordReader(part.records, at)
    bytes += reader.take(records, limit - records.length, bytesMax - bytes).bytes
    if (reader.next === at) break
    at = reader.next
  }
  // Copies, for one record must not keep the whole answer in memory for as long as its reader likes.
  for (const record of records) record.value = Buffer.from(record.value)
  return records
}

/** Undefined when the partition does not have this offset. */
async function fetchOnce(
  cluster: KafkaCluster,
  { topic, partition, from, bytesMax, logId }: Omit<Parameters<EventLog['read']>[0], 'limit'> & { bytesMax: number },
) {
  return cluster.retry(
    async () => {
      const leader = leaderOf(cluster, topic, partition)
      const topicId = topicIdOf(cluster, topic)
      if (logId !== undefined) refuseOther(cluster, topic, { expected: logId, topicId })
      const topics = [{ topicId, partitions: [fetchPartition(partition, from, bytesMax)] }]
      const [part] = await cluster.request(leader, FETCH, 0, 0, bytesMax, READ_UNCOMMITTED, 0, -1, topics, [], '')
      if (part?.errorCode === OFFSET_OUT_OF_RANGE) return undefined
      if (part?.errorCode !== 0) throw new ProtocolError(part?.errorCode ?? -1)
      return part
    },
    { topics: [topic] },
  )
}

function refuseOther(
  cluster: KafkaCluster,
  topic: string,
  { expected, topicId }: { expected: string; topicId: string },
): void {
  const logId = cluster.logIdOf(topicId)
  if (logId !== expected) throw madeAnew(topic, { expected, logId })
}

export function topicIdOf(cluster: KafkaCluster, topic: string): string {
  const topicId = cluster.topicId(topic)
  if (topicId === undefined) throw noLeader(topic, 0)
  return topicId
}

function leaderOf(cluster: KafkaCluster, topic: string, partition: number): Broker {
  const leader = cluster.leader(topic, partition)
  if (leader === undefined) throw noLeader(topic, partition)
  return leader
}
