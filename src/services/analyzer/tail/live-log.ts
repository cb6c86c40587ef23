import { setImmediate as turn } from 'node:timers/promises'
import { Failure } from '../../../errors.ts'
import { CATALOGUE, EVENT_TYPES, type EventType, TOPICS, typeOfTopic } from '../../../events/catalogue.ts'
import type { EventLog, LogRecord, RecordBatch } from '../../../log/event-log.ts'

export type LiveRecord = {
  type: EventType
  partition: number
  record: LogRecord
  /** What tails send of it, made by the first of them. */
  text?: string
}

export type LiveLogOptions = {
  log: EventLog
  /** What it keeps of the newest records, bytes. */
  bytesMax: number
  failed: (error: unknown) => void
}

/** `hasEnded`: nothing more comes, because the service stops or the log has failed. */
export type Following = Disposable & { hasEnded: () => boolean }

type Offsets = Record<EventType, number[]>

const BATCH_RECORDS_MAX = 200
/** What a record takes beside its value, about; and its value is there as bytes and as text. */
const RECORD_BYTES = 400

/**
 * The end of the log as it grows: reads it once for all who follow it, for as long as anybody does, and keeps the newest
 * records within bounds. Keeps the invariant that of each partition it has all records from `begin` up to `end`, in order.
 */
export class LiveLog {
  readonly #options: LiveLogOptions
  #followers = 0
  #reading: { stop: AbortController; started: Promise<void> } | undefined
  #records: LiveRecord[] = []
  /** The number of the first record in `#records`, counted since reading began. */
  #first = 0
  #bytes = 0
  #begin: Offsets = noOffsets()
  #end: Offsets = noOffsets()
  #news = Promise.withResolvers<void>()
  #closed = false

  constructor(options: LiveLogOptions) {
    this.#options = options
  }

  /** Has it read until the follower leaves. Throws when the log is unavailable. */
  async follow(): Promise<Following> {
    if (this.#closed) throw new Failure('closed', 'the service is stopping', { retryable: false })
    this.#followers++
    let left = false
    const leave = () => {
      if (left) return
      left = true
      this.#followers--
      if (this.#followers === 0) this.#stop()
    }
    this.#reading ??= this.#start()
    const reading = this.#reading
    try {
      await reading.started
    } catch (error) {
      leave()
      throw error
    }
    return { hasEnded: () => this.#reading !== reading, [Symbol.dispose]: leave }
  }

  /** Of each partition, the first record that is kept, and behind the last. */
  get begin(): Readonly<Offsets> {
    return this.#begin
  }

  get end(): Readonly<Offsets> {
    return this.#end
  }

  /** The number of the oldest record that is kept, and behind the newest. */
  get first(): number {
    return this.#first
  }

  get next(): number {
    return this.#first + this.#records.length
  }

  at(number: number): LiveRecord {
    return this.#records[number - this.#first] as LiveRecord
  }

  /** Resolves when there is more, or the end. */
  get news(): Promise<void> {
    return this.#news.promise
  }

  close(): void {
    this.#closed = true
    this.#stop()
  }

  #start() {
    const stop = new AbortController()
    const started = this.#begins().then(() => {
      void this.#read(stop)
    })
    const reading = { stop, started }
    started.catch(() => {
      if (this.#reading === reading) this.#stop()
    })
    return reading
  }

  async #begins(): Promise<void> {
    const { log } = this.#options
    const ranges = await Promise.all(EVENT_TYPES.map((type) => log.partitions(CATALOGUE[type].topic)))
    for (const [i, type] of EVENT_TYPES.entries()) {
      const nexts = (ranges[i] ?? []).map(({ next }) => next)
      this.#begin[type] = nexts
      this.#end[type] = [...nexts]
    }
  }

  async #read({ signal }: AbortController): Promise<void> {
    const startAt = async ({ topic, partition }: { topic: string; partition: number }) =>
      this.#end[typeOfTopic(topic) as EventType][partition] ?? 0
    try {
      const batches = this.#options.log.consume({ topics: TOPICS, startAt, batchRecordsMax: BATCH_RECORDS_MAX, signal })
      for await (const batch of batches) {
        if (signal.aborted) return
        this.#take(batch)
        // The followers have their turn before the next batch pushes this one out.
        await turn()
      }
    } catch (error) {
      if (signal.aborted) return
      this.#options.failed(error)
      this.#stop()
    }
  }

  #take({ topic, partition, next, records }: RecordBatch): void {
    const type = typeOfTopic(topic) as EventType
    // A partition that was added: everything in it is new.
    fillUp(this.#begin[type], partition)
    fillUp(this.#end[type], partition)
    for (const record of records) {
      // A copy: it must not keep the whole answer that it came with.
      const value = Buffer.from(record.value)
      this.#records.push({ type, partition, record: { ...record, value } })
      this.#bytes += bytesOf(record)
    }
    this.#end[type][partition] = next
    this.#forget()
    this.#wake()
  }

  #forget(): void {
    let gone = 0
    while (this.#bytes > this.#options.bytesMax && gone < this.#records.length) {
      const { type, partition, record } = this.#records[gone] as LiveRecord
      this.#begin[type][partition] = record.offset + 1
      this.#bytes -= bytesOf(record)
      gone++
    }
    this.#records.splice(0, gone)
    this.#first += gone
  }

  #stop(): void {
    this.#reading?.stop.abort()
    this.#reading = undefined
    this.#first = this.next
    this.#records = []
    this.#bytes = 0
    this.#begin = noOffsets()
    this.#end = noOffsets()
    this.#wake()
  }

  #wake(): void {
    this.#news.resolve()
    this.#news = Promise.withResolvers<void>()
  }
}

function noOffsets(): Offsets {
  return Object.fromEntries(EVENT_TYPES.map((type) => [type, []])) as unknown as Offsets
}

function fillUp(offsets: number[], partition: number): void {
  while (offsets.length <= partition) offsets.push(0)
}

function bytesOf({ value }: LogRecord): number {
  return 2 * value.byteLength + RECORD_BYTES
}
