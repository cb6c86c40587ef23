import { setTimeout as sleep } from 'node:timers/promises'
import { type CompiledQuery, Kysely, MysqlDialect, type MysqlPool } from 'kysely'
import { createPool, type Pool, type PoolConnection } from 'mysql2'
import { Failure, type FailureCode, isFailure } from '../../errors.ts'
import type { ColumnValue } from '../columns.ts'
import { mysqlErrorKind, mysqlErrorName } from './error.ts'
import { MysqlSession, type SessionOptions } from './session.ts'

export type MysqlOptions = {
  host: string
  port: number
  user: string
  password: string
  database: string
  /**
   * Encrypts the connections. `ca` is PEM text: any server with a certificate of that authority is trusted, as MySQL's
   * own certificates name no host. Without it the certificate must be the host's, of an authority that Node knows.
   */
  tls?: { ca?: string | undefined } | undefined
  /** How many connections an instance opens. */
  connectionsMax?: number | undefined
}

const CONNECTIONS_MAX = 4
/** More than there are; the server bounds what it keeps for all connections together. */
const PREPARED_MAX = 100
/** How many callers may wait for a connection, and for how long. */
const WAITING_MAX = 256
const ACQUIRE_MS_MAX = 10_000
const CONNECT_MS_MAX = 5000
const STATEMENT_MS_MAX = 30_000
/** How long closing waits for statements under way. */
const CLOSE_MS_MAX = 5000
/** A transaction that others disturbed is run again so often, and not after so long. */
const TRIES_MAX = 6
const TRYING_MS_MAX = 15_000
const PAUSE_MS_MAX = 50
/** How long a caller waits for the preparation, and how soon after one that failed the next begins. */
const PREPARED_MS_MAX = 1000
const PREPARE_AGAIN_MS = 1000

/** Runs a query whose rows are handed over as arrays, as they come: that costs less than a list of objects. */
export type EachArray = <R extends readonly unknown[]>(query: CompiledQuery, take: (row: R) => void) => Promise<void>

/** How a transaction ended well: with what it did, or without a trace. */
export type Ending<T> = { keep: boolean; result: T }

/**
 * A MySQL database, by a pool of connections. It comes back by itself when the server does: connections that broke are
 * closed and new ones opened. Whatever goes wrong is told as a retryable `Failure` with the given code; so is that the
 * server is not there yet, whose name may not be known yet either.
 */
export class MysqlDatabase<DB> implements AsyncDisposable {
  readonly #pool: Pool
  readonly #kysely: Kysely<DB>
  readonly #code: FailureCode
  readonly #session: SessionOptions
  readonly #open = new Set<PoolConnection>()
  readonly #prepare: MysqlPurpose['prepare']
  /** Where the server is, for messages. */
  readonly #place: string
  readonly #stop = new AbortController()
  #preparing: Promise<void> | undefined
  #isPrepared: boolean
  #closing: Promise<void> | undefined

  constructor(options: MysqlOptions, { code, statementMs = STATEMENT_MS_MAX, prepare, ...session }: MysqlPurpose) {
    this.#code = code
    this.#prepare = prepare
    this.#isPrepared = prepare === undefined
    this.#place = `${options.host.includes(':') ? `[${options.host}]` : options.host}:${options.port}`
    this.#session = { statementMs, ...session }
    this.#pool = openPool(options)
    const pool: MysqlPool = {
      getConnection: (done) => {
        const failed = (error: unknown) => done(error, undefined as never)
        this.#acquire().then((session) => done(undefined, session.forKysely()), failed)
      },
      end: (done) => done(undefined),
    }
    this.#kysely = new Kysely<DB>({ dialect: new MysqlDialect({ pool }) })
  }

  /** Resolves when it is prepared, however long that takes; throws what kept it from that. */
  async prepared(): Promise<void> {
    if (!this.#isPrepared) await this.#prepareOnce()
  }

  /** Runs queries that change nothing, again when the connection was lost. */
  read<T>(work: (db: Kysely<DB>, eachArray: EachArray) => Promise<T>): Promise<T> {
    return this.#guard(() => this.#persist(() => work(this.#kysely, (query, take) => this.#eachArray(query, take))))
  }

  /** Runs one SELECT as it is written, again when the connection was lost. All that it reads is of one moment. */
  select<T>(sql: string): Promise<T[]> {
    return this.#guard(() =>
      this.#persist(async () => {
        const session = await this.#acquire()
        try {
          return await session.query<T[]>(sql)
        } finally {
          session.release()
        }
      }),
    )
  }

  /**
   * Runs a transaction, again when others disturbed it or the connection was lost. As a COMMIT may have arrived whose
   * answer was lost, `work` must find out by itself, and then change nothing.
   */
  transact<T>(work: (session: MysqlSession) => Promise<Ending<T>>): Promise<T> {
    return this.#guard(() => this.#persist(() => this.#transactOnce(work)))
  }

  /** Queries without another try, for what is not harmless when it is repeated. */
  once<T>(work: (db: Kysely<DB>) => Promise<T>): Promise<T> {
    return this.#guard(() => work(this.#kysely))
  }

  /** A session for what needs one and the same: nothing is tried again. Whoever borrows it releases it. */
  borrow(): Promise<MysqlSession> {
    return this.#guard(() => this.#acquire())
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #eachArray<R extends readonly unknown[]>(
    { sql, parameters }: CompiledQuery,
    take: (row: R) => void,
  ): Promise<void> {
    const session = await this.#acquire()
    try {
      await session.queryEach<R>(sql, parameters as ColumnValue[], take)
    } finally {
      session.release()
    }
  }

  async #transactOnce<T>(work: (session: MysqlSession) => Promise<Ending<T>>): Promise<T> {
    const session = await this.#acquire()
    try {
      await session.query('BEGIN')
      const { keep, result } = await work(session)
      await session.query(keep ? 'COMMIT' : 'ROLLBACK')
      return result
    } catch (error) {
      await session.query('ROLLBACK').catch((reason: unknown) => session.abandon(reason))
      throw error
    } finally {
      session.release()
    }
  }

  async #persist<T>(work: () => Promise<T>): Promise<T> {
    const deadline = Date.now() + TRYING_MS_MAX
    for (let tries = 1; ; tries++) {
      try {
        return await work()
      } catch (error) {
        const kind = mysqlErrorKind(error)
        const mayHelp = (kind === 'busy' || kind === 'lost') && !(error instanceof NoConnection)
        if (!mayHelp || tries === TRIES_MAX || Date.now() > deadline) throw error
        // A pause of chance length, or the same two would meet again.
        await sleep(Math.random() * PAUSE_MS_MAX)
      }
    }
  }

  async #acquire(): Promise<MysqlSession> {
    const connection = await this.#connection()
    const session = new MysqlSession(connection, this.#session)
    if (this.#open.has(connection)) return session
    try {
      await session.prepare()
      this.#open.add(connection)
      connection.once('end', () => this.#open.delete(connection))
      connection.once('error', () => this.#open.delete(connection))
      return session
    } catch (error) {
      session.abandon(error)
      session.release()
      throw new NoConnection(error)
    }
  }

  #connection(): Promise<PoolConnection> {
    return new Promise((resolve, reject) => {
      let late = false
      const timer = setTimeout(() => {
        late = true
        reject(new NoConnection(new Error('all connections stayed busy')))
      }, ACQUIRE_MS_MAX)
      this.#pool.getConnection((error, connection) => {
        clearTimeout(timer)
        if (error) reject(new NoConnection(error))
        else if (late) connection.release()
        else resolve(connection)
      })
    })
  }

  /** One preparation at a time, whoever waits for it. One that failed is what all are told for a while. */
  #prepareOnce(): Promise<void> {
    this.#preparing ??= this.#runPrepare().finally(() => {
      setTimeout(() => (this.#preparing = undefined), PREPARE_AGAIN_MS).unref()
    })
    return this.#preparing
  }

  async #runPrepare(): Promise<void> {
    try {
      await this.#prepare?.(this.#stop.signal)
      this.#isPrepared = true
    } catch (error) {
      const { message, cause } = error as Error
      throw this.#waiting(cause === undefined ? message : mysqlErrorName(cause), error)
    }
  }

  /** Lets nobody wait for long: what makes the preparation long may be a full table, or a server that is silent. */
  async #waitPrepared(): Promise<void> {
    const done = new AbortController()
    const tooLong = sleep(PREPARED_MS_MAX, undefined, { signal: done.signal }).then(() => {
      throw this.#waiting('no answer yet, or its tables are being changed')
    })
    try {
      await Promise.race([this.#prepareOnce(), tooLong])
    } finally {
      done.abort()
    }
  }

  #waiting(reason: string, cause?: unknown): Failure {
    return new Failure(this.#code, `waiting for MySQL at ${this.#place}: ${reason}`, { retryable: true, cause })
  }

  async #guard<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#isPrepared) await this.#waitPrepared()
    try {
      return await work()
    } catch (error) {
      if (isFailure(error)) throw error
      const cause = error instanceof NoConnection ? error.cause : error
      throw new Failure(this.#code, `MySQL failed: ${mysqlErrorName(cause)}`, { retryable: true, cause })
    }
  }

  async #close(): Promise<void> {
    this.#stop.abort()
    await this.#preparing?.catch(() => {})
    await this.#kysely.destroy()
    const stop = new AbortController()
    const ended = new Promise<void>((resolve) => this.#pool.end(() => resolve())).finally(() => stop.abort())
    await Promise.race([ended, sleep(CLOSE_MS_MAX, undefined, stop).catch(() => {})])
    // What has not ended by now hangs.
    for (const connection of this.#open) connection.destroy()
  }
}

/** Makes the database when it is not there, for those who may: its tables come when it is opened. */
export async function createMysqlDatabase({ database, ...server }: MysqlOptions): Promise<void> {
  const name = `\`${database.replaceAll('`', '``')}\``
  const anywhere = { ...server, database: 'information_schema', connectionsMax: 1 }
  await using opened = new MysqlDatabase<unknown>(anywhere, { code: 'store_unavailable' })
  await opened.transact(async (session) => {
    await session.query(`CREATE DATABASE IF NOT EXISTS ${name}`)
    return { keep: true, result: undefined }
  })
}

/** For which failure it stands, and how long one statement may take. */
export type MysqlPurpose = { code: FailureCode } & Partial<SessionOptions> & {
    /** Comes before all else, again until it succeeds; ends soon when the signal aborts. */
    prepare?: (signal: AbortSignal) => Promise<void>
  }

/** No session could be had: to try again at once would not help. */
class NoConnection extends Error {
  constructor(cause: unknown) {
    super('no connection', { cause })
  }
}

function openPool({ host, port, user, password, database, tls, connectionsMax }: MysqlOptions): Pool {
  return createPool({
    host,
    port,
    user,
    password,
    database,
    ...(tls && { ssl: { ...tls, rejectUnauthorized: true, verifyIdentity: tls.ca === undefined } }),
    connectionLimit: connectionsMax ?? CONNECTIONS_MAX,
    queueLimit: WAITING_MAX,
    connectTimeout: CONNECT_MS_MAX,
    charset: 'utf8mb4',
    timezone: 'Z',
    maxPreparedStatements: PREPARED_MAX,
    // The server may ask for no file of ours.
    flags: ['-LOCAL_FILES'],
  })
}
