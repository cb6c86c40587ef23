import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { createConnection } from 'mysql2'
import type { RunifyEvent } from '../src/events/catalogue.ts'
import { columnsOf, toRow } from '../src/store/columns.ts'
import type { EventStore } from '../src/store/event-store.ts'
import { openMysqlStore } from '../src/store/mysql/mysql-store.ts'

/**
 * How fast the MySQL store takes events, beside LOAD DATA of the same rows into the same table on the same server, in
 * turns. Needs RUNIFY_BENCH_MYSQL or RUNIFY_TEST_MYSQL (mysql://root:password@host:port); makes and drops a database.
 *
 *   node bench/store.ts [events] [events a batch] [partitions at once]
 */
const ADDRESS = process.env.RUNIFY_BENCH_MYSQL ?? process.env.RUNIFY_TEST_MYSQL
if (ADDRESS === undefined) throw new Error('RUNIFY_BENCH_MYSQL is not set: mysql://root:password@host:port')
const [EVENTS = 200_000, BATCH = 5000, PARTITIONS = 1] = process.argv.slice(2).map(Number)
const TURNS = 3

const url = new URL(ADDRESS)
const server = { host: url.hostname, port: Number(url.port || 3306) }
const account = { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) }
const database = `runify_bench_${randomBytes(4).toString('hex')}`

const events = makeEvents(EVENTS)
const connection = createConnection({ ...server, ...account, flags: ['LOCAL_FILES'] })
const query = promisify(connection.query.bind(connection) as (options: object, done: (error: unknown) => void) => void)
await query({ sql: `CREATE DATABASE ${database}` })
await query({ sql: `USE ${database}` })
await query({ sql: 'SET GLOBAL local_infile = ON' })
try {
  await using store = await openMysqlStore({ ...server, ...account, database })
  const file = loadFile(events)
  console.log(`${EVENTS} runs, batches of ${BATCH}, ${PARTITIONS} partitions at once, events/s`)
  for (let turn = 0; turn < TURNS; turn++) {
    await empty()
    const load = await rate(() => loadData(file))
    await empty()
    const write = await rate(() => writeAll(store))
    console.log(`LOAD DATA ${load.toFixed(0)}   write ${write.toFixed(0)}   ratio ${(write / load).toFixed(2)}`)
  }
} finally {
  await query({ sql: `DROP DATABASE ${database}` })
  connection.destroy()
}

async function empty(): Promise<void> {
  await query({ sql: 'TRUNCATE running_stats' })
  await query({ sql: 'TRUNCATE stored_cursors' })
}

async function rate(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now()
  await work()
  return (EVENTS / (performance.now() - begin)) * 1000
}

async function writeAll(store: EventStore): Promise<void> {
  const share = Math.ceil(EVENTS / PARTITIONS)
  const writers = Array.from({ length: PARTITIONS }, async (_, partition) => {
    const own = events.slice(partition * share, (partition + 1) * share)
    for (let from = 0; from < own.length; from += BATCH) {
      const some = own.slice(from, from + BATCH).map((event, index) => ({ offset: from + index, event }))
      await store.write({ type: 'running_stats', partition, from, next: from + some.length, events: some })
    }
  })
  await Promise.all(writers)
}

function loadData(file: Buffer): Promise<unknown> {
  const columns = columnsOf('running_stats').map((name) =>
    /_id$/.test(name) && name !== 'event_id' ? `@${name}` : name,
  )
  const sql =
    `LOAD DATA LOCAL INFILE 'runs' INTO TABLE running_stats CHARACTER SET utf8mb4 (${columns}) ` +
    'SET trace_id = unhex(@trace_id), user_id = unhex(@user_id)'
  return query({ sql, infileStreamFactory: () => Readable.from(chunksOf(file)) })
}

function* chunksOf(file: Buffer): Iterable<Buffer> {
  for (let at = 0; at < file.length; at += 1 << 18) yield file.subarray(at, at + (1 << 18))
}

function loadFile(events: readonly RunifyEvent[]): Buffer {
  const text = (value: unknown) =>
    value === null ? '\\N' : value instanceof Uint8Array ? Buffer.from(value).toString('hex') : String(value)
  const lines = events.map((event, offset) => toRow({ partition: 0, offset, event }).map(text).join('\t'))
  return Buffer.from(`${lines.join('\n')}\n`)
}

/** Runs of 10,000 runners in the last month, as they come: ids in the order of time, the rest by chance. */
function makeEvents(count: number): RunifyEvent[] {
  const users = Array.from({ length: 10_000 }, () => uuid(randomBytes(16)))
  const begin = Date.UTC(2025, 0, 1)
  return Array.from({ length: count }, (_, index) => {
    const date_created = begin + Math.floor(index / 20)
    const id = randomBytes(16)
    id.writeUIntBE(date_created, 0, 6)
    const fields = {
      user_id: users[Math.floor(Math.random() * users.length)] as string,
      duration: Math.random() * 7200,
      distance: Math.random() * 42_195,
      timestamp: date_created - Math.floor(Math.random() * 30 * 86_400_000),
    }
    return { type: 'running_stats', trace_id: uuid(id), date_created, fields }
  })
}

function uuid(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
