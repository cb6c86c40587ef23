import { Buffer } from 'node:buffer'
import { type Cursors, formatCursors } from '../log/position.ts'
import { MysqlDatabase, type MysqlOptions } from '../store/mysql/database.ts'
import { nameList } from '../store/mysql/literal.ts'
import type { MysqlSession } from '../store/mysql/session.ts'
import type { ArchiveEntry } from './archive.ts'
import {
  type BackupTable,
  type ColumnKind,
  CURSOR_TABLES,
  KEEPERS,
  type Manifest,
  MIGRATION_TABLES,
} from './manifest.ts'
import { chunkName, isPassing } from './table-chunks.ts'

/** The largest piece of a table that is held, and that is put back in one statement. */
const CHUNK_BYTES = 1024 * 1024
/** How long nothing may come from the server, and how long it waits while nobody reads. */
const STATEMENT_MS_MAX = 600_000

/** All tables of a database at one moment, while Runify goes on with them. */
export class MysqlSnapshot implements AsyncDisposable {
  readonly #database: MysqlDatabase<unknown>
  readonly #session: MysqlSession
  tables: BackupTable[] = []

  private constructor(database: MysqlDatabase<unknown>, session: MysqlSession) {
    this.#database = database
    this.#session = session
  }

  static async take(options: MysqlOptions): Promise<MysqlSnapshot> {
    await using opened = new AsyncDisposableStack()
    const one = { ...options, connectionsMax: 1 }
    const database = new MysqlDatabase<unknown>(one, { code: 'store_unavailable', statementMs: STATEMENT_MS_MAX })
    opened.use(database)
    const snapshot = new MysqlSnapshot(database, await database.borrow())
    opened.defer(() => snapshot.#end())
    await snapshot.#take()
    opened.move()
    return snapshot
  }

  async positions(): Promise<Partial<Manifest['positions']>> {
    const positions: Partial<Manifest['positions']> = {}
    for (const keeper of KEEPERS) {
      const { table } = CURSOR_TABLES[keeper]
      const columns = 'topic, partition_id AS `partition`, next'
      if (this.#has(table)) {
        positions[keeper] = formatCursors(await this.#session.query<Cursors>(`SELECT ${columns} FROM ${table}`))
      }
    }
    return positions
  }

  async migrations(): Promise<Manifest['migrations']> {
    const migrations: Manifest['migrations'] = {}
    for (const table of MIGRATION_TABLES.filter((name) => this.#has(name))) {
      const rows = await this.#session.query<{ name: string }[]>(`SELECT name FROM ${table} ORDER BY name`)
      migrations[table] = rows.map(({ name }) => name)
    }
    return migrations
  }

  /** The rows of all tables, in pieces. */
  async *entries(): AsyncGenerator<ArchiveEntry> {
    for (const table of this.tables) {
      let chunk = 0
      let lines: string[] = []
      let bytes = 0
      const flush = () => {
        const body = Buffer.from(lines.join(''))
        lines = []
        bytes = 0
        return { name: chunkName(table.name, chunk++), size: body.byteLength, body: [body] }
      }
      const columns = table.columns.map(({ name, kind }) => (kind === 'bytes' ? `HEX(\`${name}\`)` : `\`${name}\``))
      for await (const row of this.#session.stream(`SELECT ${columns} FROM \`${table.name}\``)) {
        const line = `${JSON.stringify(row)}\n`
        lines.push(line)
        bytes += line.length
        if (bytes >= CHUNK_BYTES) yield flush()
      }
      if (lines.length > 0) yield flush()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end()
    await this.#database[Symbol.asyncDispose]()
  }

  async #take(): Promise<void> {
    const session = this.#session
    await session.query(`SET SESSION transaction_isolation = 'REPEATABLE-READ', SESSION net_write_timeout = 600`)
    await session.query('START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY')
    for (const name of await tableNames(session)) this.tables.push(await describe(session, name))
  }

  /** What it has set and begun goes with the connection. */
  async #end(): Promise<void> {
    this.#session.abandon(new Error('the snapshot has ended'))
    this.#session.release()
  }

  #has(table: string): boolean {
    return this.tables.some(({ name }) => name === table)
  }
}

/** Those that last: what a restore or a rebuild makes meanwhile, or has left behind, does not count. */
export async function tableNames(session: MysqlSession): Promise<string[]> {
  const rows = await session.query<{ name: string }[]>(
    'SELECT table_name AS name FROM information_schema.tables ' +
      "WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY table_name",
  )
  return rows.map(({ name }) => name).filter((name) => !isPassing(name))
}

async function describe(session: MysqlSession, name: string): Promise<BackupTable> {
  // The first look at a table holds its form until the end, so that nobody changes it in between.
  await session.query(`SELECT 1 FROM ${nameList([name])} LIMIT 1`)
  const [made] = await session.query<Record<string, string>[]>(`SHOW CREATE TABLE ${nameList([name])}`)
  const columns = await session.query<{ name: string; type: string }[]>(
    'SELECT column_name AS name, data_type AS type FROM information_schema.columns ' +
      'WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position',
    [name],
  )
  return {
    name,
    create: made?.['Create Table'] as string,
    columns: columns.map((column) => ({ name: column.name, kind: kindOf(column.type) })),
  }
}

function kindOf(type: string): ColumnKind {
  if (/^(tiny|small|medium|big)?int$/.test(type)) return 'integer'
  if (type === 'double') return 'double'
  return /binary|blob/.test(type) ? 'bytes' : 'text'
}
