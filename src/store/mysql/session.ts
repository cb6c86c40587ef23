import type { MysqlPoolConnection } from 'kysely'
import type { PoolConnection, QueryError, TypeCast } from 'mysql2'
import type { ColumnValue } from '../columns.ts'
import { mysqlErrorKind } from './error.ts'
import { isRestoring, RestoreUnderWay } from './restore-lock.ts'
import { SET_SESSION } from './settings.ts'

/** What a statement that writes gives back. */
export type Written = { affectedRows: number }

export type SessionOptions = {
  statementMs: number
  /** Whether it works while a restore is under way: the one that restores does. */
  restores?: boolean | undefined
  /** Puts other tables in the place of those that statements name. */
  rename?: ((sql: string) => string) | undefined
}

/** So many rows are held here when they are read slowly. */
const STREAMED_ROWS = 500

/**
 * A connection while somebody holds it. The invariant: it goes back to the pool only in a state that is known, between
 * two transactions; after anything else it is closed, and the server rolls back.
 */
export class MysqlSession {
  readonly #connection: PoolConnection
  readonly #statementMs: number
  readonly #restores: boolean
  readonly #rename: (sql: string) => string
  #broken: unknown

  constructor(connection: PoolConnection, { statementMs, restores = false, rename = (sql) => sql }: SessionOptions) {
    this.#connection = connection
    this.#statementMs = statementMs
    this.#restores = restores
    this.#rename = rename
  }

  async prepare(): Promise<void> {
    // What goes wrong later also comes to the statement under way; without a listener it would end the process.
    this.#connection.on('error', () => {})
    await this.query(SET_SESSION)
    if (!this.#restores && (await isRestoring(this))) throw new RestoreUnderWay()
  }

  /** Runs one statement. `parameters` are put in by the driver, escaped. */
  query<T = Written>(sql: string, parameters: readonly ColumnValue[] = []): Promise<T> {
    const values = parameters.length === 0 ? undefined : [...parameters]
    return this.#run((done) => this.#connection.query({ sql: this.#rename(sql), values, typeCast: exactDoubles }, done))
  }

  /**
   * Runs one statement that the server keeps prepared. Its rows come as arrays in the binary protocol, doubles as they are:
   * that costs half of what text does, here and there. Each is handed over when it has come, and is not kept.
   */
  queryEach<R extends readonly unknown[]>(
    sql: string,
    parameters: readonly ColumnValue[],
    take: (row: R) => void,
  ): Promise<void> {
    // The driver would send a number as a double, which LIMIT does not take; of a text the server takes the number.
    const values = parameters.map((value) => (typeof value === 'number' ? String(value) : value))
    return this.#run((done) =>
      this.#connection
        .execute({ sql: this.#rename(sql), values, rowsAsArray: true })
        .on('result', (row) => take(row as unknown as R))
        .on('error', (error: QueryError) => done(error, undefined))
        .on('end', () => done(null, undefined)),
    )
  }

  /**
   * The rows of one SELECT as they come, each value as text, whatever its type is. The server waits for whoever reads them.
   * Until the last row is read the session is of no use for anything else.
   */
  async *stream(sql: string): AsyncGenerator<(string | null)[]> {
    const query = { sql: this.#rename(sql), rowsAsArray: true, typeCast: ((field) => field.string()) as TypeCast }
    const rows = this.#connection.query(query).stream({ highWaterMark: STREAMED_ROWS })[Symbol.asyncIterator]()
    try {
      while (true) {
        const { done, value } = await this.#bounded(rows.next())
        if (done) return
        yield value as (string | null)[]
      }
    } catch (error) {
      this.abandon(error)
      throw error
    } finally {
      await rows.return?.()
    }
  }

  async #bounded<T>(work: Promise<T>): Promise<T> {
    const timer = setTimeout(() => {
      this.#broken = new StatementTimeout(`a statement gave nothing for ${this.#statementMs} ms`)
      this.#connection.destroy()
    }, this.#statementMs)
    try {
      return await work
    } finally {
      clearTimeout(timer)
    }
  }

  #run<T>(start: (done: (error: QueryError | null, result: unknown) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#broken !== undefined) return reject(this.#broken)
      // Not the driver's own timeout: it would go on ticking, and keep the process, when the connection is lost.
      const timer = setTimeout(() => {
        this.#broken = new StatementTimeout(`a statement took longer than ${this.#statementMs} ms`)
        this.#connection.destroy()
        reject(this.#broken)
      }, this.#statementMs)
      start((error, result) => {
        clearTimeout(timer)
        if (error === null) return resolve(result as T)
        const kind = mysqlErrorKind(error)
        if (kind === 'lost' || kind === 'read_only') this.#broken = error
        reject(error)
      })
    })
  }

  /** Nothing that was begun on it may be left: closing the connection is the one sure way. */
  abandon(reason: unknown): void {
    this.#broken ??= reason
  }

  release(): void {
    if (this.#broken === undefined) this.#connection.release()
    else this.#connection.destroy()
  }

  /** The same session as Kysely's driver wants it. */
  forKysely(): MysqlPoolConnection {
    const query: MysqlPoolConnection['query'] = (sql, parameters, done) => {
      this.query<never>(sql, parameters).then((result) => done?.(undefined, result), done as (error: unknown) => void)
      return { stream: () => [] as never }
    }
    const { config, threadId } = this.#connection
    return {
      config,
      threadId,
      query,
      connect: (done) => done?.(undefined),
      destroy: () => this.#connection.destroy(),
      release: () => this.release(),
    }
  }
}

class StatementTimeout extends Error {
  /** As the driver marks errors after which a connection is of no use. */
  readonly fatal = true
}

/** The driver reads doubles of up to 17 characters by arithmetic of its own, which is not exact for all of them. */
const exactDoubles: TypeCast = (field, next) => {
  if (field.type !== 'DOUBLE') return next()
  const text = field.string()
  return text === null ? null : Number(text)
}
