import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { type Connection, createConnection } from 'mysql2'
import type { MysqlOptions } from '../mysql/database.ts'
import { SET_SESSION } from '../mysql/settings.ts'

/** Where the tests find a MySQL server, by an account that may make databases and users. */
const ADDRESS = process.env.RUNIFY_TEST_MYSQL

/** False to run, or why not: what tests that need a server say when they are skipped. */
export const SKIP_WITHOUT_MYSQL =
  ADDRESS === undefined || ADDRESS === ''
    ? 'RUNIFY_TEST_MYSQL is not set: it names a server to test on, mysql://root:password@host:port'
    : false

/** A database of its own, with a user who may do everything in it and nothing else. Both are dropped at the end. */
export type MysqlPlace = AsyncDisposable & {
  options: MysqlOptions
  /** A statement by the administrator, within the database. */
  admin<T = unknown>(sql: string): Promise<T[]>
}

/** @param address - as in RUNIFY_TEST_MYSQL, which is where it is when nothing is said */
export async function openMysqlPlace(address = ADDRESS as string): Promise<MysqlPlace> {
  const url = new URL(address)
  const at = { host: url.hostname, port: Number(url.port || 3306) }
  const root = { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) }
  const connection: Connection = createConnection({ ...at, ...root, charset: 'utf8mb4' })
  const query = promisify(
    connection.query.bind(connection) as (sql: string, done: (error: unknown, rows: unknown) => void) => void,
  )
  const admin = <T>(sql: string) => query(sql) as Promise<T[]>
  // Whatever the test has made of the server's own settings.
  await admin(SET_SESSION)
  const name = `runify_${randomBytes(6).toString('hex')}`
  const password = randomBytes(12).toString('hex')
  await admin(`CREATE DATABASE ${name}`)
  await admin(`CREATE USER ${name} IDENTIFIED BY '${password}'`)
  await admin(`GRANT ALL ON ${name}.* TO ${name}`)
  await admin(`USE ${name}`)
  return {
    options: { ...at, user: name, password, database: name },
    admin,
    async [Symbol.asyncDispose]() {
      await admin(`DROP DATABASE ${name}`)
      await admin(`DROP USER ${name}`)
      connection.destroy()
    },
  }
}
