import { ProtocolError } from '@platformatic/kafka'
import { RecordsTooLarge } from '../../errors.ts'
import type { NewRecord } from '../event-log.ts'
import { PRODUCE, type ProduceBatch } from './apis.ts'
import type { BrokerConnections } from './broker-connections.ts'
import { type KafkaCluster, noLeader } from './cluster.ts'
import { isRetryable } from './failure.ts'
import { partitionOf } from './partitioner.ts'
import { encodeRecords, recordBytesMax } from './records.ts'
import type { KafkaTopics } from './topics.ts'

const HEADER_BYTES = 64
/** `MESSAGE_TOO_LARGE`, and `RECORD_LIST_TOO_LARGE`: of the topic's `max.message.bytes` and `segment.bytes`. */
const TOO_LARGE: ReadonlySet<number> = new Set([10, 18])
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
  readonly #connections: BrokerConnections
  readonly #deadlineMs: number

  constructor(cluster: KafkaCluster, topics: KafkaTopics, deadlineMs: number) {
    this.#cluster = cluster
    this.#topics = topics
    this.#connections = cluster.connect(REQUEST_TIMEOUT_MS)
    this.#deadlineMs = deadlineMs
  }

  /** Throws `RecordsTooLarge` when no broker takes some of the records; all others are written then. */
  async write(records: readonly NewRecord[]): Promise<void> {
    const end = performance.now() + this.#deadlineMs
    const tooLarge: NewRecord[] = []
    const rounds = this.#toRounds(await this.#partitioned(records))
    for (let round = rounds.shift(); round !== undefined; round = rounds.shift()) {
      let left = round
      const attempt = async () => {
        while (left.length > 0) {
          const outcome = await this.#send(left)
          const [first = [], ...others] = await this.#divide(outcome.tooLarge, tooLarge)
          left = [...outcome.left, ...first]
          // Before what follows them in their partitions.
          rounds.unshift(...others)
          if (outcome.error !== undefined) throw outcome.error
        }
      }
      const topics = [...new Set(round.map(({ topic }) => topic))]
      await this.#cluster.retry(attempt, { topics, deadlineMs: Math.max(end - performance.now(), 0) })
    }
    if (tooLarge.length > 0) throw this.#refusal(records, new Set(tooLarge))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connections[Symbol.asyncDispose]()
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

  /** A broker takes one batch for each partition and request: what is more goes into another round. */
  #toRounds(byTopic: Map<string, NewRecord[][]>): ProduceBatch[][] {
    const rounds: ProduceBatch[][] = []
    for (const [topic, partitions] of byTopic) {
      const bytesMax = this.#topics.batchBytesMax(topic)
      for (const [partition, records] of partitions.entries()) {
        addToRounds(rounds, { topic, partition }, toBatches(records, bytesMax))
      }
    }
    return rounds
  }

  /**
   * Batches that are more than their topic takes, in smaller ones: as its limit is now, or halved where nothing is known
   * of a limit that would explain it. What is a single record goes into `tooLarge`.
   */
  async #divide(batches: readonly ProduceBatch[], tooLarge: NewRecord[]): Promise<ProduceBatch[][]> {
    const rounds: ProduceBatch[][] = []
    for (const { topic, partition, bytes, records } of batches) {
      await this.#topics.readAgain(topic)
      if (records.length === 1) tooLarge.push(...records)
      else {
        const bytesMax = Math.min(this.#topics.batchBytesMax(topic), bytes.length / 2 + HEADER_BYTES)
        addToRounds(rounds, { topic, partition }, toBatches(records, bytesMax))
      }
    }
    return rounds
  }

  #refusal(records: readonly NewRecord[], tooLarge: ReadonlySet<NewRecord>): RecordsTooLarge {
    const indexes = [...records.keys()].filter((index) => tooLarge.has(records[index] as NewRecord))
    const limits = [...tooLarge].map(({ topic }) => this.#topics.batchBytesMax(topic))
    return new RecordsTooLarge(indexes, Math.min(...limits))
  }

  /** To each leader; what is left can be sent again, unless the error is one that stays. */
  async #send(batches: ProduceBatch[]): Promise<{ left: ProduceBatch[]; tooLarge: ProduceBatch[]; error?: unknown }> {
    const byLeader = Map.groupBy(batches, ({ topic, partition }) => this.#cluster.leader(topic, partition))
    const left: ProduceBatch[] = []
    const tooLarge: ProduceBatch[] = []
    let error: unknown
    const failed = (some: readonly ProduceBatch[], cause: unknown) => {
      left.push(...some)
      if (error === undefined || isRetryable(error)) error = cause
    }
    await Promise.all(
      [...byLeader].map(async ([leader, some]) => {
        const [{ topic, partition }] = some as [ProduceBatch]
        if (leader === undefined) return failed(some, noLeader(topic, partition))
        for (const request of toRequests(some, this.#topics.requestBytesMax)) {
          try {
            const answer = await this.#connections.request(leader, PRODUCE, request, REPLICATION_TIMEOUT_MS)
            for (const batch of request) {
              const code = answer.find((it) => it.topic === batch.topic && it.partition === batch.partition)?.errorCode
              if (code !== undefined && TOO_LARGE.has(code)) tooLarge.push(batch)
              else if (code !== 0) failed([batch], new ProtocolError(code ?? UNKNOWN))
            }
          } catch (cause) {
            failed(request, cause)
          }
        }
      }),
    )
    return { left, tooLarge, error }
  }
}

const UNKNOWN = -1

/** Which of the records can never be written, by what their topics take as far as is known. */
export function findTooLarge(
  records: readonly NewRecord[],
  bytesMaxOf: (topic: string) => number,
): RecordsTooLarge | undefined {
  const indexes: number[] = []
  let limit = 0
  let topic: string | undefined
  let bytesMax = 0
  for (let i = 0; i < records.length; i++) {
    const record = records[i] as NewRecord
    if (record.topic !== topic) {
      topic = record.topic
      bytesMax = bytesMaxOf(topic)
    }
    // The first is quick, and more than it can be.
    if (recordBytesMax(record) + HEADER_BYTES <= bytesMax || encodeRecords([record], 0).length <= bytesMax) continue
    indexes.push(i)
    limit = bytesMax
  }
  return indexes.length === 0 ? undefined : new RecordsTooLarge(indexes, limit)
}

/** One batch after the other of a partition, each into the next round. */
function addToRounds(
  rounds: ProduceBatch[][],
  at: { topic: string; partition: number },
  batches: Iterable<readonly NewRecord[]>,
): void {
  const now = Date.now()
  let round = 0
  for (const records of batches) {
    rounds[round] ??= []
    rounds[round++]?.push({ ...at, bytes: encodeRecords(records, now), records })
  }
}

function* toBatches(records: readonly NewRecord[], bytesMax: number): Iterable<readonly NewRecord[]> {
  let start = 0
  let bytes = HEADER_BYTES
  for (let i = 0; i < records.length; i++) {
    const more = recordBytesMax(records[i] as NewRecord)
    if (bytes + more > bytesMax && i > start) {
      yield records.slice(start, i)
      start = i
      bytes = HEADER_BYTES
    }
    bytes += more
  }
  if (start === 0 && records.length > 0) yield records
  else if (start < records.length) yield records.slice(start)
}

/** As few requests as there can be of so many bytes, each of one batch at least. */
function* toRequests(batches: readonly ProduceBatch[], bytesMax: number): Iterable<readonly ProduceBatch[]> {
  let start = 0
  let bytes = 0
  for (const [i, batch] of batches.entries()) {
    if (bytes + batch.bytes.length > bytesMax && i > start) {
      yield batches.slice(start, i)
      start = i
      bytes = 0
    }
    bytes += batch.bytes.length
  }
  yield start === 0 ? batches : batches.slice(start)
}
