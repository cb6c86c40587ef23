import { ConfigResourceTypes, createTopicsV6, describeConfigsV4, NetworkError } from '@platformatic/kafka'
import { Failure, isFailure } from '../../errors.ts'
import { CANARY } from '../../events/catalogue.ts'
import { FORGOTTEN_TOPIC } from '../tombstone.ts'
import type { KafkaCluster } from './cluster.ts'
import { answerOf, hasCode } from './failure.ts'

const CANARY_RETENTION_MS = 7 * 24 * 3600 * 1000
const CREATE_TIMEOUT_MS = 1500
/** Brokers take batches of 1,048,588 bytes where nothing else is configured (`max.message.bytes`). */
const BATCH_BYTES_MAX = 1_000_000
/** What a request has beside its batches, at most. */
const REQUEST_OVERHEAD_BYTES = 4096
/** How often the settings of topics are looked at again: somebody may change them at any time. */
const SETTINGS_EVERY_MS = 10_000
/** A new topic needs its leaders elected: longer than other requests. */
const CREATE_DEADLINE_MS = 5000

export type TopicOptions = {
  /** Of the topics that this creates. */
  partitions: number
  replication: number
  settingsEveryMs?: number | undefined
  /** A topic that was good has been changed, and may not be used any more. */
  refused: (topic: string, failure: Failure) => void
}

/**
 * Topics come into being when they are first named. One that is there already is taken as it is, with any number of
 * partitions, if it only gives records the time at which the log took them, the order that everybody relies on, and
 * keeps each for as long as the others of its age. That is looked at again and again.
 */
export class KafkaTopics implements Disposable {
  readonly #cluster: KafkaCluster
  readonly #options: TopicOptions
  /** The topics that are good, with what a batch of them may have. */
  readonly #checked = new Map<string, { batchBytesMax: number }>()
  readonly #underWay = new Map<string, Promise<void>>()
  readonly #timer: NodeJS.Timeout
  /** What a request to a broker may have, its batches together. */
  requestBytesMax = Number.POSITIVE_INFINITY

  constructor(cluster: KafkaCluster, options: TopicOptions) {
    this.#cluster = cluster
    this.#options = options
    this.#timer = setInterval(() => void this.#readAll(), options.settingsEveryMs ?? SETTINGS_EVERY_MS).unref()
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  /** What a batch of the topic may have, as far as is known. */
  batchBytesMax(topic: string): number {
    return this.#checked.get(topic)?.batchBytesMax ?? BATCH_BYTES_MAX
  }

  /** Looks at a topic's settings again. Resolves, whatever comes of it. */
  async readAgain(topic: string): Promise<void> {
    try {
      await this.#checkSettings(topic)
    } catch (error) {
      // A log that is unavailable is told by those who need it.
      if (!isFailure(error)) return
      this.#checked.delete(topic)
      this.#options.refused(topic, error)
    }
  }

  /** The number of partitions of a topic, which is there when this resolves. */
  async partitionCount(topic: string): Promise<number> {
    if (!this.#checked.has(topic)) await this.#checkOnce(topic)
    const count = this.#cluster.partitionCount(topic)
    if (count !== undefined) return count
    // Somebody has deleted it.
    await this.#checkOnce(topic)
    return this.#cluster.partitionCount(topic) ?? this.#options.partitions
  }

  #checkOnce(topic: string): Promise<void> {
    let underWay = this.#underWay.get(topic)
    if (underWay === undefined) {
      underWay = this.#check(topic).finally(() => this.#underWay.delete(topic))
      this.#underWay.set(topic, underWay)
    }
    return underWay
  }

  async #check(topic: string): Promise<void> {
    await this.#cluster.refresh([topic])
    await this.#cluster.retry(() => this.#exist(topic), { topics: [topic], deadlineMs: CREATE_DEADLINE_MS })
    await this.#cluster.retry(() => this.#checkSettings(topic), { topics: [topic] })
  }

  async #readAll(): Promise<void> {
    await Promise.all([...this.#checked.keys()].map((topic) => this.readAgain(topic)))
  }

  async #exist(topic: string): Promise<void> {
    const count = this.#cluster.partitionCount(topic)
    if (count === undefined) {
      await this.#create(topic)
      await this.#cluster.refresh([topic])
    }
    for (let partition = 0; partition < (this.#cluster.partitionCount(topic) ?? 1); partition++) {
      if (this.#cluster.leader(topic, partition) === undefined) throw notThere(topic)
    }
  }

  async #create(topic: string): Promise<void> {
    const { controller } = this.#cluster
    if (controller === undefined) throw notThere(topic)
    const wanted = {
      name: topic,
      numPartitions: this.#options.partitions,
      replicationFactor: this.#options.replication,
      assignments: [],
      configs: [...Object.entries(RIGHT).map(([name, value]) => ({ name, value })), ...retentionOf(topic)],
    }
    try {
      await this.#cluster.request(controller, createTopicsV6.api, [wanted], CREATE_TIMEOUT_MS, false)
    } catch (error) {
      // Another instance was faster; or its brokers are still starting and there will be enough of them soon.
      if (hasCode(error, 'TOPIC_ALREADY_EXISTS')) return
      if (hasCode(error, 'INVALID_REPLICATION_FACTOR')) throw notThere(topic, error as Error)
      throw error
    }
  }

  /** Undefined where it is for ever, and where we may not ask. */
  async retentionMs(topic: string): Promise<number | undefined> {
    const asked = await this.#cluster.retry(() => this.#settingsOf(topic, ['retention.ms']), { topics: [topic] })
    const value = Number(asked.get('retention.ms'))
    return value >= 0 ? value : undefined
  }

  /** Of the topic, and of the broker that leads it; those are missing after which we may not ask. */
  async #settingsOf(
    topic: string,
    names: string[],
    ofBroker: string[] = [],
  ): Promise<Map<string, string | null | undefined>> {
    const broker = this.#cluster.leader(topic, 0)
    const node = this.#cluster.leaderNode(topic, 0)
    if (broker === undefined || node === undefined) throw notThere(topic)
    const resources: Parameters<typeof describeConfigsV4.createRequest>[0] = [
      { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configurationKeys: names },
    ]
    if (ofBroker.length > 0) {
      const { BROKER: resourceType } = ConfigResourceTypes
      resources.push({ resourceType, resourceName: String(node), configurationKeys: ofBroker })
    }
    const answer = await answerOf(this.#cluster.request(broker, describeConfigsV4.api, resources, false, false))
    return new Map(answer.results.flatMap(({ configs }) => configs.map(({ name, value }) => [name, value] as const)))
  }

  async #checkSettings(topic: string): Promise<void> {
    const settings = await this.#settingsOf(topic, TOPIC_SETTINGS, BROKER_SETTINGS)
    const time = settings.get('message.timestamp.type')
    const cleanup = settings.get('cleanup.policy')
    if (isSet(time) && time !== 'LogAppendTime') throw wrong(topic, { name: 'message.timestamp.type', value: time })
    if (isSet(cleanup) && cleanup.includes('compact')) throw wrong(topic, { name: 'cleanup.policy', value: cleanup })
    const limits = ['max.message.bytes', 'segment.bytes'].map((name) => settings.get(name))
    const request = settings.get('socket.request.max.bytes')
    if (isSet(request)) this.requestBytesMax = Number(request) - REQUEST_OVERHEAD_BYTES
    const batchBytesMax = Math.min(BATCH_BYTES_MAX, this.requestBytesMax, ...limits.filter(isSet).map(Number))
    this.#checked.set(topic, { batchBytesMax })
  }
}

const TOPIC_SETTINGS = ['message.timestamp.type', 'cleanup.policy', 'max.message.bytes', 'segment.bytes']
const BROKER_SETTINGS = ['socket.request.max.bytes']
/** What a topic must have. Compaction would keep one event of each user. */
const RIGHT: Record<string, string> = { 'message.timestamp.type': 'LogAppendTime', 'cleanup.policy': 'delete' }

function isSet(value: string | null | undefined): value is string {
  return value !== undefined && value !== null
}

function wrong(topic: string, { name, value }: { name: string; value: string }): Failure {
  const detail =
    `the topic ${topic} has ${name}=${value}, but must have ${RIGHT[name]}: ` +
    `kafka-configs.sh --alter --entity-type topics --entity-name ${topic} --add-config ${name}=${RIGHT[name]}`
  return new Failure('log_unavailable', detail, { retryable: false })
}

/** Where it is not the broker's own. */
function retentionOf(topic: string): { name: string; value: string }[] {
  if (topic === FORGOTTEN_TOPIC) return [{ name: 'retention.ms', value: '-1' }]
  // What only the health check looks for, and only for a moment, need not stay as long as events do.
  return topic === CANARY.topic ? [{ name: 'retention.ms', value: String(CANARY_RETENTION_MS) }] : []
}

function notThere(topic: string, cause?: Error): NetworkError {
  return new NetworkError(`the topic ${topic} is not there yet`, { canRetry: true, cause })
}
