import { setTimeout as sleep } from 'node:timers/promises'
import { type API, metadataV11, NetworkError } from '@platformatic/kafka'
import { type Broker, BrokerConnections, type KafkaSasl, type KafkaTls } from './broker-connections.ts'
import { answerOf, isRetryable } from './failure.ts'

export type ClusterOptions = {
  brokers: readonly Broker[]
  clientId: string
  tls?: KafkaTls | undefined
  sasl?: KafkaSasl | undefined
}

/** How long one broker may be silent before the next is asked too. */
const NEXT_BROKER_MS = 300
const METADATA_TIMEOUT_MS = 1000
const REQUEST_TIMEOUT_MS = 3000
/** How long a request that any caller waits for is tried again. */
const RETRY_DEADLINE_MS = 1500
const RETRY_MS = 50
const RETRY_MS_MAX = 250
/** Partitions that are added to a topic are seen this much later, at the latest. */
const LAYOUT_AGE_MS_MAX = 5000

type Layout = {
  /** Kafka never gives it to another topic, not even to one of the same name. */
  topicId: string
  /** The leader's node of each partition, -1 where there is none. */
  leaders: number[]
  seenAt: number
}

/** What is known of the brokers and of who leads which partition. Knows nothing of records. */
export class KafkaCluster implements AsyncDisposable {
  readonly #options: ClusterOptions
  readonly #metadata: BrokerConnections
  readonly #requests: BrokerConnections
  #nodes = new Map<number, Broker>()
  #controller = -1
  #clusterId = ''
  #layouts = new Map<string, Layout>()
  #refreshing = new Map<string, Promise<void>>()
  #answered: Broker | undefined

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#metadata = this.connect(METADATA_TIMEOUT_MS)
    this.#requests = this.connect(REQUEST_TIMEOUT_MS)
  }

  /** Connections of the caller's own, which the caller closes. */
  connect(requestTimeoutMs: number): BrokerConnections {
    const { clientId, tls, sasl } = this.#options
    return new BrokerConnections({ clientId, tls, sasl, requestTimeoutMs })
  }

  get brokers(): Broker[] {
    return [...this.#nodes.values()]
  }

  get controller(): Broker | undefined {
    return this.#nodes.get(this.#controller)
  }

  /** The number of partitions as last seen; undefined when the topic is not known to exist. */
  partitionCount(topic: string): number | undefined {
    const layout = this.#layouts.get(topic)
    if (layout === undefined) return undefined
    if (performance.now() - layout.seenAt > LAYOUT_AGE_MS_MAX) this.refresh([topic]).catch(() => {})
    return layout.leaders.length
  }

  leader(topic: string, partition: number): Broker | undefined {
    return this.#nodes.get(this.leaderNode(topic, partition) ?? -1)
  }

  leaderNode(topic: string, partition: number): number | undefined {
    return this.#layouts.get(topic)?.leaders[partition]
  }

  /** The id of the topic as last seen; undefined when the topic is not known to exist. */
  topicId(topic: string): string | undefined {
    return this.#layouts.get(topic)?.topicId
  }

  /** Of the cluster and the topic with this id: see `EventLog.logId`. */
  logIdOf(topicId: string): string {
    return `${this.#clusterId}:${topicId}`
  }

  /** Asks a broker anew; the same question is asked once at a time. */
  refresh(topics: readonly string[]): Promise<void> {
    const id = topics.join()
    let refreshing = this.#refreshing.get(id)
    if (refreshing === undefined) {
      refreshing = this.#refresh([...topics]).finally(() => this.#refreshing.delete(id))
      this.#refreshing.set(id, refreshing)
    }
    return refreshing
  }

  /** A request that any broker can answer. One that fails or is silent does not keep the others from being asked. */
  async requestAny<A extends unknown[], R>(api: API<A, R>, ...args: A): Promise<R> {
    const attempts: Promise<R>[] = []
    for (const broker of this.#candidates()) {
      const attempt = answerOf(this.#metadata.request(broker, api, ...args))
      attempts.push(attempt)
      const done = new AbortController()
      const silence = sleep(NEXT_BROKER_MS, undefined, { signal: done.signal }).catch(() => {})
      const answer = await Promise.race([attempt.catch(() => undefined), silence])
      done.abort()
      if (answer === undefined) continue
      this.#answered = broker
      return answer
    }
    return Promise.any(attempts).catch((error: AggregateError) => {
      throw error.errors.at(-1)
    })
  }

  request<A extends unknown[], R>(broker: Broker, api: API<A, R>, ...args: A): Promise<R> {
    return this.#requests.request(broker, api, ...args)
  }

  /** Does `attempt` until it succeeds or its time is over, the last time then; with newer metadata each time. */
  async retry<T>(
    attempt: () => Promise<T>,
    { topics = [], deadlineMs = RETRY_DEADLINE_MS }: { topics?: readonly string[]; deadlineMs?: number } = {},
  ): Promise<T> {
    const end = performance.now() + deadlineMs
    for (let waitMs = RETRY_MS; ; waitMs = Math.min(waitMs * 2, RETRY_MS_MAX)) {
      try {
        return await attempt()
      } catch (error) {
        if (!isRetryable(error)) throw error
        // Also for those who come after, when this gives up: the leader may be another one by now.
        const refreshed = this.refresh(topics).catch(() => {})
        const leftMs = end - performance.now()
        if (leftMs <= 0) throw error
        await Promise.all([refreshed, sleep(Math.min(waitMs, leftMs))])
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#metadata[Symbol.asyncDispose](), this.#requests[Symbol.asyncDispose]()])
  }

  async #refresh(topics: string[]): Promise<void> {
    const answer = await this.requestAny(metadataV11.api, topics, false, false)
    this.#controller = answer.controllerId
    this.#clusterId = answer.clusterId ?? ''
    if (answer.brokers.length > 0) {
      this.#nodes = new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
    }
    for (const { name, topicId, partitions } of answer.topics) {
      const leaders: number[] = []
      for (const { partitionIndex, leaderId } of partitions) leaders[partitionIndex] = leaderId
      if (!name) continue
      if (leaders.length === 0) this.#layouts.delete(name)
      else this.#layouts.set(name, { topicId, leaders, seenAt: performance.now() })
    }
  }

  /** The one that answered last comes first, those that were configured last. */
  #candidates(): Iterable<Broker> {
    const all = [...(this.#answered === undefined ? [] : [this.#answered]), ...this.brokers, ...this.#options.brokers]
    return new Map(all.map((broker) => [`${broker.host}:${broker.port}`, broker])).values()
  }
}

/** A partition without a leader, or a topic that a broker does not know yet. */
export function noLeader(topic: string, partition: number): NetworkError {
  return new NetworkError(`${topic}:${partition} has no leader`, { canRetry: true })
}
