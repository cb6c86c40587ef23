import { join, resolve } from 'node:path'
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import type { CompiledQuery, Kysely } from 'kysely'
import { DataFile } from '../../disk/data-file.ts'
import { Failure } from '../../errors.ts'
import { CANARY, EVENT_TYPES, type EventType, type RunifyEvent } from '../../events/catalogue.ts'
import { sameContent } from '../../events/codec.ts'
import { refuseOtherLog } from '../../log/place-in-log.ts'
import { type Cursors, type KeptCursor, type LogMark, markColumns } from '../../log/position.ts'
import { CANARIES_KEPT, type CanaryBatch, readCanary, type StoredCanary } from '../canaries.ts'
import { type ColumnValue, columnsOf, fromRow, type StoredEvent, toRow, uuidToBytes } from '../columns.ts'
import {
  CONFLICT,
  EVENT_TABLES,
  type EventDatabase,
  readChanges,
  readCounts,
  readErased,
  readErasure,
  readEvent,
  readHeld,
  readPage,
  readTextPage,
  readUserEvents,
  storedOutcome,
  topicOf,
} from '../event-queries.ts'
import type {
  ChangePage,
  ErasedEvent,
  Erasure,
  EventStore,
  ForgetBatch,
  Held,
  PageQuery,
  RefusedEvent,
  StoreBatch,
  TextPage,
  TextQuery,
  WriteOutcome,
} from '../event-store.ts'
import type { TextRow } from '../event-text.ts'
import { adoptCursor, readKeptCursors } from '../kept-cursors.ts'
import { eventMigrations } from '../migrations/events.ts'
import { isRefusal, openReader, openSqlite, type SqliteConnection, transact } from './database.ts'
import { prepareForgetting } from './forgetting.ts'

/** Opens the events' database `store.db` in the folder, and brings it to its newest form. */
export async function openSqliteStore({ dir }: { dir: string }): Promise<SqliteStore> {
  const path = join(resolve(dir), 'store.db')
  const file = new DataFile(path)
  return file.open(async () => {
    await using opened = new AsyncDisposableStack()
    const reader = await openReader<EventDatabase>(path, eventMigrations('sqlite'), 'event_migrations')
    opened.defer(() => reader.destroy())
    const texts = new ArrayReader(opened.use(openSqlite(path, { cacheMib: 2 })))
    const writer = opened.use(openSqlite(path, { cacheMib: 12 }))
    const store = new SqliteStore({ file, reader, texts, writer })
    opened.move()
    return store
  })
}

type Opened = { file: DataFile; reader: Kysely<EventDatabase>; texts: ArrayReader; writer: SqliteConnection }

/**
 * The store on one machine. One connection writes, with prepared statements and no await inside a transaction; another
 * reads through Kysely, so that a reader never sees half a batch.
 */
class SqliteStore implements EventStore {
  readonly writesAtOnce = 1
  readonly #file: DataFile
  readonly #reader: Kysely<EventDatabase>
  readonly #texts: ArrayReader
  readonly #writer: SqliteConnection
  readonly #statements: ReturnType<typeof prepareStatements>
  readonly #forgetting: ReturnType<typeof prepareForgetting>

  constructor({ file, reader, texts, writer }: Opened) {
    this.#file = file
    this.#reader = reader
    this.#texts = texts
    this.#writer = writer
    this.#statements = prepareStatements(writer)
    // Zeros in the place of what is erased.
    writer.exec('PRAGMA secure_delete = ON')
    this.#forgetting = prepareForgetting(writer)
  }

  cursors(): Promise<KeptCursor[]> {
    return this.#file.guard(() => readKeptCursors(this.#reader, 'stored_cursors'))
  }

  adopt(cursor: KeptCursor): Promise<void> {
    return this.#file.guard(() => adoptCursor(this.#reader, 'stored_cursors', cursor))
  }

  write(batch: StoreBatch): Promise<WriteOutcome> {
    return this.#file.guard(() => {
      try {
        return transact(this.#writer, () => this.#writeBatch(batch))
      } catch (error) {
        if (error instanceof Refused) return { kind: 'refused', events: error.events }
        throw error
      }
    })
  }

  writeCanaries(batch: CanaryBatch): Promise<void> {
    return this.#file.guard(() => transact(this.#writer, () => this.#writeCanaries(batch)))
  }

  canary(traceId: string): Promise<StoredCanary | undefined> {
    return this.#file.guard(() => readCanary(this.#reader, traceId))
  }

  page(query: PageQuery): Promise<RunifyEvent[]> {
    return this.#file.guard(() => readPage(this.#reader, query))
  }

  textPage(query: TextQuery): Promise<TextPage> {
    return this.#file.guard(() =>
      readTextPage(this.#reader, query, (compiled, take) => this.#texts.each(compiled, take)),
    )
  }

  changes(query: { after: Cursors; limit: number }): Promise<ChangePage> {
    return this.#file.guard(() => readChanges(this.#reader, query))
  }

  forget(batch: ForgetBatch): Promise<void> {
    return this.#file.guard(() => this.#forgetting.forget(batch))
  }

  erasure(requestId: string): Promise<Erasure | undefined> {
    return this.#file.guard(() => readErasure(this.#reader, requestId))
  }

  erasedEvents(query: Parameters<EventStore['erasedEvents']>[0]): Promise<ErasedEvent[]> {
    return this.#file.guard(() => readErased(this.#reader, query))
  }

  held(of: Parameters<EventStore['held']>[0]): Promise<Held> {
    return this.#file.guard(() => readHeld(this.#reader, of))
  }

  userEvents(query: Parameters<EventStore['userEvents']>[0]): Promise<StoredEvent[]> {
    return this.#file.guard(() => readUserEvents(this.#reader, query))
  }

  counts(): Promise<Record<EventType, number>> {
    return this.#file.guard(() => readCounts(this.#reader))
  }

  event(traceId: string): Promise<StoredEvent | undefined> {
    return this.#file.guard(() => readEvent(this.#reader, traceId))
  }

  clear(): Promise<void> {
    return this.#file.guard(() =>
      transact(this.#writer, () => {
        for (const table of EVENT_TABLES) this.#writer.exec(`DELETE FROM ${table}`)
      }),
    )
  }

  async checkReady(): Promise<void> {
    await this.cursors()
    this.#file.check()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#file[Symbol.dispose]()
    await this.#reader.destroy()
    this.#texts.close()
    if (this.#writer.isOpen) this.#writer.close()
  }

  #writeBatch(batch: StoreBatch): WriteOutcome {
    const { type, partition, from, next, events, mark } = batch
    const topic = topicOf(type)
    const at = this.#cursorOf({ topic, partition, from, mark })
    if (at >= next) return { kind: 'stored', stored: 0, repeated: events.length }
    const { insert } = this.#statements.tables[type]
    const refused: RefusedEvent[] = []
    let stored = 0
    const kept = this.#forgetting.withoutForgotten(batch)
    for (const { offset, event } of kept) {
      if (offset < at) continue
      try {
        if (insert.run(...toRow({ partition, offset, event })).changes === 1) stored++
        else if (!this.#isRepeat(event)) refused.push({ offset, reason: 'conflict', detail: CONFLICT })
      } catch (error) {
        if (!isRefusal(error)) throw error
        refused.push({ offset, reason: 'unstorable', detail: `the database refuses it: ${(error as Error).message}` })
      }
    }
    if (refused.length > 0) throw new Refused(refused)
    this.#moveCursor({ topic, partition, next, stored, mark })
    return storedOutcome({ stored, events: events.length, kept: kept.length })
  }

  #writeCanaries({ partition, from, next, canaries, mark }: CanaryBatch): void {
    const { topic } = CANARY
    const at = this.#cursorOf({ topic, partition, from, mark })
    if (at >= next) return
    for (const { offset, trace_id, date_created } of canaries) {
      // A record that was appended twice has the place of its first.
      if (offset >= at) this.#statements.insertCanary.run(partition, offset, uuidToBytes(trace_id), date_created)
    }
    this.#statements.removeCanaries.run(partition, next - CANARIES_KEPT)
    this.#moveCursor({ topic, partition, next, stored: 0, mark })
  }

  /** Throws where a batch from `from` on would leave records out, or is of another log. */
  #cursorOf({ topic, partition, from, mark }: BatchPlace): number {
    const row = this.#statements.cursor.get(topic, partition) as { next: number; log_id: string | null } | undefined
    const at = row?.next ?? 0
    refuseOtherLog({ topic, partition, next: at }, { kept: row?.log_id, mark })
    if (at >= from) return at
    const detail = `${topic}:${partition} is stored up to ${at}, the batch begins at ${from}`
    throw new Failure('position_conflict', detail, { retryable: true })
  }

  #moveCursor({
    topic,
    partition,
    next,
    stored,
    mark,
  }: Omit<BatchPlace, 'from'> & { next: number; stored: number }): void {
    const { log_id, append_time } = markColumns(mark)
    this.#statements.moveCursor.run(topic, partition, next, stored, log_id, append_time)
  }

  #isRepeat(event: RunifyEvent): boolean {
    const row = this.#statements.tables[event.type].byTrace.get(uuidToBytes(event.trace_id))
    return row !== undefined && sameContent(event, fromRow(event.type, row as Record<string, ColumnValue>).event)
  }
}

type BatchPlace = { topic: string; partition: number; from: number; mark: LogMark | undefined }

/** A connection whose rows come as arrays, which costs less than objects do. */
class ArrayReader {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  each({ sql, parameters }: CompiledQuery, take: (row: TextRow) => boolean): void {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#database.prepare(sql)
      statement.setReturnArrays(true)
      this.#statements.set(sql, statement)
    }
    for (const row of statement.iterate(...(parameters as SQLInputValue[]))) {
      if (!take(row as unknown as TextRow)) break
    }
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close()
  }
}

/** Leaves the transaction, so that it is rolled back; caught where it began. */
class Refused extends Error {
  readonly events: RefusedEvent[]
  constructor(events: RefusedEvent[]) {
    super('refused')
    this.events = events
  }
}

function prepareStatements(database: DatabaseSync) {
  const tables = Object.fromEntries(
    EVENT_TYPES.map((type) => {
      const columns = columnsOf(type).join(', ')
      const places = columnsOf(type).map(() => '?')
      return [
        type,
        {
          insert: database.prepare(
            `INSERT INTO ${type} (${columns}) VALUES (${places.join(', ')}) ON CONFLICT (trace_id) DO NOTHING`,
          ),
          byTrace: database.prepare(`SELECT ${columns} FROM ${type} WHERE trace_id = ?`),
        },
      ]
    }),
  ) as unknown as Record<EventType, { insert: StatementSync; byTrace: StatementSync }>
  return {
    tables,
    insertCanary: database.prepare(
      'INSERT INTO canaries (log_partition, log_offset, trace_id, date_created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
    ),
    removeCanaries: database.prepare('DELETE FROM canaries WHERE log_partition = ? AND log_offset < ?'),
    cursor: database.prepare('SELECT next, log_id FROM stored_cursors WHERE topic = ? AND partition_id = ?'),
    moveCursor: database.prepare(
      'INSERT INTO stored_cursors (topic, partition_id, next, stored, log_id, append_time) VALUES (?, ?, ?, ?, ?, ?) ' +
        'ON CONFLICT (topic, partition_id) DO UPDATE SET next = excluded.next, stored = stored + excluded.stored, ' +
        'log_id = coalesce(excluded.log_id, log_id), append_time = excluded.append_time',
    ),
  }
}
