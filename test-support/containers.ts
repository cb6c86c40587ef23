import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { promisify } from 'node:util'
import { type Connection, createConnection } from 'mysql2/promise'
import { waitFor } from './harness.ts'

/** Kafka and MySQL in containers of a test's own, which it may kill. Their ports are the same when they return. */

const execute = promisify(execFile)
const READY_MS_MAX = 120_000
const PASSWORD = 'only-for-this-test'

export class Container implements AsyncDisposable {
  readonly id: string

  private constructor(id: string) {
    this.id = id
  }

  static async run(args: readonly string[]): Promise<Container> {
    return new Container(await docker('run', '-d', '--label', 'runify.test=faults', ...args))
  }

  exec(...command: string[]): Promise<string> {
    return docker('exec', this.id, ...command)
  }

  /** Of a file or folder of this machine, which then belongs to root there. */
  async copy(from: string, to: string): Promise<void> {
    await docker('cp', from, `${this.id}:${to}`)
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await docker('kill', this.id)
  }

  async start(): Promise<void> {
    await docker('start', this.id)
  }

  /** The first process in it, as this machine sees it. */
  async pid(): Promise<number> {
    return Number(await docker('inspect', '--format', '{{.State.Pid}}', this.id))
  }

  /** Stands still, its connections open, until `unpause`. */
  async pause(): Promise<void> {
    await docker('pause', this.id)
  }

  async unpause(): Promise<void> {
    await docker('unpause', this.id)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await docker('rm', '-f', '-v', this.id)
  }
}

export type KafkaServer = AsyncDisposable & {
  container: Container
  /** As in RUNIFY_LOG. */
  address: string
  /** The same broker under an address at which a test puts a slow line to `port`. */
  slow: { address: string; advertised: number; port: number }
  /** Runs one of Kafka's scripts, such as `kafka-topics.sh`. */
  script(name: string, ...args: string[]): Promise<string>
  /** Removes Runify's topics. */
  clear(): Promise<void>
}

/**
 * - `published`: a network of its own, and its port is published, through a process that copies all bytes once more.
 * - `host`: on this machine's loopback without anything between, for measuring.
 */
export type Network = 'published' | 'host'

/** What a server needs beyond the usual: further arguments of `docker run`, and of Kafka further settings. */
export type More = { args?: readonly string[]; environment?: Record<string, string> }

/**
 * Resolves when the broker answers.
 *
 * @param more - its settings come before those that all have
 */
export async function startKafka(network: Network = 'published', more: More = {}): Promise<KafkaServer> {
  const [port, slowPort, advertised, ...own] = (await freePorts(5)) as [number, number, number, number, number]
  const isHost = network === 'host'
  const [host, outside, slow] = isHost ? ['127.0.0.1', port, slowPort] : ['', 9092, 9094]
  const [controller, inside] = isHost ? own : [9093, 9095]
  const container = await Container.run([
    ...(isHost ? ['--network', 'host'] : ['-p', `127.0.0.1:${port}:9092`, '-p', `127.0.0.1:${slowPort}:9094`]),
    ...variables({
      KAFKA_NODE_ID: '1',
      KAFKA_PROCESS_ROLES: 'broker,controller',
      KAFKA_LISTENERS: `OUTSIDE://${host}:${outside},CONTROLLER://${host}:${controller},SLOW://${host}:${slow},INSIDE://${host}:${inside}`,
      KAFKA_ADVERTISED_LISTENERS: `OUTSIDE://127.0.0.1:${port},SLOW://127.0.0.1:${advertised},INSIDE://localhost:${inside}`,
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'OUTSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,SLOW:PLAINTEXT,INSIDE:PLAINTEXT',
      KAFKA_INTER_BROKER_LISTENER_NAME: 'INSIDE',
      KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
      KAFKA_CONTROLLER_QUORUM_VOTERS: `1@localhost:${controller}`,
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
      KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS: '5',
      KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
      KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
      KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
      KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
      KAFKA_LOG_DIRS: '/var/lib/kafka/data',
      KAFKA_HEAP_OPTS: '-Xms256m -Xmx512m',
      ...more.environment,
    }),
    ...(more.args ?? []),
    'apache/kafka:4.1.0',
  ])
  const script = (name: string, ...args: string[]) =>
    container.exec(`/opt/kafka/bin/${name}`, '--bootstrap-server', `localhost:${inside}`, ...args)
  await waitFor(async () => (await script('kafka-topics.sh', '--list')) !== undefined, READY_MS_MAX)
  return {
    container,
    address: `kafka://127.0.0.1:${port}`,
    slow: { address: `kafka://127.0.0.1:${advertised}`, advertised, port: slowPort },
    script,
    clear: async () => {
      const topics = (await script('kafka-topics.sh', '--list'))
        .split('\n')
        .filter((name) => name.startsWith('runify.'))
      for (const topic of topics) await script('kafka-topics.sh', '--delete', '--topic', topic)
    },
    [Symbol.asyncDispose]: () => container[Symbol.asyncDispose](),
  }
}

export type MysqlServer = AsyncDisposable & {
  container: Container
  /** As in RUNIFY_STORE, of a user who is not root. */
  address: string
  /** As in RUNIFY_TEST_MYSQL. */
  rootAddress: string
  /** One statement by root. */
  query(sql: string): Promise<unknown>
  /** An empty database and its user. */
  clear(): Promise<void>
}

/**
 * Resolves when the server answers.
 *
 * @param options - of mysqld, such as `--disable-log-bin`
 * @param secured - further arguments of `docker run`, and the authority by which a server is known that takes only
 *   encrypted connections
 */
export async function startMysql(
  network: Network = 'published',
  options: readonly string[] = [],
  secured?: { args: readonly string[]; ca: string },
): Promise<MysqlServer> {
  const [port] = (await freePorts(1)) as [number]
  const isHost = network === 'host'
  const container = await Container.run([
    ...(isHost ? ['--network', 'host'] : ['-p', `127.0.0.1:${port}:3306`]),
    ...(secured?.args ?? []),
    ...['-e', `MYSQL_ROOT_PASSWORD=${PASSWORD}`, 'mysql:9.7'],
    ...(isHost ? [`--port=${port}`, '--bind-address=127.0.0.1', '--mysqlx=OFF'] : []),
    ...options,
  ])
  const query = async (sql: string) => {
    const ssl = secured && { ca: secured.ca }
    const root: Connection = await createConnection({ host: '127.0.0.1', port, user: 'root', password: PASSWORD, ssl })
    try {
      return (await root.query(sql))[0]
    } finally {
      root.destroy()
    }
  }
  await waitFor(async () => (await query('SELECT 1')) !== undefined, READY_MS_MAX)
  return {
    container,
    address: `mysql://runify:${PASSWORD}@127.0.0.1:${port}/runify`,
    rootAddress: `mysql://root:${PASSWORD}@127.0.0.1:${port}`,
    query,
    clear: async () => {
      await query('DROP DATABASE IF EXISTS runify')
      await query('CREATE DATABASE runify')
      await query(`CREATE USER IF NOT EXISTS runify IDENTIFIED BY '${PASSWORD}'`)
      await query('GRANT ALL ON runify.* TO runify')
    },
    [Symbol.asyncDispose]: () => container[Symbol.asyncDispose](),
  }
}

/** Ports that nobody had a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

/** A command of docker's; its output. */
export async function docker(...args: string[]): Promise<string> {
  const { stdout } = await execute('docker', args, { maxBuffer: 16 * 1024 * 1024 })
  return stdout.trim()
}

function variables(values: Record<string, string>): string[] {
  return Object.entries(values).flatMap(([name, value]) => ['-e', `${name}=${value}`])
}
