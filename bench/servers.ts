import { Producer } from '@platformatic/kafka'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { readConfig } from '../src/config.ts'
import { CATALOGUE, type EventType } from '../src/events/catalogue.ts'
import { checkEvent } from '../src/events/check.ts'
import { encodeEvent } from '../src/events/codec.ts'
import { openKafkaLog } from '../src/log/kafka-log.ts'
import { type KafkaServer, type MysqlServer, startKafka, startMysql } from '../tests/servers/containers.ts'
import { Supervised } from '../tests/servers/supervised.ts'
import { eventBodies, getJson, load, median, percentile, type Row, sendMany, startBare } from './bench-system.ts'

const CONNECTIONS = 64
const SECONDS = 4
const ROUNDS = 5
const LINES = 10_000
const REQUESTS = 20
const CATCH_UP = Number(process.env.BENCH_EVENTS ?? 1_000_000)
const FRESH = 300
/** As many as the raw client was found to take best. */
const RAW_BATCH = 500
const RAW_TOPIC = 'bench.raw'
const TYPE: EventType = 'running_stats'

/** The containers' system on a Kafka and a MySQL of its own, each figure beside its limit. */
export async function benchServers(): Promise<Row[]> {
  await using opened = new AsyncDisposableStack()
  const kafka = opened.use(await startKafka())
  const mysql = opened.use(await startMysql())
  await mysql.clear()
  const environment = { RUNIFY_LOG: kafka.address, RUNIFY_STORE: mysql.address, RUNIFY_LOG_LEVEL: 'warn' }
  const receiver = opened.use(await Supervised.start('receiver', environment))
  const rows = [...(await benchPosts(receiver.address)), ...(await benchLines(receiver.address, kafka))]
  rows.push(...(await benchCatchingUp(receiver.address, mysql, environment)))
  const storage = opened.use(await Supervised.start('storage', environment))
  await stored(storage.address, kafka.address)
  rows.push(...(await benchFreshness(receiver.address, mysql)))
  return rows
}

async function benchPosts(receiver: string): Promise<Row[]> {
  const bodies = eventBodies(1000)
  await using bare = await startBare()
  const turns: { bare: number; runify: number; p99: number }[] = []
  for (const address of [bare.address, receiver]) await load(address, { bodies, connections: CONNECTIONS, seconds: 2 })
  for (let round = 0; round < ROUNDS; round++) {
    const limit = await load(bare.address, { bodies, connections: CONNECTIONS, seconds: SECONDS })
    const { rate, p99 } = await load(receiver, { bodies, connections: CONNECTIONS, seconds: SECONDS })
    turns.push({ bare: limit.rate, runify: rate, p99 })
  }
  return [
    { name: 'bare server that parses', value: median(turns.map((turn) => turn.bare)), unit: 'requests/s' },
    {
      name: 'single POSTs acknowledged by Kafka',
      value: median(turns.map((turn) => turn.runify)),
      unit: 'events/s',
      ratio: median(turns.map((turn) => turn.runify / turn.bare)),
    },
    { name: 'single POSTs, p99', value: median(turns.map((turn) => turn.p99)), unit: 'ms' },
  ]
}

async function benchLines(receiver: string, kafka: KafkaServer): Promise<Row[]> {
  const lines = eventBodies(LINES)
  const body = Buffer.from(`${lines.join('\n')}\n`)
  // Into a topic of its own: the same messages again and again would be repeats to Storage.
  await kafka.script('kafka-topics.sh', '--create', '--topic', RAW_TOPIC, '--partitions', '3')
  const messages = lines.map(toMessage)
  const [, host, port] = /^kafka:\/\/([^:]+):(\d+)$/.exec(kafka.address) as unknown as [string, string, string]
  const producer = new Producer({ clientId: 'bench', bootstrapBrokers: [{ host, port: Number(port) }] })
  const raw: number[] = []
  const runify: number[] = []
  for (let round = 0; round <= ROUNDS; round++) {
    const rawRate = await rate(async () => {
      for (let request = 0; request < REQUESTS; request++) {
        for (let at = 0; at < LINES; at += RAW_BATCH) {
          await producer.send({ messages: messages.slice(at, at + RAW_BATCH), acks: -1 })
        }
      }
    })
    const runifyRate = await rate(() => sendMany(receiver, body, REQUESTS))
    // The first round warms both up.
    if (round > 0) {
      raw.push(rawRate)
      runify.push(runifyRate)
    }
  }
  await producer.close()
  return [
    { name: `the client alone, batches of ${RAW_BATCH}`, value: median(raw), unit: 'messages/s' },
    {
      name: 'NDJSON acknowledged by Kafka',
      value: median(runify),
      unit: 'events/s',
      ratio: median(runify.map((value, round) => value / (raw[round] as number))),
      target: '≥ 0.60 of the limit',
    },
  ]
}

/** What is in the log is stored; the limit is LOAD DATA of the same rows into the same table, on the server itself. */
async function benchCatchingUp(receiver: string, mysql: MysqlServer, environment: Record<string, string>) {
  const pool = eventBodies(100_000)
  const parts = Array.from({ length: pool.length / LINES }, (_, at) => {
    return Buffer.from(`${pool.slice(at * LINES, (at + 1) * LINES).join('\n')}\n`)
  })
  for (let sent = 0; sent < CATCH_UP; sent += LINES) {
    await sendMany(receiver, parts[(sent / LINES) % parts.length] as Buffer, 1)
  }
  const storage = await Supervised.start('storage', environment)
  const first = await countOf(storage.address)
  const started = performance.now()
  const all = await stored(storage.address, environment.RUNIFY_LOG as string)
  const caughtUp = ((all - first) / (performance.now() - started)) * 1000

  // It must not write any more.
  await storage[Symbol.asyncDispose]()
  const [{ dir }] = (await mysql.query('SELECT @@secure_file_priv AS dir')) as [{ dir: string }]
  const file = `${dir}runs-${process.pid}`
  await mysql.query(`SELECT * FROM runify.${TYPE} INTO OUTFILE '${file}' CHARACTER SET binary`)
  await mysql.query(`TRUNCATE runify.${TYPE}`)
  const loadStarted = performance.now()
  await mysql.query(`LOAD DATA INFILE '${file}' INTO TABLE runify.${TYPE} CHARACTER SET binary`)
  const loaded = (all / (performance.now() - loadStarted)) * 1000
  return [
    { name: `LOAD DATA of ${all.toLocaleString('en')} rows`, value: loaded, unit: 'rows/s' },
    {
      name: 'Kafka → MySQL, catching up',
      value: caughtUp,
      unit: 'rows/s',
      ratio: caughtUp / loaded,
      target: '≥ 0.80 of the limit',
    },
  ] satisfies Row[]
}

/** One event at a time: from the beginning of its POST until MySQL shows it. */
async function benchFreshness(receiver: string, mysql: MysqlServer): Promise<Row[]> {
  const url = new URL(mysql.address)
  const { hostname: host, port, username: user, password } = url
  const connection = await createConnection({ host, port: Number(port), user, password, database: 'runify' })
  const times: number[] = []
  for (const body of eventBodies(FRESH)) {
    const started = performance.now()
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(`${receiver}/stats/running`, { method: 'POST', headers, body })
    const { trace_id } = (await response.json()) as { trace_id: string }
    for (let seen = false; !seen; ) {
      const sql = `SELECT 1 FROM ${TYPE} WHERE trace_id = unhex(?)`
      const [found] = await connection.query<RowDataPacket[]>(sql, [trace_id.replaceAll('-', '')])
      seen = found.length === 1
    }
    times.push(performance.now() - started)
  }
  connection.destroy()
  return [
    { name: 'POST → MySQL at rest, p50', value: percentile(times, 0.5), unit: 'ms' },
    { name: 'POST → MySQL at rest, p99', value: percentile(times, 0.99), unit: 'ms' },
  ]
}

function toMessage(line: string) {
  const checked = checkEvent(TYPE, JSON.parse(line))
  if (!checked.ok) throw new Error(line)
  const event = { type: TYPE, trace_id: crypto.randomUUID(), date_created: Date.now(), fields: checked.fields }
  const { user_id } = JSON.parse(line) as { user_id: string }
  return { topic: RAW_TOPIC, key: Buffer.from(user_id), value: encodeEvent(event as never) }
}

async function rate(work: () => Promise<void>): Promise<number> {
  const started = performance.now()
  await work()
  return (REQUESTS * LINES * 1000) / (performance.now() - started)
}

async function countOf(storage: string): Promise<number> {
  return (await getJson<{ num_running_stats: number }>(`${storage}/stats`)).num_running_stats
}

/** Resolves when Storage has all that the log holds, with how much that is. */
async function stored(storage: string, address: string): Promise<number> {
  const { log: choice } = readConfig({ RUNIFY_LOG: address })
  if (choice.kind !== 'kafka') throw new Error(address)
  await using log = await openKafkaLog(choice)
  const all = (await log.partitions(CATALOGUE[TYPE].topic)).reduce((sum, { next }) => sum + next, 0)
  while ((await countOf(storage)) < all) await new Promise((resolve) => setTimeout(resolve, 25))
  return all
}
