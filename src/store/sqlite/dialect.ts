import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'

/**
 * Kysely over `node:sqlite`. Kysely's own SQLite driver wants better-sqlite3's interface and hands one connection to
 * everybody at once; this one lends it to one query or transaction at a time, and keeps statements prepared.
 */
export class NodeSqliteDialect implements Dialect {
  readonly #database: DatabaseSync
  constructor(database: DatabaseSync) {
    this.#database = database
  }
  createDriver = (): Driver => new NodeSqliteDriver(this.#database)
  createQueryCompiler = () => new SqliteQueryCompiler()
  createAdapter = () => new SqliteAdapter()
  createIntrospector = (db: Kysely<unknown>) => new SqliteIntrospector(db)
}

class NodeSqliteDriver implements Driver {
  readonly #database: DatabaseSync
  readonly #connection: NodeSqliteConnection
  #lent: Promise<void> = Promise.resolve()
  #giveBack: () => void = () => {}

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#connection = new NodeSqliteConnection(database)
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    const before = this.#lent
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#lent = promise
    await before
    this.#giveBack = resolve
    return this.#connection
  }

  async releaseConnection(): Promise<void> {
    this.#giveBack()
  }

  async beginTransaction(): Promise<void> {
    this.#database.exec('BEGIN')
  }

  async commitTransaction(): Promise<void> {
    this.#database.exec('COMMIT')
  }

  async rollbackTransaction(): Promise<void> {
    this.#database.exec('ROLLBACK')
  }

  async destroy(): Promise<void> {
    await this.#lent
    this.#database.close()
  }
}

/** More distinct statements than Runify has; a bound all the same. */
const STATEMENTS_MAX = 200

class NodeSqliteConnection implements DatabaseConnection {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, { statement: StatementSync; reads: boolean }>()

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { statement, reads } = this.#prepare(sql)
    if (reads) return { rows: statement.all(...(parameters as SQLInputValue[])) as R[] }
    const { changes } = statement.run(...(parameters as SQLInputValue[]))
    return { rows: [], numAffectedRows: BigInt(changes) }
  }

  // biome-ignore lint/correctness/useYield: Runify pages by key; a cursor held open would hold up checkpoints.
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('streaming is not supported: read pages by key')
  }

  #prepare(sql: string): { statement: StatementSync; reads: boolean } {
    let prepared = this.#statements.get(sql)
    if (prepared === undefined) {
      if (this.#statements.size >= STATEMENTS_MAX) this.#statements.clear()
      const statement = this.#database.prepare(sql)
      prepared = { statement, reads: statement.columns().length > 0 }
      this.#statements.set(sql, prepared)
    }
    return prepared
  }
}
