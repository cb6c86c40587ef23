import { setTimeout as sleep } from 'node:timers/promises'
import { deleteRecordsV2, metadataV11 } from '@platformatic/kafka'
import { type Failure, RecordsTooLarge } from '../../errors.ts'
import { type AppendLimits, AppendQueue, DEFAULT_APPEND_LIMITS } from '../append-queue.ts'
import type {
  EventLog,
  GroupCursor,
  LogRecord,
  NewRecord,
  PartitionRange,
  RecordBatch,
  TimedOffset,
} from '../event-log.ts'
import type { PartitionCursor } from '../position.ts'
import { type ClusterOptions, KafkaCluster, noLeader } from './cluster.ts'
import { KafkaConsumption } from './consumption.ts'
import { closed, toFailure } from './failure.ts'
import { GroupCoordinator } from './group/coordinator.ts'
import { commitOffsets, committedCursors } from './groups.ts'
import { offsetsAt, partitionsOf, rangesOf, readRecords, topicIdOf } from './offsets.ts'
import { findTooLarge, KafkaProducer } from './producer.ts'
import { KafkaTopics } from './topics.ts'

export type KafkaLogOptions = Omit<ClusterOptions, 'clientId'> & {
  clientId?: string
  /** Of the topics that this creates; those that are there already keep what they have. */
  partitions: number
  replication: number
  limits?: Partial<AppendLimits>
  /** How often the settings of the topics are looked at again, milliseconds. */
  settingsEveryMs?: number
}

/** Shorter than with a log on this machine, so that a caller knows within 2 s also when the last look came late. */
const APPEND_DEADLINE_MS = 1600
/**
 * A write is tried for nearly as long as its callers wait, since all that they can do after a no is to come again: they
 * are told why it failed, and those that wait behind it are told soon after.
 */
const WRITE_DEADLINE_MS = 1500
/** A write that no broker takes has failed by then, and its callers know why. */
const CLOSE_MS_MAX = WRITE_DEADLINE_MS + 200
const DELETE_TIMEOUT_MS = 3000

/** Resolves at once: brokers are looked for when they are needed, and again whenever they were unavailable. */
export async function openKafkaLog(options: KafkaLogOptions): Promise<KafkaLog> {
  return new KafkaLog(options)
}

/**
 * The log in Kafka 3.1 or later. Any number of instances share it. Keeps the invariants that an append is acknowledged
 * by all in-sync replicas, and that a topic's records have the time at which the log took them.
 */
export class KafkaLog implements EventLog {
  readonly #cluster: KafkaCluster
  readonly #topics: KafkaTopics
  readonly #producer: KafkaProducer
  readonly #queue: AppendQueue
  readonly #consumptions = new Set<KafkaConsumption>()
  readonly #coordinators = new Map<string, GroupCoordinator>()
  /** See `GroupMemberOptions`. */
  readonly #abandoned = new Map<string, string>()
  #closed = false

  constructor(options: KafkaLogOptions) {
    const { clientId = 'runify', partitions, replication, limits, settingsEveryMs, ...security } = options
    this.#cluster = new KafkaCluster({ clientId, ...security })
    const refused = (topic: string, failure: Failure) => {
      for (const consumption of this.#consumptions) if (consumption.topics.includes(topic)) consumption.fail(failure)
    }
    this.#topics = new KafkaTopics(this.#cluster, { partitions, replication, settingsEveryMs, refused })
    this.#producer = new KafkaProducer(this.#cluster, this.#topics, WRITE_DEADLINE_MS)
    const write = async (records: NewRecord[]) => {
      try {
        await this.#producer.write(records)
      } catch (error) {
        throw toFailure(error)
      }
    }
    const defaults = { ...DEFAULT_APPEND_LIMITS, deadlineMs: APPEND_DEADLINE_MS }
    this.#queue = new AppendQueue(write, { ...defaults, ...limits })
  }

  async append(records: readonly NewRecord[]): Promise<void> {
    if (this.#closed) throw closed()
    const tooLarge = findTooLarge(records, (topic) => this.#topics.batchBytesMax(topic))
    if (tooLarge !== undefined) return this.#appendOthers(records, tooLarge)
    if (records.length > 0) await this.#queue.append(records)
  }

  async #appendOthers(records: readonly NewRecord[], { indexes, bytesMax }: RecordsTooLarge): Promise<void> {
    const without = new Set(indexes)
    const others = [...records.keys()].filter((index) => !without.has(index))
    try {
      await this.append(others.map((index) => records[index] as NewRecord))
    } catch (error) {
      if (!(error instanceof RecordsTooLarge)) throw error
      // The limit was lowered just now.
      for (const index of error.indexes) without.add(others[index] as number)
    }
    throw new RecordsTooLarge(
      [...without].sort((a, b) => a - b),
      bytesMax,
    )
  }

  partitions(topic: string): Promise<PartitionRange[]> {
    return this.#guard(async () => {
      const known = await this.#topics.partitionCount(topic)
      // Asked anew in the same flight: another instance may be writing to partitions that were added since.
      const refreshed = this.#cluster.retry(() => this.#cluster.refresh([topic]))
      const [ranges] = await Promise.all([rangesOf(this.#cluster, topic, known), refreshed])
      const count = await this.#topics.partitionCount(topic)
      return count === known ? ranges : rangesOf(this.#cluster, topic, count)
    })
  }

  logId(topic: string): Promise<string> {
    return this.#guard(async () => {
      // Asked anew: it may have been deleted and made anew since.
      await this.#cluster.retry(() => this.#cluster.refresh([topic]))
      await this.#topics.partitionCount(topic)
      return this.#cluster.logIdOf(topicIdOf(this.#cluster, topic))
    })
  }

  read(options: Parameters<EventLog['read']>[0]): Promise<LogRecord[]> {
    return this.#guard(async () => {
      await this.#topics.partitionCount(options.topic)
      return readRecords(this.#cluster, options)
    })
  }

  offsetsAt({ topic, time, partitions }: Parameters<EventLog['offsetsAt']>[0]): Promise<TimedOffset[]> {
    return this.#guard(async () => {
      const count = await this.#topics.partitionCount(topic)
      return offsetsAt(this.#cluster, topic, partitions ?? partitionsOf(count), time)
    })
  }

  async *consume(options: Parameters<EventLog['consume']>[0]): AsyncGenerator<RecordBatch> {
    if (this.#closed) throw closed()
    if (options.signal.aborted) return
    await this.#guard(() => Promise.all(options.topics.map((topic) => this.#topics.partitionCount(topic))))
    await using consumption = new KafkaConsumption(this.#cluster, options, this.#abandoned)
    this.#consumptions.add(consumption)
    try {
      for (let batch = await consumption.next(); batch !== undefined; batch = await consumption.next()) yield batch
    } finally {
      this.#consumptions.delete(consumption)
    }
  }

  commit(group: string, cursors: readonly PartitionCursor[]): Promise<void> {
    return this.#guard(async () => {
      if (cursors.length === 0) return
      const identity = () => [...this.#consumptions].find((it) => it.group === group && it.identity)?.identity
      await commitOffsets(this.#cluster, this.#coordinatorOf(group), { group, cursors, identity })
    })
  }

  groups(topic: string): Promise<GroupCursor[]> {
    return this.#guard(async () => committedCursors(this.#cluster, topic, await this.#topics.partitionCount(topic)))
  }

  retentionMs(topic: string): Promise<number | undefined> {
    return this.#guard(async () => {
      await this.#topics.partitionCount(topic)
      return this.#topics.retentionMs(topic)
    })
  }

  async checkReady(): Promise<void> {
    await this.#guard(() => this.#cluster.requestAny(metadataV11.api, [], false, false))
  }

  /** Removes the records before `offset`, as retention does. */
  async deleteBefore({
    topic,
    partition,
    offset,
  }: {
    topic: string
    partition: number
    offset: number
  }): Promise<void> {
    await this.#guard(async () => {
      await this.#topics.partitionCount(topic)
      const leader = this.#cluster.leader(topic, partition)
      if (leader === undefined) throw noLeader(topic, partition)
      const topics = [{ name: topic, partitions: [{ partitionIndex: partition, offset: BigInt(offset) }] }]
      await this.#cluster.request(leader, deleteRecordsV2.api, topics, DELETE_TIMEOUT_MS)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#topics[Symbol.dispose]()
    const done = new AbortController()
    const tooLong = sleep(CLOSE_MS_MAX, undefined, { signal: done.signal }).catch(() => {})
    for (const consumption of this.#consumptions) consumption.fail(closed())
    const consumed = Promise.all([...this.#consumptions].map((consumption) => consumption[Symbol.asyncDispose]()))
    await Promise.race([Promise.all([this.#queue.drained(), consumed]), tooLong])
    done.abort()
    // What is still under way fails now.
    await Promise.all([this.#producer[Symbol.asyncDispose](), this.#cluster[Symbol.asyncDispose](), consumed])
    await this.#queue.drained()
  }

  #coordinatorOf(group: string): GroupCoordinator {
    let coordinator = this.#coordinators.get(group)
    if (coordinator === undefined) {
      coordinator = new GroupCoordinator(this.#cluster, group)
      this.#coordinators.set(group, coordinator)
    }
    return coordinator
  }

  /** Turns the client's errors into ours. */
  async #guard<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw closed()
    try {
      return await work()
    } catch (error) {
      throw this.#closed ? closed() : toFailure(error)
    }
  }
}
