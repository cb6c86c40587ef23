import type { Kysely } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import type { FailureCode } from '../../errors.ts'
import { type Ending, MysqlDatabase, type MysqlOptions } from './database.ts'
import type { MysqlSession } from './session.ts'
import { checkServer } from './settings.ts'

/** What a migration of a full table may take, and so what another instance waits for it. */
const MIGRATION_MS_MAX = 600_000

export type MysqlSchema = { code: FailureCode; migrations: Record<string, Migration>; table: string }

export type Opening = {
  /**
   * Whether it is opened before the server is there, or has brought it to its newest form: until then all that is asked
   * of it fails as when the server is unavailable.
   */
  atOnce?: boolean
}

/** Brings a database to its newest form and opens it. */
export async function openMysqlDatabase<DB>(
  options: MysqlOptions,
  schema: MysqlSchema,
  { atOnce = false }: Opening = {},
): Promise<MysqlDatabase<DB>> {
  const prepare = (signal: AbortSignal) => bringUpToDate(options, { schema, signal })
  const database = new MysqlDatabase<DB>(options, { code: schema.code, prepare })
  if (atOnce) return database
  try {
    await database.prepared()
    return database
  } catch (error) {
    await database[Symbol.asyncDispose]()
    throw error
  }
}

async function bringUpToDate(
  options: MysqlOptions,
  { schema, signal }: { schema: MysqlSchema; signal: AbortSignal },
): Promise<void> {
  await using patient = new MysqlDatabase<unknown>(
    { ...options, connectionsMax: 1 },
    { code: schema.code, statementMs: MIGRATION_MS_MAX },
  )
  signal.throwIfAborted()
  // What it has begun fails then, and is brought to its end by whoever comes next.
  const stop = () => void patient[Symbol.asyncDispose]()
  signal.addEventListener('abort', stop)
  try {
    await patient.once(async (db) => {
      await checkServer(db, schema.code)
      await migrate(db, schema)
    })
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/**
 * Any number of instances may do it at once: the migrator holds GET_LOCK, which DDL does not release and the end of the
 * session does. MySQL cannot undo DDL, so one that is killed leaves its first statements done: each statement of a
 * migration makes one whole thing, and does nothing when that is there.
 */
async function migrate(db: Kysely<unknown>, { migrations, table }: MysqlSchema): Promise<void> {
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => migrations },
    migrationTableName: table,
    migrationLockTableName: `${table}_lock`,
  })
  const { error } = await migrator.migrateToLatest()
  if (error !== undefined) throw error
}

/**
 * Puts empty tables in the place of full ones, all at the same moment: RENAME waits for the transactions that use them,
 * and those that come after see the empty ones. So no writer ever sees some of them empty and others not.
 */
export async function emptyTables(session: MysqlSession, tables: readonly string[]): Promise<Ending<void>> {
  const [fresh, old] = ['fresh', 'old'].map((suffix) => (table: string) => `${table}_${suffix}`) as [Name, Name]
  // What one that was killed has left.
  for (const name of [fresh, old]) await session.query(`DROP TABLE IF EXISTS ${tables.map(name)}`)
  for (const table of tables) await session.query(`CREATE TABLE ${fresh(table)} LIKE ${table}`)
  await session.query(`RENAME TABLE ${tables.map((table) => `${table} TO ${old(table)}, ${fresh(table)} TO ${table}`)}`)
  await session.query(`DROP TABLE ${tables.map(old)}`)
  return { keep: true, result: undefined }
}

/** Makes empty shadow tables of the same form, in the place of what was left there. */
export async function createShadowTables(session: MysqlSession, tables: readonly string[]): Promise<Ending<void>> {
  await session.query(`DROP TABLE IF EXISTS ${tables.map(shadowOf)}`)
  for (const table of tables) await session.query(`CREATE TABLE ${shadowOf(table)} LIKE ${table}`)
  return { keep: true, result: undefined }
}

export async function dropShadowTables(session: MysqlSession, tables: readonly string[]): Promise<Ending<void>> {
  await session.query(`DROP TABLE IF EXISTS ${tables.map(shadowOf)}`)
  return { keep: true, result: undefined }
}

/** Puts the shadow tables in the place of the live ones, all at the same moment, as `emptyTables` does. */
export async function swapShadowTables(session: MysqlSession, tables: readonly string[]): Promise<Ending<void>> {
  const old: Name = (table) => `${table}_old`
  const there = await session.query<unknown[]>(`SHOW TABLES LIKE '${shadowOf(tables[0] as string)}'`)
  // Otherwise it was done before, and only the answer was lost.
  if (there.length > 0) {
    await session.query(`DROP TABLE IF EXISTS ${tables.map(old)}`)
    const moves = tables.map((table) => `${table} TO ${old(table)}, ${shadowOf(table)} TO ${table}`)
    await session.query(`RENAME TABLE ${moves}`)
  }
  await session.query(`DROP TABLE IF EXISTS ${tables.map(old)}`)
  return { keep: true, result: undefined }
}

/**
 * A statement on the shadow tables instead. Literals hold nothing that a name could be taken for: texts that are not plain
 * are hex digits, and plain ones stand between quotes, which are passed over.
 */
export function renameToShadow(tables: readonly string[]): (sql: string) => string {
  const names = new RegExp(`'[^']*'|\\b(?:${tables.join('|')})\\b`, 'g')
  return (sql) => sql.replace(names, (found) => (found.startsWith("'") ? found : shadowOf(found)))
}

const shadowOf: Name = (table) => `${table}_beside`

type Name = (table: string) => string
