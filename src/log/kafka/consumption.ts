import type { Failure } from '../../errors.ts'
import type { EventLog, LogRecord, OffsetGap, RecordBatch } from '../event-log.ts'
import { type KafkaCluster, noLeader } from './cluster.ts'
import { toFailure } from './failure.ts'
import { PartitionFetcher, type Source } from './fetcher.ts'
import { partitionId, type TopicPartition } from './group/assignment.ts'
import { GroupMember, type Membership } from './group/group-member.ts'
import { StandaloneMember } from './group/standalone-member.ts'
import { joinGaps } from './records.ts'

type ConsumeOptions = Parameters<EventLog['consume']>[0]

type Reading = Source & {
  logId: string
  /** Where the batch that was given last ended. */
  given: number
  /** The same, or further where there were no records behind it. */
  reached: number
  /** What was passed over since `given`. */
  gap?: OffsetGap | undefined
}

/**
 * One consumer: the group says which partitions, `startAt` where each begins, the fetcher reads ahead, and `next` gives
 * batches, the partitions in turn. Keeps the invariant that a partition's batches follow on one another for as long as
 * nobody else can have had it; after that `startAt` is asked again and what was read ahead is dropped.
 */
export class KafkaConsumption implements AsyncDisposable {
  readonly #cluster: KafkaCluster
  readonly #options: ConsumeOptions
  readonly #member: GroupMember | StandaloneMember
  readonly #fetcher: PartitionFetcher
  readonly #stopped = new AbortController()
  readonly #readings = new Map<string, Reading>()
  /** Partitions for which `startAt` is to be asked. */
  readonly #toStart = new Map<string, TopicPartition>()
  readonly #running: Promise<void>
  #news = Promise.withResolvers<void>()
  #failure: Failure | undefined
  /** Partitions are about to move: no batch may be given. */
  #paused = false
  /** Whether the consumer waits for a batch, and so handles none. */
  #resting = false
  #rested: PromiseWithResolvers<void> | undefined
  #turn = 0
  #disposed: Promise<void> | undefined

  constructor(cluster: KafkaCluster, options: ConsumeOptions, abandoned: Map<string, string>) {
    this.#cluster = cluster
    this.#options = options
    this.#fetcher = new PartitionFetcher(cluster, (failure) => this.#tell(failure))
    const { group, topics } = options
    const membership = this.#membership()
    this.#member =
      group === undefined
        ? new StandaloneMember(cluster, { topics, membership })
        : new GroupMember(cluster, { group, topics, membership, abandoned })
    options.signal.addEventListener('abort', this.#wake)
    this.#running = this.#member.run(this.#stopped.signal).catch((error) => this.#tell(toFailure(error)))
  }

  get topics(): readonly string[] {
    return this.#options.topics
  }

  get group(): string | undefined {
    return this.#options.group
  }

  get identity(): { generation: number; memberId: string } | undefined {
    return this.#member.identity
  }

  /** The next batch, when there is one; undefined when the signal has aborted. */
  async next(): Promise<RecordBatch | undefined> {
    this.#resting = true
    this.#rested?.resolve()
    try {
      for (;;) {
        const { promise } = this.#news
        if (this.#options.signal.aborted) return undefined
        if (this.#failure !== undefined) throw this.#failure
        await this.#start()
        const batch = this.#take()
        if (batch !== undefined) return batch
        await promise
      }
    } finally {
      this.#resting = false
    }
  }

  /** Makes `next` fail. */
  fail(failure: Failure): void {
    this.#tell(failure)
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#dispose()
    return this.#disposed
  }

  async #dispose(): Promise<void> {
    this.#options.signal.removeEventListener('abort', this.#wake)
    this.#stopped.abort()
    this.#rested?.resolve()
    await Promise.all([this.#fetcher[Symbol.asyncDispose](), this.#member.leave()])
    await this.#running
  }

  #membership(): Membership {
    return {
      quiesce: () => {
        this.#paused = true
        if (this.#resting) return Promise.resolve()
        this.#rested = Promise.withResolvers<void>()
        return this.#rested.promise
      },
      assigned: ({ partitions, kept }) => {
        for (const id of [...this.#readings.keys(), ...this.#toStart.keys()]) if (!kept.has(id)) this.#drop(id)
        for (const it of partitions) if (!kept.has(partitionId(it))) this.#toStart.set(partitionId(it), it)
        this.#paused = false
        this.#wake()
      },
      lost: () => {
        for (const id of this.#readings.keys()) this.#drop(id)
        this.#toStart.clear()
      },
      alive: this.#wake,
    }
  }

  #drop(id: string): void {
    const reading = this.#readings.get(id)
    if (reading !== undefined) this.#fetcher.remove(reading)
    this.#readings.delete(id)
    this.#toStart.delete(id)
  }

  async #start(): Promise<void> {
    if (this.#toStart.size === 0) return
    for (const [id, it] of this.#toStart) {
      const { topic, partition } = it
      // Taken before it is told: what is read is then of the log that was told, or nothing is.
      const topicId = this.#cluster.topicId(topic)
      if (topicId === undefined) throw toFailure(noLeader(topic, partition))
      const logId = this.#cluster.logIdOf(topicId)
      const start = await this.#orAborted(this.#options.startAt({ topic, partition, logId }))
      if (start === undefined) return
      // It may have gone to another member in the meantime, or have gone and come back.
      if (this.#toStart.get(id) !== it) continue
      this.#toStart.delete(id)
      const reading = { topic, partition, topicId, logId, next: start, readers: [], given: start, reached: start }
      this.#readings.set(id, reading)
      this.#fetcher.add(reading)
    }
    this.#fetcher.pump()
  }

  async #orAborted(start: Promise<number>): Promise<number | undefined> {
    const { signal } = this.#options
    const aborted = Promise.withResolvers<undefined>()
    const onAbort = () => aborted.resolve(undefined)
    signal.addEventListener('abort', onAbort)
    try {
      return await Promise.race([start, aborted.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** From the next partition in turn of which something waits. */
  #take(): RecordBatch | undefined {
    if (this.#paused || !this.#member.fresh) return undefined
    const readings = [...this.#readings.values()]
    for (let i = 0; i < readings.length; i++) {
      const turn = (this.#turn + i) % readings.length
      const batch = this.#takeFrom(readings[turn] as Reading)
      if (batch === undefined) continue
      this.#turn = turn + 1
      return batch
    }
    return undefined
  }

  #takeFrom(reading: Reading): RecordBatch | undefined {
    const { readers } = reading
    if (readers.length === 0) return undefined
    const records: LogRecord[] = []
    for (let reader = readers[0]; reader !== undefined; reader = readers[0]) {
      if (reader.from > reading.reached) {
        // Retention was faster: what it has removed must not look as if this batch held it.
        if (records.length > 0) break
        reading.given = reader.from
      }
      reader.take(records, this.#options.batchRecordsMax - records.length)
      reading.gap = joinGaps(reading.gap, reader.takeGap())
      reading.reached = reader.next
      if (!reader.done) break
      readers.shift()
      if (records.length >= this.#options.batchRecordsMax) break
    }
    this.#fetcher.pump()
    if (records.length === 0) return undefined
    const { topic, partition, logId, given: from, reached: next, gap } = reading
    reading.given = next
    reading.gap = undefined
    return { topic, partition, from, next, records, logId, ...(gap && { gap }) }
  }

  #tell(failure?: Failure): void {
    this.#failure ??= failure
    this.#wake()
  }

  readonly #wake = (): void => {
    this.#news.resolve()
    this.#news = Promise.withResolvers<void>()
  }
}
