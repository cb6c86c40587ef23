import type { EventType, RunifyEvent } from '../../events/catalogue.ts'
import type { Cursors, KeptCursor } from '../../log/position.ts'
import { type CanaryBatch, readCanary, type StoredCanary } from '../canaries.ts'
import type { StoredEvent } from '../columns.ts'
import {
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
} from '../event-queries.ts'
import type {
  ChangePage,
  ErasedEvent,
  Erasure,
  EventStore,
  ForgetBatch,
  Held,
  PageQuery,
  StoreBatch,
  TextPage,
  TextQuery,
  WriteOutcome,
} from '../event-store.ts'
import { adoptCursor, readKeptCursors } from '../kept-cursors.ts'
import { eventMigrations } from '../migrations/events.ts'
import { writeCanaries } from './canary-writer.ts'
import type { MysqlDatabase, MysqlOptions } from './database.ts'
import { writeBatch } from './event-writer.ts'
import { forgetUser } from './forgetting.ts'
import { emptyTables, type Opening, openMysqlDatabase } from './migrations.ts'

/** Brings the events' tables to their newest form and opens them. Any number of instances may do so at once. */
export async function openMysqlStore(options: MysqlOptions, opening?: Opening): Promise<EventStore> {
  const schema = { code: 'store_unavailable', migrations: eventMigrations('mysql'), table: 'event_migrations' } as const
  return new MysqlStore(await openMysqlDatabase<EventDatabase>(options, schema, opening))
}

/** The store on a server, for any number of instances: a partition's cursor is locked by whoever writes the partition. */
class MysqlStore implements EventStore {
  /** The server uses one core for each connection; and while it works, the next batch is read and written down. */
  readonly writesAtOnce = 2
  readonly #database: MysqlDatabase<EventDatabase>

  constructor(database: MysqlDatabase<EventDatabase>) {
    this.#database = database
  }

  cursors(): Promise<KeptCursor[]> {
    return this.#database.read((db) => readKeptCursors(db, 'stored_cursors'))
  }

  adopt(cursor: KeptCursor): Promise<void> {
    return this.#database.read((db) => adoptCursor(db, 'stored_cursors', cursor))
  }

  write(batch: StoreBatch): Promise<WriteOutcome> {
    return this.#database.transact((session) => writeBatch(session, batch))
  }

  writeCanaries(batch: CanaryBatch): Promise<void> {
    return this.#database.transact((session) => writeCanaries(session, batch))
  }

  canary(traceId: string): Promise<StoredCanary | undefined> {
    return this.#database.read((db) => readCanary(db, traceId))
  }

  page(query: PageQuery): Promise<RunifyEvent[]> {
    return this.#database.read((db) => readPage(db, query))
  }

  textPage(query: TextQuery): Promise<TextPage> {
    return this.#database.read((db, eachArray) => readTextPage(db, query, eachArray))
  }

  changes(query: { after: Cursors; limit: number }): Promise<ChangePage> {
    // A transaction keeps the tables that it has read from: nobody can put empty ones in their place between the cursors
    // and the rows (`emptyTables`), which would look like a store read to its end.
    return this.#database.read((db) => db.transaction().execute((transaction) => readChanges(transaction, query)))
  }

  forget(batch: ForgetBatch): Promise<void> {
    return forgetUser(this.#database, batch)
  }

  erasure(requestId: string): Promise<Erasure | undefined> {
    return this.#database.read((db) => readErasure(db, requestId))
  }

  erasedEvents(query: Parameters<EventStore['erasedEvents']>[0]): Promise<ErasedEvent[]> {
    return this.#database.read((db) => readErased(db, query))
  }

  held(of: Parameters<EventStore['held']>[0]): Promise<Held> {
    return this.#database.read((db) => readHeld(db, of))
  }

  userEvents(query: Parameters<EventStore['userEvents']>[0]): Promise<StoredEvent[]> {
    return this.#database.read((db) => readUserEvents(db, query))
  }

  counts(): Promise<Record<EventType, number>> {
    return this.#database.read(readCounts)
  }

  event(traceId: string): Promise<StoredEvent | undefined> {
    return this.#database.read((db) => readEvent(db, traceId))
  }

  clear(): Promise<void> {
    return this.#database.transact((session) => emptyTables(session, EVENT_TABLES))
  }

  async checkReady(): Promise<void> {
    await this.cursors()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#database[Symbol.asyncDispose]()
  }
}
