import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import type { MarkColumns } from '../../../../log/position.ts'
import { columnType, type Dialect, uuidToBytes } from '../../../../store/columns.ts'
import { addColumns, addMarks } from '../../../../store/mark-columns.ts'
import type { Coverage } from '../../query.ts'
import { type CountedHourRow, createCountedHours } from './counted-hours-tables.ts'
import { createDayTables, DAY_TABLES } from './day-tables.ts'
import { createPlayTables, PLAY_TABLES, type PlaysDatabase } from './play-tables.ts'
import { createUncounted, type UncountedRow } from './uncounted-tables.ts'

/** The tables of the statistics, and what SQLite and MySQL do with them alike. */

export type StatisticsDatabase = PlaysDatabase & {
  /** Of its other columns, see `store/tables/day-tables.ts`. */
  scope_totals: { scope: Uint8Array; version: number; total: Uint8Array }
  counted_hours: CountedHourRow
  counted_cursors: CursorRow
  uncounted_events: UncountedRow
}

export type CursorRow = {
  topic: string
  partition_id: number
  next: number
  updated: number | null
  uncounted: number
} & MarkColumns

/** What `clear` empties. */
export const STATISTICS_TABLES = [
  ...DAY_TABLES,
  ...PLAY_TABLES,
  'counted_hours',
  'uncounted_events',
  'counted_cursors',
] as const
export type StatisticsTable = (typeof STATISTICS_TABLES)[number]

/** The global scope is no bytes, which no user's 16 are. */
export function scopeOf(userId: string | undefined): Uint8Array {
  return userId === undefined ? new Uint8Array(0) : uuidToBytes(userId)
}

export async function readCursors(db: Kysely<StatisticsDatabase>): Promise<Coverage> {
  const rows = await db.selectFrom('counted_cursors').selectAll().execute()
  return coverageOf(rows)
}

export function coverageOf(rows: readonly Omit<CursorRow, keyof MarkColumns>[]): Coverage {
  const cursors = rows.map(({ topic, partition_id, next }) => ({ topic, partition: partition_id, next }))
  const times = rows.map(({ updated }) => updated).filter((time) => time !== null)
  const uncounted = rows.reduce((sum, row) => sum + row.uncounted, 0)
  return { cursors, updated: times.length === 0 ? undefined : Math.max(...times), uncounted }
}

export function statisticsMigrations(dialect: Dialect): Record<string, Migration> {
  return {
    '001_rollups': { up: (db) => createRollups(db, dialect) },
    // What was counted before has no hours, so counting begins anew.
    '002_counted_hours': {
      up: async (db) => {
        await createCountedHours(db, dialect)
        for (const table of ['rollups', 'counted_cursors']) await sql`delete from ${sql.table(table)}`.execute(db)
      },
    },
    '003_quarter_hours': { up: (db) => createDayTables(db, dialect) },
    '004_plays': { up: (db) => createPlays(db, dialect) },
    '005_log_marks': { up: (db) => addMarks(db, 'counted_cursors', dialect) },
    '006_uncounted': {
      up: async (db) => {
        await createUncounted(db, dialect)
        await addColumns(db, 'counted_cursors', { uncounted: 'integer not null default 0' }, dialect)
      },
    },
  }
}

async function createRollups(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  const integer = sqlite ? 'integer' : 'bigint'
  const bytes = (size: number) => sql.raw(sqlite ? 'blob' : `varbinary(${size})`)
  const double = sql.raw(columnType(dialect, 'number'))
  const ending = sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`
  await db.schema
    .createTable('rollups')
    .ifNotExists()
    .addColumn('scope', bytes(16), (column) => column.notNull())
    .addColumn('day', 'integer', (column) => column.notNull())
    .addColumn('runs', integer, (column) => column.notNull())
    .addColumn('plays', integer, (column) => column.notNull())
    .addColumn('max_distance', double)
    .addColumn('max_duration', double)
    // An exact sum of doubles spans at most 2,098 bits: 40 parts of 53 bits.
    .addColumn('distance', bytes(320), (column) => column.notNull())
    .addColumn('run_duration', bytes(320), (column) => column.notNull())
    .addColumn('song_duration', bytes(320), (column) => column.notNull())
    .addPrimaryKeyConstraint('rollups_key', ['scope', 'day'])
    .modifyEnd(ending)
    .execute()
  await db.schema
    .createTable('counted_cursors')
    .ifNotExists()
    .addColumn('topic', sql.raw(sqlite ? 'text' : 'varchar(249)'), (column) => column.notNull())
    .addColumn('partition_id', 'integer', (column) => column.notNull())
    .addColumn('next', integer, (column) => column.notNull())
    .addColumn('updated', integer)
    .addPrimaryKeyConstraint('counted_cursors_key', ['topic', 'partition_id'])
    .modifyEnd(ending)
    .execute()
}

/** What was counted before has no songs, so counting begins anew. */
async function createPlays(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await createPlayTables(db, dialect)
  for (const table of [...DAY_TABLES, 'counted_hours', 'counted_cursors']) {
    await sql`delete from ${sql.table(table)}`.execute(db)
  }
}
