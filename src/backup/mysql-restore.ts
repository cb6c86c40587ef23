import { Buffer } from 'node:buffer'
import { createMysqlDatabase, MysqlDatabase, type MysqlOptions } from '../store/mysql/database.ts'
import { nameList } from '../store/mysql/literal.ts'
import { lockForRestore, type OtherSession } from '../store/mysql/restore-lock.ts'
import type { MysqlSession } from '../store/mysql/session.ts'
import type { ArchiveEntry } from './archive.ts'
import { readAll } from './archive.ts'
import { BackupError } from './backup-error.ts'
import type { BackupTable } from './manifest.ts'
import { tableNames } from './mysql-snapshot.ts'
import { chunkLiterals, tableOfChunk } from './table-chunks.ts'

/** What one statement may take: putting all tables in their place waits for nobody, filling one writes a megabyte. */
const STATEMENT_MS_MAX = 600_000
const ROWS_MAX = 5000

/**
 * Puts the tables of a backup in the place of a database's. They are filled beside those that there are, and all change places in
 * one statement. One session does everything and holds the lock: when it is lost, so is the restore, and nothing has changed.
 */
export class MysqlRestore implements AsyncDisposable {
  readonly #database: MysqlDatabase<unknown>
  readonly #session: MysqlSession
  readonly #tables: readonly BackupTable[]

  private constructor(database: MysqlDatabase<unknown>, session: MysqlSession, tables: readonly BackupTable[]) {
    this.#database = database
    this.#session = session
    this.#tables = tables
  }

  /** Throws a `BackupError` when somebody uses the database. */
  static async begin(options: MysqlOptions, tables: readonly BackupTable[]): Promise<MysqlRestore> {
    for (const { name } of tables) {
      if (!/^\w{1,50}$/.test(name)) throw new BackupError('the backup is damaged: a table has a name that is none')
    }
    await createMysqlDatabase(options)
    await using opened = new AsyncDisposableStack()
    const one = { ...options, connectionsMax: 1 }
    const purpose = { code: 'store_unavailable', statementMs: STATEMENT_MS_MAX, restores: true } as const
    const database = opened.use(new MysqlDatabase<unknown>(one, purpose))
    const session = await database.borrow()
    opened.defer(() => endSession(session))
    const others = await lockForRestore(session)
    if (others === undefined) throw new BackupError('another restore of this database is under way')
    if (others.length > 0) throw new BackupError(describe(options.database, others))
    const restore = new MysqlRestore(database, session, tables)
    await restore.#dropPassing()
    for (const { name, create } of tables) await session.query(createRestored(name, create))
    opened.move()
    return restore
  }

  async load({ name, body }: ArchiveEntry): Promise<void> {
    const table = this.#tables.find((one) => one.name === tableOfChunk(name))
    if (table === undefined) throw new BackupError(`the backup is damaged: ${name} belongs to no table`)
    const literals = chunkLiterals(Buffer.from(await readAll(body)).toString('utf8'), table)
    const into = `INSERT INTO ${nameList([restored(table.name)])} (${nameList(table.columns.map((column) => column.name))})`
    for (let at = 0; at < literals.length; at += ROWS_MAX) {
      await this.#session.query(`${into} VALUES ${literals.slice(at, at + ROWS_MAX)}`)
    }
  }

  /** The one moment at which everything changes. A table that the backup does not have goes. */
  async swap(): Promise<void> {
    const live = await tableNames(this.#session)
    const moves = [
      ...live.map((name) => `${nameList([name])} TO ${nameList([replaced(name)])}`),
      ...this.#tables.map(({ name }) => `${nameList([restored(name)])} TO ${nameList([name])}`),
    ]
    await this.#session.query(`RENAME TABLE ${moves}`)
    await this.#dropPassing()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Where it was not swapped. One whose session is lost leaves them to the next.
    await this.#dropPassing().catch(() => {})
    endSession(this.#session)
    await this.#database[Symbol.asyncDispose]()
  }

  /** What this restore, or one that was killed, has left beside the tables. */
  async #dropPassing(): Promise<void> {
    const rows = await this.#session.query<{ name: string }[]>(
      'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()',
    )
    const names = rows.map(({ name }) => name).filter((name) => /_(restored|replaced)$/.test(name))
    for (const name of names) await this.#session.query(`DROP TABLE ${nameList([name])}`)
  }
}

function describe(database: string, others: readonly OtherSession[]): string {
  const who = others.slice(0, 5).map(({ id, user, host, seconds }) => `${id} of ${user} from ${host}, ${seconds} s`)
  const more = others.length > who.length ? ` and ${others.length - who.length} more` : ''
  return `others use ${database} (${who.join('; ')}${more}): stop every service that has tables, storage, processing and anomaly-detector`
}

/** The table under its passing name. Names of constraints belong to the whole database, so those of checks are made anew. */
function createRestored(name: string, create: string): string {
  const begin = `CREATE TABLE ${nameList([name])} (`
  if (!create.startsWith(begin)) throw new BackupError(`the backup is damaged: ${name} is not made by its statement`)
  const rest = create.slice(begin.length).replaceAll(/CONSTRAINT `[^`]+` CHECK/g, 'CHECK')
  return `CREATE TABLE ${nameList([restored(name)])} (${rest}`
}

const restored = (table: string) => `${table}_restored`
const replaced = (table: string) => `${table}_replaced`

/** The lock goes with it. */
function endSession(session: MysqlSession): void {
  session.abandon(new Error('the restore has ended'))
  session.release()
}
