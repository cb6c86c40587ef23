import type { Kysely } from 'kysely'
import { nextOf, type PartitionCursor } from '../../log/position.ts'
import type { MysqlDatabase, MysqlOptions } from '../../store/mysql-database.ts'
import { nameList, rowLiteral } from '../../store/mysql-literal.ts'
import { emptyTables, openMysqlDatabase } from '../../store/mysql-migrations.ts'
import type { MysqlSession } from '../../store/mysql-session.ts'
import { addHours, type HourRange, readHours } from './counted-hours-tables.ts'
import { isEmptyFold } from './fold.ts'
import { addDays } from './mysql-days.ts'
import { ALL_DAYS, EMPTY_ROLLUP } from './rollup.ts'
import type { Fold, StatisticsStore, Totals } from './statistics-store.ts'
import {
  ROLLUP_COLUMNS,
  readCursors,
  readTotals,
  STATISTICS_TABLES,
  type StatisticsDatabase,
  statisticsMigrations,
  toRow,
} from './statistics-tables.ts'

/** Brings the statistics' tables to their newest form and opens them. Any number of instances may do so at once. */
export async function openMysqlStatistics(options: MysqlOptions): Promise<StatisticsStore> {
  const migrations = statisticsMigrations('mysql')
  const schema = { code: 'statistics_unavailable', migrations, table: 'statistics_migrations' } as const
  return new MysqlStatistics(await openMysqlDatabase<StatisticsDatabase>(options, schema))
}

/**
 * The statistics on a server, for any number of instances. Every fold changes everybody's rollup of all days, so that
 * row is the lock: whoever has it is the only one that folds, in every partition, and reads what the last one left.
 */
class MysqlStatistics implements StatisticsStore {
  readonly #database: MysqlDatabase<StatisticsDatabase>

  constructor(database: MysqlDatabase<StatisticsDatabase>) {
    this.#database = database
  }

  cursors(): Promise<PartitionCursor[]> {
    return this.#database.read(async (db) => (await readCursors(db)).cursors)
  }

  fold({ from, to, parts, now }: Fold): Promise<boolean> {
    return this.#database.transact(async (session) => {
      await lockFolding(session)
      const at = await countedCursors(session)
      if (to.some((cursor) => nextOf(at, cursor) !== nextOf(from, cursor))) return { keep: false, result: false }
      await addDays(session, parts.days)
      await addHours(session, parts.hours)
      await moveCursors(session, { to, updated: isEmptyFold(parts) ? null : now })
      return { keep: true, result: true }
    })
  }

  totals(of: Parameters<StatisticsStore['totals']>[0]): Promise<Totals> {
    return this.#snapshot((db) => readTotals(db, of))
  }

  hours(range: HourRange): ReturnType<StatisticsStore['hours']> {
    return this.#snapshot(async (db) => ({
      hours: await readHours(db, range),
      cursors: (await readCursors(db)).cursors,
    }))
  }

  clear(): Promise<void> {
    return this.#database.transact((session) => emptyTables(session, STATISTICS_TABLES))
  }

  async checkReady(): Promise<void> {
    await this.cursors()
  }

  /** The same moment for all that is read. */
  #snapshot<T>(work: (db: Kysely<StatisticsDatabase>) => Promise<T>): Promise<T> {
    return this.#database.read((db) => db.transaction().setIsolationLevel('repeatable read').execute(work))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#database[Symbol.asyncDispose]()
  }
}

/** Makes the row where it is missing, for what is not there cannot be locked. */
async function lockFolding(session: MysqlSession): Promise<void> {
  const nothing = rowLiteral(toRow({ user_id: undefined, day: ALL_DAYS }, EMPTY_ROLLUP))
  await session.query(
    `INSERT INTO rollups (${nameList(ROLLUP_COLUMNS)}) VALUES ${nothing} ON DUPLICATE KEY UPDATE runs = runs`,
  )
}

async function countedCursors(session: MysqlSession): Promise<PartitionCursor[]> {
  const rows = await session.query<{ topic: string; partition_id: number; next: number }[]>(
    'SELECT topic, partition_id, next FROM counted_cursors FOR UPDATE',
  )
  return rows.map(({ topic, partition_id, next }) => ({ topic, partition: partition_id, next }))
}

async function moveCursors(
  session: MysqlSession,
  { to, updated }: { to: readonly PartitionCursor[]; updated: number | null },
): Promise<void> {
  if (to.length === 0) return
  const rows = to.map(({ topic, partition, next }) => rowLiteral([topic, partition, next, updated]))
  await session.query(
    `INSERT INTO counted_cursors (topic, partition_id, next, updated) VALUES ${rows} ` +
      'ON DUPLICATE KEY UPDATE next = VALUES(next), updated = coalesce(VALUES(updated), updated)',
  )
}
