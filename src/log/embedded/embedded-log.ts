import { createHash } from 'node:crypto'
import { dirname, join, resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { BroadcastChannel, Worker } from 'node:worker_threads'
import { DataFile } from '../../disk/data-file.ts'
import { Lost } from '../../disk/file-place.ts'
import { makeFolder } from '../../disk/folder.ts'
import { FULL_BYTES, freeBytes } from '../../disk/space.ts'
import { Failure } from '../../errors.ts'
import { TOPICS } from '../../events/catalogue.ts'
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
import { madeAnew } from '../place-in-log.ts'
import type { PartitionCursor } from '../position.ts'
import { packRecords, unpackRecords } from './packed-records.ts'
import { openLogFile } from './schema.ts'
import type { PackedBatch, WriterAnswer, WriterData } from './writer.ts'

export type EmbeddedLogOptions = {
  /** The folder; `log.db` in it is the log. */
  dir: string
  /** Partitions of each topic. One is right for one machine; tests of readers use more. */
  partitions?: number
  limits?: Partial<AppendLimits>
  /** How long events are kept at least, as `embedded/retention.ts` sees to; standard: for ever. */
  retentionMs?: number | undefined
}

type PackedRow = Parameters<typeof unpackRecords>[0]

const READ_BYTES_MAX = 8 * 1024 * 1024
/**
 * The shortest time between two pieces of news. Alone, an append is told at once; under load this is what makes the
 * batches of the readers large, and waking them rare.
 */
const NEWS_EVERY_MS = 200
/** How long a consumer sleeps when nobody wakes it: a guard, not the way news travels. */
const WAKE_GUARD_MS = 500

/**
 * The log on one machine: SQLite in WAL mode, every commit synced. Any number of threads of one process may open the
 * same folder; each reads by itself, and the first append of each starts a writer thread. Keeps the invariant that
 * offsets of a partition are dense and append times in it never decrease.
 */
export class EmbeddedLog implements EventLog {
  readonly #database: DatabaseSync
  readonly #options: Required<Pick<EmbeddedLogOptions, 'partitions'>> & {
    retentionMs: number | undefined
  }
  readonly #file: DataFile
  readonly #queue: AppendQueue
  readonly #news: BroadcastChannel
  readonly #statements: ReturnType<typeof prepareStatements>
  #writer: LogWriter | undefined
  /** Why the last write failed; undefined when it did not. */
  #refusal: Failure | undefined
  #newsPause: NodeJS.Timeout | undefined
  #newsWaiting = false
  #waiters = new Set<() => void>()
  #closed = false

  constructor(options: EmbeddedLogOptions) {
    makeFolder(options.dir)
    const file = join(resolve(options.dir), 'log.db')
    this.#options = { partitions: options.partitions ?? 1, retentionMs: options.retentionMs }
    this.#file = new DataFile(file)
    this.#database = this.#file.openNow(() => openLogFile(file))
    this.#statements = prepareStatements(this.#database)
    this.#queue = new AppendQueue((records) => this.#write(records), { ...DEFAULT_APPEND_LIMITS, ...options.limits })
    this.#news = new BroadcastChannel(`runify-log:${file}`)
    this.#news.onmessage = () => this.#wake()
    // The channel alone is no reason to keep a process alive; the log's owner is.
    this.#news.unref()
  }

  append(records: readonly NewRecord[]): Promise<void> {
    if (this.#closed) return Promise.reject(closed())
    return records.length === 0 ? Promise.resolve() : this.#queue.append(records)
  }

  async partitions(topic: string): Promise<PartitionRange[]> {
    const rows = this.#guard(() => this.#statements.partitions.all(topic)) as PartitionRange[]
    return Array.from({ length: this.#options.partitions }, (_, partition) => {
      return rows.find((row) => row.partition === partition) ?? { partition, first: 0, next: 0 }
    })
  }

  async logId(_topic: string): Promise<string> {
    return this.#guard(() => this.#logId())
  }

  async read(options: Parameters<EventLog['read']>[0]): Promise<LogRecord[]> {
    return this.#guard(() => {
      const { topic, partition, from, limit, bytesMax = READ_BYTES_MAX, logId } = options
      if (logId !== undefined) this.#refuseOther(topic, logId)
      const { first } = this.#range({ topic, partition })
      if (from < first) {
        throw new Failure('offset_removed', `${topic}:${partition} begins at ${first}`, { retryable: false })
      }
      const records: LogRecord[] = []
      let bytes = 0
      for (const row of this.#statements.read.iterate(topic, partition, from)) {
        for (const record of unpackRecords(row as PackedRow, from)) {
          if (records.length === limit || bytes >= bytesMax) return records
          records.push(record)
          bytes += record.value.byteLength
        }
      }
      return records
    })
  }

  async offsetsAt({ topic, time, partitions }: Parameters<EventLog['offsetsAt']>[0]): Promise<TimedOffset[]> {
    const ranges = await this.partitions(topic)
    const asked = partitions === undefined ? ranges : ranges.filter(({ partition }) => partitions.includes(partition))
    return this.#guard(() => asked.map((range) => this.#search(topic, range, time)))
  }

  async *consume(options: Parameters<EventLog['consume']>[0]): AsyncGenerator<RecordBatch> {
    const { topics, startAt, batchRecordsMax, signal } = options
    const cursors: (PartitionCursor & { logId: string })[] = []
    for (const topic of topics) {
      const logId = await this.logId(topic)
      for (const { partition } of await this.partitions(topic)) {
        cursors.push({ topic, partition, logId, next: await startAt({ topic, partition, logId }) })
      }
    }
    while (!signal.aborted) {
      // What is read of a log that is gone will not be there after a restart: nobody is to count on it.
      this.#guard(() => this.#file.check())
      // Waiting begins before the last look, so that news that come in between are not slept through.
      using news = this.#nextNews(signal)
      let more = false
      for (const cursor of cursors) {
        const end = this.#guard(() => this.#range(cursor).next)
        const batch = await this.#readBatch(cursor, batchRecordsMax)
        if (batch === undefined) continue
        more ||= batch.next < end
        cursor.next = batch.next
        yield batch
        if (signal.aborted) return
      }
      if (!more) await news.arrived
    }
  }

  async commit(group: string, cursors: readonly PartitionCursor[]): Promise<void> {
    this.#guard(() => {
      for (const { topic, partition, next } of cursors) this.#statements.commit.run(group, topic, partition, next)
    })
  }

  async groups(topic: string): Promise<GroupCursor[]> {
    return this.#guard(() => this.#statements.groups.all(topic)) as GroupCursor[]
  }

  async retentionMs(topic: string): Promise<number | undefined> {
    return TOPICS.includes(topic) ? this.#options.retentionMs : undefined
  }

  async checkReady(): Promise<void> {
    this.#guard(() => this.#statements.partitions.all(''))
    this.#file.check()
    if (this.#writer?.failure !== undefined) throw this.#writer.failure
    if (this.#refusal !== undefined) await this.#tryAgain(this.#refusal)
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
    this.#guard(() => {
      this.#statements.moveFirst.run(offset, topic, partition)
      this.#statements.deleteRemoved.run(topic, partition)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#queue.drained()
    await this.#writer?.close()
    clearTimeout(this.#newsPause)
    if (this.#newsWaiting) this.#news.postMessage(null)
    this.#wake()
    this.#news.close()
    this.#file[Symbol.dispose]()
    this.#database.close()
  }

  async #write(records: NewRecord[]): Promise<void> {
    try {
      this.#writer ??= this.#openWriter()
      await this.#writer.write(packRecords(records, (key) => partitionOf(key, this.#options.partitions)))
    } catch (cause) {
      this.#refusal = this.#file.explain(cause)
      throw this.#refusal
    }
    this.#refusal = undefined
    if (records.length > 0) this.#announce()
  }

  /** The writer opens the file by its path, and must not make another one there. */
  #openWriter(): LogWriter {
    this.#file.check()
    return new LogWriter({ file: this.#file.path, identity: this.#file.identity })
  }

  /** Whoever asks whether the log is ready tries it: who is told that it is not sends nothing that would. */
  async #tryAgain(refusal: Failure): Promise<void> {
    if (freeBytes(dirname(this.#file.path)) < FULL_BYTES) throw refusal
    await this.#queue.append([])
  }

  #announce(): void {
    if (this.#newsPause !== undefined) {
      this.#newsWaiting = true
      return
    }
    this.#news.postMessage(null)
    this.#wake()
    this.#newsPause = setTimeout(() => {
      this.#newsPause = undefined
      if (!this.#newsWaiting) return
      this.#newsWaiting = false
      this.#announce()
    }, NEWS_EVERY_MS)
  }

  #logId(): string {
    return (this.#statements.logId.get() as { log_id: string }).log_id
  }

  #refuseOther(topic: string, expected: string): void {
    const logId = this.#logId()
    if (logId !== expected) throw madeAnew(topic, { expected, logId })
  }

  async #readBatch(cursor: PartitionCursor & { logId: string }, limit: number): Promise<RecordBatch | undefined> {
    const { topic, partition, logId } = cursor
    const from = this.#guard(() => Math.max(cursor.next, this.#range(cursor).first))
    const records = await this.read({ topic, partition, from, limit })
    const last = records.at(-1)
    return last === undefined ? undefined : { topic, partition, from, next: last.offset + 1, records, logId }
  }

  #range({ topic, partition }: { topic: string; partition: number }): { first: number; next: number } {
    const row = this.#statements.range.get(topic, partition) as { first: number; next: number } | undefined
    return row ?? { first: 0, next: 0 }
  }

  /** Binary search: append times never decrease with the offset. */
  #search(topic: string, { partition, first, next }: PartitionRange, time: number): TimedOffset {
    let low = first
    let high = next
    let appendTime: number | undefined
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const row = this.#statements.appendTime.get(topic, partition, middle) as { append_time: number }
      if (row.append_time < time) low = middle + 1
      else {
        high = middle
        appendTime = row.append_time
      }
    }
    return { partition, offset: low, appendTime }
  }

  #nextNews(signal: AbortSignal): Disposable & { arrived: Promise<void> } {
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = () => {
      clearTimeout(guard)
      signal.removeEventListener('abort', done)
      this.#waiters.delete(done)
      resolve()
    }
    const guard = setTimeout(done, WAKE_GUARD_MS)
    signal.addEventListener('abort', done)
    this.#waiters.add(done)
    return { arrived: promise, [Symbol.dispose]: done }
  }

  #wake(): void {
    for (const done of this.#waiters) done()
  }

  #guard<T>(work: () => T): T {
    if (this.#closed) throw closed()
    return this.#file.guardNow(work)
  }
}

/** The handle of the writer thread. A thread that died answers every write with a failure: loud beats lost. */
class LogWriter {
  readonly #worker: Worker
  readonly #exited: Promise<void>
  #answer: PromiseWithResolvers<void> | undefined
  failure: Failure | undefined

  constructor(data: WriterData) {
    this.#worker = new Worker(new URL('./writer.ts', import.meta.url), {
      workerData: data,
      // It holds a batch at a time, and that is not on V8's heap.
      resourceLimits: { maxYoungGenerationSizeMb: 6, maxOldGenerationSizeMb: 64 },
    })
    this.#worker.on('message', (answer: WriterAnswer) => this.#settle(answer))
    this.#worker.on('error', (cause) => this.#fail(cause))
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()))
    void this.#exited.then(() => this.#fail(new Error('the log writer has ended')))
  }

  write(batch: PackedBatch): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    this.#answer = Promise.withResolvers<void>()
    this.#worker.postMessage(batch, [...new Set(batch.map(({ bytes }) => bytes.buffer as ArrayBuffer))])
    return this.#answer.promise
  }

  async close(): Promise<void> {
    if (this.failure === undefined) this.#worker.postMessage('close')
    await this.#exited
  }

  #settle(answer: WriterAnswer): void {
    if (answer.ok) this.#answer?.resolve()
    else this.#answer?.reject(answer.lost ? new Lost(answer.message) : Object.assign(new Error(answer.message), answer))
    this.#answer = undefined
  }

  #fail(cause: unknown): void {
    this.failure ??= new Failure('log_unavailable', 'the log writer stopped', { retryable: true, cause })
    this.#answer?.reject(this.failure)
  }
}

function partitionOf(key: string, partitions: number): number {
  return partitions === 1 ? 0 : createHash('md5').update(key).digest().readUInt32BE(0) % partitions
}

function prepareStatements(database: DatabaseSync) {
  return {
    logId: database.prepare('SELECT log_id FROM log_identity'),
    partitions: database.prepare('SELECT partition, first, next FROM partitions WHERE topic = ? ORDER BY partition'),
    range: database.prepare('SELECT first, next FROM partitions WHERE topic = ? AND partition = ?'),
    read: database.prepare(
      'SELECT first, append_time AS appendTime, records AS bytes FROM batches ' +
        'WHERE topic = ? AND partition = ? AND next > ? ORDER BY next',
    ),
    appendTime: database.prepare(
      'SELECT append_time FROM batches WHERE topic = ? AND partition = ? AND next > ? ORDER BY next LIMIT 1',
    ),
    commit: database.prepare(
      'INSERT INTO group_cursors VALUES (?, ?, ?, ?) ' +
        'ON CONFLICT (group_name, topic, partition) DO UPDATE SET next = excluded.next',
    ),
    groups: database.prepare(
      'SELECT group_name AS "group", topic, partition, next FROM group_cursors WHERE topic = ? ORDER BY group_name, partition',
    ),
    moveFirst: database.prepare(
      'UPDATE partitions SET first = min(max(first, ?), next) WHERE topic = ? AND partition = ?',
    ),
    // Up to `first` and not to what was asked for: that may lie beyond the end, where an append may come in between.
    deleteRemoved: database.prepare(
      'DELETE FROM batches WHERE topic = ?1 AND partition = ?2 ' +
        'AND next <= (SELECT first FROM partitions WHERE topic = ?1 AND partition = ?2)',
    ),
  }
}

function closed(): Failure {
  return new Failure('closed', 'the log is closed', { retryable: false })
}
