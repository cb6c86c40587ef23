import { ProtocolError } from '@platformatic/kafka'
import { Failure } from '../errors.ts'
import type { NewRecord } from './event-log.ts'
import { PRODUCE, type ProduceBatch } from './kafka-apis.ts'
import { type KafkaCluster, noLeader } from './kafka-cluster.ts'
import { isRetryable } from './kafka-failure.ts'
import type { KafkaLane } from './kafka-lane.ts'
import { partitionOf } from './kafka-partitioner.ts'
import { encodeRecords, recordBytesMax } from './kafka-records.ts'
import type { KafkaTopics } from './kafka-topics.ts'

/** Brokers take batches of 1,048,588 bytes where nothing else is configured (`max.message.bytes`). */
const BATCH_BYTES_MAX = 1_000_000
const HEADER_BYTES = 64
/** How long a broker waits for the other replicas. */
const REPLICATION_TIMEOUT_MS = 1200
/** By then the callers have been told no; a connection that leads nowhere must not keep those behind them waiting. */
const REQUEST_TIMEOUT_MS = 1500

/**
 * Writes what the append queue gives it, acks=all. One write is under way at a time and a batch is tried again until
 * it is through, so the records of a key stay in order; a repeat after a lost answer is in the log twice, and readers
 * tell repeats apart. It is not idempotent in Kafka's sense: a new process would have a new producer id all the same.
 */
export class KafkaProducer implements AsyncDisposable {
  readonly #cluster: KafkaCluster
  readonly #topics: KafkaTopics
  readonly #lane: KafkaLane
  readonly #deadlineMs: number

  constructor(cluster: KafkaCluster, topics: KafkaTopics, deadlineMs: number) {
    this.#cluster = cluster
    this.#topics = topics
    this.#lane = cluster.lane(REQUEST_TIMEOUT_MS)
    this.#deadlineMs = deadlineMs
  }

  async write(records: readonly NewRecord[]): Promise<void> {
    const end = performance.now() + this.#deadlineMs
    for (const round of toRounds(await this.#partitioned(records))) {
      let left = round
      await this.#cluster.retry(
        async () => {
          const outcome = await this.#send(left)
          left = outcome.left
          if (outcome.error !== undefined) throw outcome.error
        },
        { topics: [...new Set(round.map(({ topic }) => topic))], deadlineMs: Math.max(end - performance.now(), 0) },
      )
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lane[Symbol.asyncDispose]()
  }

  /** The records of each partition, in their order. */
  async #partitioned(records: readonly NewRecord[]): Promise<Map<string, NewRecord[][]>> {
    const byTopic = new Map<string, NewRecord[][]>()
    for (const record of records) {
      let partitions = byTopic.get(record.topic)
      if (partitions === undefined) {
        partitions = Array.from({ length: await this.#topics.partitionCount(record.topic) }, () => [])
        byTopic.set(record.topic, partitions)
      }
      partitions[partitionOf(record.key, partitions.length)]?.push(record)
    }
    return byTopic
  }

  /** One request to each leader; what is left can be sent again, unless the error is one that stays. */
  async #send(batches: ProduceBatch[]): Promise<{ left: ProduceBatch[]; error?: unknown }> {
    const byLeader = Map.groupBy(batches, ({ topic, partition }) => this.#cluster.leader(topic, partition))
    const left: ProduceBatch[] = []
    let error: unknown
    const failed = (some: readonly ProduceBatch[], cause: unknown) => {
      left.push(...some)
      if (error === undefined || isRetryable(error)) error = cause
    }
    await Promise.all(
      [...byLeader].map(async ([leader, some]) => {
        const [{ topic, partition }] = some as [ProduceBatch]
        if (leader === undefined) return failed(some, noLeader(topic, partition))
        try {
          const answer = await this.#lane.request(leader, PRODUCE, some, REPLICATION_TIMEOUT_MS)
          for (const batch of some) {
            const code = answer.find((it) => it.topic === batch.topic && it.partition === batch.partition)?.errorCode
            if (code !== 0) failed([batch], new ProtocolError(code ?? UNKNOWN))
          }
        } catch (cause) {
          failed(some, cause)
        }
      }),
    )
    return { left, error }
  }
}

const UNKNOWN = -1

/** Throws what can never be written, before it spoils the write of others. */
export function checkSize(records: readonly NewRecord[]): void {
  for (const record of records) {
    if (recordBytesMax(record) + HEADER_BYTES <= BATCH_BYTES_MAX) continue
    const detail = `a record of ${record.value.byteLength} bytes is more than Kafka takes (${BATCH_BYTES_MAX})`
    throw new Failure('log_unavailable', detail, { retryable: false })
  }
}

/** A broker takes one batch for each partition and request: what is more goes into another round. */
function toRounds(byTopic: Map<string, NewRecord[][]>): ProduceBatch[][] {
  const now = Date.now()
  const rounds: ProduceBatch[][] = []
  for (const [topic, partitions] of byTopic) {
    for (const [partition, records] of partitions.entries()) {
      let round = 0
      for (const some of toBatches(records)) {
        rounds[round] ??= []
        rounds[round++]?.push({ topic, partition, bytes: encodeRecords(some, now) })
      }
    }
  }
  return rounds
}

function* toBatches(records: NewRecord[]): Iterable<NewRecord[]> {
  let start = 0
  let bytes = HEADER_BYTES
  for (let i = 0; i < records.length; i++) {
    const more = recordBytesMax(records[i] as NewRecord)
    if (bytes + more > BATCH_BYTES_MAX && i > start) {
      yield records.slice(start, i)
      start = i
      bytes = HEADER_BYTES
    }
    bytes += more
  }
  if (start === 0 && records.length > 0) yield records
  else if (start < records.length) yield records.slice(start)
}
