import { nextOf, type PartitionCursor } from '../../log/position.ts'
import type { MysqlDatabase, MysqlOptions } from '../../store/mysql-database.ts'
import { literal, nameList, rowLiteral } from '../../store/mysql-literal.ts'
import { emptyTables, openMysqlDatabase } from '../../store/mysql-migrations.ts'
import type { MysqlSession } from '../../store/mysql-session.ts'
import { ALL_DAYS, EMPTY_ROLLUP, mergeRollups, type RollupKey } from './rollup.ts'
import type { Fold, StatisticsStore, Totals } from './statistics-store.ts'
import {
  fromRow,
  ROLLUP_COLUMNS,
  type RollupRow,
  readCursors,
  readTotals,
  type StatisticsDatabase,
  scopeOf,
  statisticsMigrations,
  toRow,
} from './statistics-tables.ts'

const COLUMNS = nameList(ROLLUP_COLUMNS)

/** Rows in one statement: far below what the server takes, and few enough for it to look each up by its key. */
const STATEMENT_ROWS_MAX = 1000

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

  fold({ from, to, rollups, now }: Fold): Promise<boolean> {
    return this.#database.transact(async (session) => {
      await lockFolding(session)
      const at = await countedCursors(session)
      if (to.some((cursor) => nextOf(at, cursor) !== nextOf(from, cursor))) return { keep: false, result: false }
      for (let begin = 0; begin < rollups.length; begin += STATEMENT_ROWS_MAX) {
        await addRollups(session, rollups.slice(begin, begin + STATEMENT_ROWS_MAX))
      }
      await moveCursors(session, { to, updated: rollups.length > 0 ? now : null })
      return { keep: true, result: true }
    })
  }

  totals(of: Parameters<StatisticsStore['totals']>[0]): Promise<Totals> {
    return this.#database.read((db) =>
      // A snapshot: the same moment for all that the transaction reads.
      db
        .transaction()
        .setIsolationLevel('repeatable read')
        .execute((snapshot) => readTotals(snapshot, of)),
    )
  }

  clear(): Promise<void> {
    return this.#database.transact((session) => emptyTables(session, ['rollups', 'counted_cursors']))
  }

  async checkReady(): Promise<void> {
    await this.cursors()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#database[Symbol.asyncDispose]()
  }
}

/** Makes the row where it is missing, for what is not there cannot be locked. */
async function lockFolding(session: MysqlSession): Promise<void> {
  const nothing = rowLiteral(toRow({ user_id: undefined, day: ALL_DAYS }, EMPTY_ROLLUP))
  await session.query(`INSERT INTO rollups (${COLUMNS}) VALUES ${nothing} ON DUPLICATE KEY UPDATE runs = runs`)
}

async function countedCursors(session: MysqlSession): Promise<PartitionCursor[]> {
  const rows = await session.query<{ topic: string; partition_id: number; next: number }[]>(
    'SELECT topic, partition_id, next FROM counted_cursors FOR UPDATE',
  )
  return rows.map(({ topic, partition_id, next }) => ({ topic, partition: partition_id, next }))
}

async function addRollups(session: MysqlSession, rollups: Fold['rollups']): Promise<void> {
  const places = rollups.map(({ key }) => `(${literal(scopeOf(key.user_id))},${key.day})`)
  const rows = await session.query<RollupRow[]>(
    `SELECT ${COLUMNS} FROM rollups WHERE (scope, day) IN (${places}) FOR UPDATE`,
  )
  const before = new Map(rows.map((row) => [rowId(row), fromRow(row)]))
  const merged = rollups.map(({ key, rollup }) => {
    const found = before.get(keyId(key))
    return rowLiteral(toRow(key, found === undefined ? rollup : mergeRollups(found, rollup)))
  })
  const values = ROLLUP_COLUMNS.slice(2).map((column) => `\`${column}\` = VALUES(\`${column}\`)`)
  await session.query(`INSERT INTO rollups (${COLUMNS}) VALUES ${merged} ON DUPLICATE KEY UPDATE ${values}`)
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

function keyId({ user_id, day }: RollupKey): string {
  return idOf(scopeOf(user_id), day)
}

function rowId({ scope, day }: RollupRow): string {
  return idOf(scope, day)
}

function idOf(scope: Uint8Array, day: number): string {
  return `${Buffer.from(scope.buffer, scope.byteOffset, scope.byteLength).toString('hex')} ${day}`
}
