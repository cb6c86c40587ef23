import { setTimeout as sleep } from 'node:timers/promises'
import { ProtocolError } from '@platformatic/kafka'
import { Failure } from '../../errors.ts'
import { madeAnew } from '../place-in-log.ts'
import { FETCH, type FetchedPart, fetchPartition } from './apis.ts'
import type { Broker, BrokerConnections } from './broker-connections.ts'
import type { KafkaCluster } from './cluster.ts'
import { isRetryable, toFailure } from './failure.ts'
import { partitionId } from './group/assignment.ts'
import { rangesOf } from './offsets.ts'
import { RecordReader } from './records.ts'

/** A partition that is being read. `next` and `readers` belong to the fetcher; the consumer takes from the readers. */
export type Source = {
  readonly topic: string
  readonly partition: number
  /** All that is read is of this topic, not of one that comes to have its name. */
  readonly topicId: string
  /** The offset that is fetched next. */
  next: number
  readers: RecordReader[]
}

/** What waits for the consumer at most, all partitions together. */
const READ_AHEAD_BYTES_MAX = 8 * 1024 * 1024
const PARTITION_BYTES_MAX = 1024 * 1024
/** A partition of which more than this waits is not fetched. */
const ENOUGH_BYTES = PARTITION_BYTES_MAX / 2
const ANSWER_BYTES_MIN = 64 * 1024
/** How long a broker waits for a record to come. */
const LONG_POLL_MS = 500
/** The same while some partition is left out because enough of it waits: it must not wait for the others. */
const SHORT_POLL_MS = 10
const REQUEST_TIMEOUT_MS = 5000
const RETRY_MS = 100
const READ_UNCOMMITTED = 0
const OFFSET_OUT_OF_RANGE = 1

/**
 * Reads ahead, bounded: one request to each leader at a time, for all its partitions of which not enough waits. As all
 * of a leader's partitions are in one long poll, none delays another.
 */
export class PartitionFetcher implements AsyncDisposable {
  readonly #cluster: KafkaCluster
  readonly #connections: BrokerConnections
  readonly #news: (failure?: Failure) => void
  readonly #sources = new Map<string, Source>()
  readonly #busy = new Set<string>()
  readonly #stopped = new AbortController()
  #turn = 0
  #underWayBytes = 0

  constructor(cluster: KafkaCluster, news: (failure?: Failure) => void) {
    this.#cluster = cluster
    this.#connections = cluster.connect(REQUEST_TIMEOUT_MS)
    this.#news = news
  }

  /** Fetched from the next `pump` on: several that are added together share one long poll from the beginning. */
  add(source: Source): void {
    this.#sources.set(partitionId(source), source)
  }

  /** What is on its way for it is dropped. */
  remove(source: Source): void {
    this.#sources.delete(partitionId(source))
  }

  /** Asks for more wherever not enough waits. To be called whenever something was taken or added. */
  pump(): void {
    if (this.#stopped.signal.aborted) return
    const sources = [...this.#sources.values()]
    const byLeader = Map.groupBy(sources, ({ topic, partition }) => this.#cluster.leader(topic, partition))
    for (const [leader, some] of byLeader) {
      const address = leader === undefined ? '' : `${leader.host}:${leader.port}`
      if (this.#busy.has(address)) continue
      const hungry = some.filter((source) => waitingBytes(source) < ENOUGH_BYTES)
      const free = READ_AHEAD_BYTES_MAX - this.#underWayBytes - sources.reduce((sum, it) => sum + waitingBytes(it), 0)
      if (hungry.length === 0 || free < ANSWER_BYTES_MIN) continue
      this.#busy.add(address)
      const waitMs = hungry.length < some.length ? SHORT_POLL_MS : LONG_POLL_MS
      const polled = leader === undefined ? this.#recover(some) : this.#poll(leader, hungry, { waitMs, bytesMax: free })
      void polled.finally(() => {
        this.#busy.delete(address)
        this.pump()
      })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort()
    this.#sources.clear()
    await this.#connections[Symbol.asyncDispose]()
  }

  async #poll(leader: Broker, hungry: Source[], { waitMs, bytesMax }: { waitMs: number; bytesMax: number }) {
    // The broker fills its answer in the order of the request: everybody comes first in turn.
    const first = this.#turn++ % hungry.length
    const ordered = [...hungry.slice(first), ...hungry.slice(0, first)].map((source) => ({ source, from: source.next }))
    const topics = [...Map.groupBy(ordered, ({ source }) => source.topicId)].map(([topicId, some]) => ({
      topicId,
      partitions: some.map(({ source, from }) => fetchPartition(source.partition, from, PARTITION_BYTES_MAX)),
    }))
    const answerBytesMax = Math.min(bytesMax, PARTITION_BYTES_MAX * hungry.length)
    this.#underWayBytes += answerBytesMax
    let parts: FetchedPart[]
    try {
      parts = await this.#connections.request(
        leader,
        FETCH,
        waitMs,
        1,
        answerBytesMax,
        READ_UNCOMMITTED,
        0,
        -1,
        topics,
        [],
        '',
      )
    } catch (error) {
      if (!isRetryable(error)) this.#fail(error)
      return this.#recover(hungry)
    } finally {
      this.#underWayBytes -= answerBytesMax
    }
    try {
      await this.#take(parts, new Map(ordered.map((it) => [fetchedId(it.source), it])))
    } catch (error) {
      if (!isRetryable(error)) this.#fail(error)
      await this.#recover(hungry)
    }
  }

  async #take(parts: readonly FetchedPart[], asked: Map<string, { source: Source; from: number }>): Promise<void> {
    let failed: ProtocolError | undefined
    let some = false
    for (const part of parts) {
      const { source, from } = asked.get(fetchedId(part)) ?? {}
      if (source === undefined || this.#sources.get(partitionId(source)) !== source || source.next !== from) continue
      if (part.errorCode === OFFSET_OUT_OF_RANGE) await this.#moveUp(source)
      else if (part.errorCode !== 0) failed = new ProtocolError(part.errorCode)
      else if (part.records.length > 0) {
        const reader = new RecordReader(part.records, from)
        source.readers.push(reader)
        source.next = reader.end
        some = true
      }
    }
    if (some) this.#news()
    if (failed !== undefined) throw failed
  }

  /** Retention has removed where it stood. But an offset beyond the end means that this is another log. */
  async #moveUp(source: Source): Promise<void> {
    const { topic, partition, next } = source
    const range = (await rangesOf(this.#cluster, topic, partition + 1))[partition]
    if (range === undefined || this.#sources.get(partitionId(source)) !== source) return
    if (next < range.first) source.next = range.first
    else if (next > range.next) {
      const detail = `reading should go on at ${topic}:${partition}:${next}, but the log ends at ${range.next}`
      this.#news(new Failure('position_conflict', detail, { retryable: false }))
    }
  }

  #fail(error: unknown): void {
    if (!this.#stopped.signal.aborted) this.#news(toFailure(error))
  }

  /** A leader that has moved or is unavailable, or a topic that was deleted; one that has been made anew is another one. */
  async #recover(sources: readonly Source[]): Promise<void> {
    const { signal } = this.#stopped
    await sleep(RETRY_MS, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    await this.#cluster.refresh([...new Set(sources.map(({ topic }) => topic))]).catch(() => {})
    for (const source of sources) {
      const { topic, topicId } = source
      const now = this.#cluster.topicId(topic)
      if (now === undefined || now === topicId || this.#sources.get(partitionId(source)) !== source) continue
      const [expected, logId] = [topicId, now].map((id) => this.#cluster.logIdOf(id)) as [string, string]
      this.#fail(madeAnew(topic, { expected, logId }))
    }
  }
}

function fetchedId({ topicId, partition }: { topicId: string; partition: number }): string {
  return `${topicId}:${partition}`
}

function waitingBytes({ readers }: Source): number {
  let bytes = 0
  for (const reader of readers) bytes += reader.bytes
  return bytes
}
