import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import { nextOf, type PartitionCursor } from '../../log/position.ts'
import { type ColumnValue, columnType, type Dialect, uuidToBytes } from '../../store/columns.ts'
import { guard, openReader, openSqlite, transact } from '../../store/sqlite-database.ts'
import { decodeSum, encodeSum } from './exact-sum.ts'
import { ALL_DAYS, EMPTY_ROLLUP, mergeRollups, type Rollup } from './rollup.ts'
import type { Fold, StatisticsStore, Totals } from './statistics-store.ts'

type RollupRow = {
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

type StatisticsDatabase = {
  rollups: RollupRow
  counted_cursors: { topic: string; partition_id: number; next: number; updated: number | null }
}

/** Opens the statistics' database `statistics.db` in the folder, and brings it to its newest form. */
export async function openSqliteStatistics({ dir }: { dir: string }): Promise<StatisticsStore> {
  return guard('statistics_unavailable', async () => {
    const file = join(dir, 'statistics.db')
    const reader = await openReader<StatisticsDatabase>(file, statisticsMigrations('sqlite'), 'statistics_migrations')
    return new SqliteStatistics(reader, openSqlite(file, { cacheMib: 8 }))
  })
}

class SqliteStatistics implements StatisticsStore {
  readonly #reader: Kysely<StatisticsDatabase>
  readonly #writer: DatabaseSync
  readonly #statements: ReturnType<typeof prepareStatements>

  constructor(reader: Kysely<StatisticsDatabase>, writer: DatabaseSync) {
    this.#reader = reader
    this.#writer = writer
    this.#statements = prepareStatements(writer)
  }

  cursors(): Promise<PartitionCursor[]> {
    return guard('statistics_unavailable', async () => (await readCursors(this.#reader)).cursors)
  }

  fold({ from, to, rollups, now }: Fold): Promise<boolean> {
    return guard('statistics_unavailable', () =>
      transact(this.#writer, () => {
        for (const { topic, partition } of to) {
          const row = this.#statements.cursor.get(topic, partition) as { next: number } | undefined
          if ((row?.next ?? 0) !== nextOf(from, { topic, partition })) return false
        }
        for (const { key, rollup } of rollups) {
          const scope = scopeOf(key.user_id)
          const before = this.#statements.rollup.get(scope, key.day) as RollupRow | undefined
          const merged = before === undefined ? rollup : mergeRollups(fromRow(before), rollup)
          this.#statements.put.run(scope, key.day, ...toRow(merged))
        }
        for (const { topic, partition, next } of to)
          this.#statements.moveCursor.run(topic, partition, next, rollups.length > 0 ? now : null)
        return true
      }),
    )
  }

  totals({ user_id, from, to }: Parameters<StatisticsStore['totals']>[0]): Promise<Totals> {
    return guard('statistics_unavailable', () =>
      // One transaction: rollups and cursors are of the same moment.
      this.#reader.transaction().execute(async (db) => {
        let select = db.selectFrom('rollups').selectAll().where('scope', '=', scopeOf(user_id))
        if (from === undefined && to === undefined) select = select.where('day', '=', ALL_DAYS)
        else select = select.where('day', '>=', from ?? ALL_DAYS + 1).where('day', '<=', to ?? Number.MAX_SAFE_INTEGER)
        const rows = await select.execute()
        const rollup = rows.map(fromRow).reduce(mergeRollups, EMPTY_ROLLUP)
        return { rollup, ...(await readCursors(db)) }
      }),
    )
  }

  async checkReady(): Promise<void> {
    await this.cursors()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.destroy()
    if (this.#writer.isOpen) this.#writer.close()
  }
}

/** Everybody's scope is no bytes, which no user's 16 are. */
function scopeOf(userId: string | undefined): Uint8Array {
  return userId === undefined ? new Uint8Array(0) : uuidToBytes(userId)
}

function toRow({
  runs,
  plays,
  max_distance,
  max_duration,
  distance,
  run_duration,
  song_duration,
}: Rollup): ColumnValue[] {
  const sums = [distance, run_duration, song_duration].map(encodeSum)
  return [runs, plays, max_distance, max_duration, ...sums]
}

function fromRow({ runs, plays, max_distance, max_duration, ...sums }: RollupRow): Rollup {
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

async function readCursors(db: Kysely<StatisticsDatabase>): Promise<Pick<Totals, 'cursors' | 'updated'>> {
  const rows = await db.selectFrom('counted_cursors').selectAll().execute()
  const cursors = rows.map(({ topic, partition_id, next }) => ({ topic, partition: partition_id, next }))
  const times = rows.map(({ updated }) => updated).filter((time) => time !== null)
  return { cursors, updated: times.length === 0 ? undefined : Math.max(...times) }
}

function prepareStatements(database: DatabaseSync) {
  return {
    cursor: database.prepare('SELECT next FROM counted_cursors WHERE topic = ? AND partition_id = ?'),
    moveCursor: database.prepare(
      'INSERT INTO counted_cursors (topic, partition_id, next, updated) VALUES (?, ?, ?, ?) ' +
        'ON CONFLICT (topic, partition_id) DO UPDATE SET next = excluded.next, updated = coalesce(excluded.updated, updated)',
    ),
    rollup: database.prepare('SELECT * FROM rollups WHERE scope = ? AND day = ?'),
    put: database.prepare(
      'INSERT OR REPLACE INTO rollups (scope, day, runs, plays, max_distance, max_duration, distance, run_duration, song_duration) ' +
        'VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
    ),
  }
}

function statisticsMigrations(dialect: Dialect): Record<string, Migration> {
  return { '001_rollups': { up: (db) => createRollups(db, dialect) } }
}

async function createRollups(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  const integer = sqlite ? 'integer' : 'bigint'
  const bytes = (size: number) => sql.raw(sqlite ? 'blob' : `varbinary(${size})`)
  const double = sql.raw(columnType(dialect, 'number'))
  const ending = sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`
  await db.schema
    .createTable('rollups')
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
    .addColumn('topic', sql.raw(sqlite ? 'text' : 'varchar(249)'), (column) => column.notNull())
    .addColumn('partition_id', 'integer', (column) => column.notNull())
    .addColumn('next', integer, (column) => column.notNull())
    .addColumn('updated', integer)
    .addPrimaryKeyConstraint('counted_cursors_key', ['topic', 'partition_id'])
    .modifyEnd(ending)
    .execute()
}
