import { ConfigResourceTypes, createTopicsV6, describeConfigsV4, NetworkError } from '@platformatic/kafka'
import { Failure } from '../errors.ts'
import { CANARY } from '../events/catalogue.ts'
import type { KafkaCluster } from './kafka-cluster.ts'
import { answerOf, hasCode } from './kafka-failure.ts'
import { FORGOTTEN_TOPIC } from './tombstone.ts'

const CANARY_RETENTION_MS = 7 * 24 * 3600 * 1000
const TOPIC_RESOURCE = ConfigResourceTypes.TOPIC
const CREATE_TIMEOUT_MS = 1500
/** A new topic needs its leaders elected: longer than other requests. */
const CREATE_DEADLINE_MS = 5000

/**
 * Topics come into being when they are first named. One that is there already is taken as it is, with any number of
 * partitions, if it only gives records the time at which the log took them: the order that everybody relies on.
 */
export class KafkaTopics {
  readonly #cluster: KafkaCluster
  readonly #settings: { partitions: number; replication: number }
  readonly #checked = new Set<string>()
  readonly #underWay = new Map<string, Promise<void>>()

  constructor(cluster: KafkaCluster, settings: { partitions: number; replication: number }) {
    this.#cluster = cluster
    this.#settings = settings
  }

  /** The number of partitions of a topic, which is there when this resolves. */
  async partitionCount(topic: string): Promise<number> {
    if (!this.#checked.has(topic)) await this.#checkOnce(topic)
    const count = this.#cluster.partitionCount(topic)
    if (count !== undefined) return count
    // Somebody has deleted it.
    await this.#checkOnce(topic)
    return this.#cluster.partitionCount(topic) ?? this.#settings.partitions
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
    await this.#cluster.retry(() => this.#checkTime(topic), { topics: [topic] })
    this.#checked.add(topic)
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
      numPartitions: this.#settings.partitions,
      replicationFactor: this.#settings.replication,
      assignments: [],
      configs: [{ name: 'message.timestamp.type', value: 'LogAppendTime' }, ...retentionOf(topic)],
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
    const value = Number(await this.#cluster.retry(() => this.#setting(topic, 'retention.ms'), { topics: [topic] }))
    return value >= 0 ? value : undefined
  }

  /** Undefined where we may not ask. */
  async #setting(topic: string, name: string): Promise<string | null | undefined> {
    const broker = this.#cluster.leader(topic, 0)
    if (broker === undefined) throw notThere(topic)
    const resource = { resourceType: TOPIC_RESOURCE, resourceName: topic, configurationKeys: [name] }
    const answer = await answerOf(this.#cluster.request(broker, describeConfigsV4.api, [resource], false, false))
    return answer.results[0]?.configs.find((config) => config.name === name)?.value
  }

  async #checkTime(topic: string): Promise<void> {
    const name = 'message.timestamp.type'
    const value = await this.#setting(topic, name)
    if (value === undefined || value === 'LogAppendTime') return
    const detail =
      `the topic ${topic} has ${name}=${value}, but must have LogAppendTime: ` +
      `kafka-configs.sh --alter --entity-type topics --entity-name ${topic} --add-config ${name}=LogAppendTime`
    throw new Failure('log_unavailable', detail, { retryable: false })
  }
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
