import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Kysely, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import { FilePlace, Lost } from '../../disk/file-place.ts'
import { makeFolder } from '../../disk/folder.ts'
import { keepPrivate } from '../../disk/private-file.ts'
import { NodeSqliteDialect } from './dialect.ts'

/**
 * A connection to a SQLite file beside the log. `NORMAL` does not sync every commit: after a power cut the file may
 * stand at an earlier commit, with the cursor of that commit, and what is missing is read from the log again. The log
 * itself syncs every commit. A killed process loses nothing either way.
 */
export function openSqlite(file: string, options: { cacheMib: number }): SqliteConnection {
  makeFolder(dirname(file))
  return new SqliteConnection(file, options)
}

/** It knows whether its file is still where it was opened. */
export class SqliteConnection extends DatabaseSync {
  readonly place: FilePlace

  constructor(file: string, { cacheMib }: { cacheMib: number }) {
    super(file, { timeout: 10_000 })
    try {
      this.exec(`
        PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -${cacheMib * 1024};
        PRAGMA wal_autocheckpoint = 8000; PRAGMA journal_size_limit = 67108864;
      `)
    } catch (error) {
      // What is damaged is moved away, and may not be open then.
      this.close()
      throw error
    }
    keepPrivate(file)
    this.place = new FilePlace(file)
  }
}

/**
 * Brings a database to its newest form. `table` keeps one service's migrations apart from another's. All in one
 * transaction, for SQLite undoes DDL too: killed in the midst of it, nothing is there; and another who opens the file at
 * the same time waits at its beginning.
 */
export async function migrate<DB>(db: Kysely<DB>, migrations: Record<string, Migration>, table: string): Promise<void> {
  await db.connection().execute(async (connection) => {
    await sql`begin immediate`.execute(connection)
    const migrator = new Migrator({
      db: connection,
      provider: { getMigrations: async () => migrations },
      migrationTableName: table,
      migrationLockTableName: `${table}_lock`,
    })
    const { error } = await migrator.migrateToLatest()
    await (error === undefined ? sql`commit` : sql`rollback`).execute(connection)
    if (error !== undefined) throw error
  })
}

/** Little, for the operating system keeps the file's pages too; it is the writer that gains by a cache of its own. */
const READER_CACHE_MIB = 2

export function openReader<DB>(
  file: string,
  migrations: Record<string, Migration>,
  table: string,
): Promise<Kysely<DB>> {
  const opening = lastOpening.then(async () => {
    const db = new Kysely<DB>({ dialect: new NodeSqliteDialect(openSqlite(file, { cacheMib: READER_CACHE_MIB })) })
    try {
      await migrate(db, migrations, table)
      return db
    } catch (error) {
      await db.destroy()
      throw error
    }
  })
  lastOpening = opening.catch(() => {})
  return opening
}

/** Those of one thread take turns: waiting for another's transaction blocks the thread, and so that other. */
let lastOpening: Promise<unknown> = Promise.resolve()

/**
 * Runs a piece of a transaction's work whole or not at all. Nothing in it may await. Throws a `Lost` and commits nothing
 * where the file is gone.
 */
export function transact<T>(database: SqliteConnection, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    const why = database.place.whyLost()
    if (why !== undefined) throw new Lost(why)
    database.exec('COMMIT')
    return result
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

/** SQLite's codes for data that a table never takes: CHECK, NOT NULL, type, what a trigger raises; too big. */
const REFUSALS = new Set([275, 1299, 3091, 1811, 18, 20])

export function isRefusal(error: unknown): boolean {
  return REFUSALS.has((error as { errcode?: number }).errcode ?? 0)
}
