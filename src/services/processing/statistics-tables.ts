import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import { type ColumnValue, columnType, type Dialect, uuidToBytes } from '../../store/columns.ts'
import { type CountedHourRow, createCountedHours } from './counted-hours-tables.ts'
import { decodeSum, encodeSum } from './exact-sum.ts'
import { ALL_DAYS, EMPTY_ROLLUP, mergeRollups, type Rollup, type RollupKey } from './rollup.ts'
import type { StatisticsStore, Totals } from './statistics-store.ts'

/** The tables of the statistics, and what SQLite and MySQL do with them alike. */

export type RollupRow = {
  scope: Uint8Array
  day: number
  runs: number
  plays: number
  max_distance: number | null
  max_duration: number | null
  distance: Uint8Array
  run_duration: Uint8Array
  song_duration: Uint8Array
}

export type StatisticsDatabase = {
  rollups: RollupRow
  counted_hours: CountedHourRow
  counted_cursors: { topic: string; partition_id: number; next: number; updated: number | null }
}

/** What `clear` empties. */
export const STATISTICS_TABLES = [
  'rollups',
  'counted_hours',
  'counted_cursors',
] as const satisfies (keyof StatisticsDatabase)[]

/** In the order of `toRow`. */
export const ROLLUP_COLUMNS = [
  'scope',
  'day',
  'runs',
  'plays',
  'max_distance',
  'max_duration',
  'distance',
  'run_duration',
  'song_duration',
] as const satisfies (keyof RollupRow)[]

/** Everybody's scope is no bytes, which no user's 16 are. */
export function scopeOf(userId: string | undefined): Uint8Array {
  return userId === undefined ? new Uint8Array(0) : uuidToBytes(userId)
}

export function toRow({ user_id, day }: RollupKey, rollup: Readonly<Rollup>): ColumnValue[] {
  const { runs, plays, max_distance, max_duration } = rollup
  const sums = [rollup.distance, rollup.run_duration, rollup.song_duration].map(encodeSum)
  return [scopeOf(user_id), day, runs, plays, max_distance, max_duration, ...sums]
}

export function fromRow({ runs, plays, max_distance, max_duration, ...sums }: RollupRow): Rollup {
  return {
    runs,
    plays,
    max_distance,
    max_duration,
    distance: decodeSum(sums.distance),
    run_duration: decodeSum(sums.run_duration),
    song_duration: decodeSum(sums.song_duration),
  }
}

export async function readCursors(db: Kysely<StatisticsDatabase>): Promise<Pick<Totals, 'cursors' | 'updated'>> {
  const rows = await db.selectFrom('counted_cursors').selectAll().execute()
  const cursors = rows.map(({ topic, partition_id, next }) => ({ topic, partition: partition_id, next }))
  const times = rows.map(({ updated }) => updated).filter((time) => time !== null)
  return { cursors, updated: times.length === 0 ? undefined : Math.max(...times) }
}

/** Within one transaction, so that rollups and cursors are of the same moment. */
export async function readTotals(
  db: Kysely<StatisticsDatabase>,
  { user_id, from, to }: Parameters<StatisticsStore['totals']>[0],
): Promise<Totals> {
  let select = db.selectFrom('rollups').selectAll().where('scope', '=', scopeOf(user_id))
  if (from === undefined && to === undefined) select = select.where('day', '=', ALL_DAYS)
  else select = select.where('day', '>=', from ?? ALL_DAYS + 1).where('day', '<=', to ?? Number.MAX_SAFE_INTEGER)
  const rows = await select.execute()
  const rollup = rows.map(fromRow).reduce(mergeRollups, EMPTY_ROLLUP)
  return { rollup, ...(await readCursors(db)) }
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
