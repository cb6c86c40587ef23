import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { syncBuiltinESMExports } from 'node:module'
import net, { createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { deleteTopicsV6, metadataV11 } from '@platformatic/kafka'
import { type Broker, BrokerConnections } from '../kafka/broker-connections.ts'
import { type KafkaLog, type KafkaLogOptions, openKafkaLog } from '../kafka/kafka-log.ts'
import type { OpenedLog } from './event-log.contract.ts'
import { DEADLINE_MS } from './event-log.probe.ts'

/** A real Kafka for tests: its address, logs in it, members of groups in processes of their own, a network to cut. */

const VARIABLE = 'RUNIFY_TEST_KAFKA'

/** The brokers to test with; undefined, and a test that is skipped says so, where none are named. */
export function testBrokers(suite: string): string | undefined {
  const brokers = process.env[VARIABLE]
  if (brokers === undefined) test.skip(`${suite}: ${VARIABLE} (host:port,…) names no broker`)
  return brokers
}

export function kafkaOptions(brokers: string): KafkaLogOptions {
  const parsed = brokers.split(',').map((broker) => {
    const [host = '', port = '9092'] = broker.split(':')
    return { host, port: Number(port) }
  })
  return { brokers: parsed, partitions: 1, replication: 1 }
}

export type OpenedKafka = OpenedLog & { log: KafkaLog; openAgain(): Promise<KafkaLog> }

export async function openKafka(brokers: string, options: Partial<KafkaLogOptions> = {}): Promise<OpenedKafka> {
  const stack = new AsyncDisposableStack()
  const openOne = async () => stack.use(await openKafkaLog({ ...kafkaOptions(brokers), ...options }))
  const log = await openOne()
  return {
    log,
    openAgain: openOne,
    makeAnew: async (topic) => {
      await deleteTopic(brokers, topic)
      return log
    },
    deleteBefore: (at) => log.deleteBefore(at),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

/** As an operator does. Whoever names the topic next makes it anew. */
export async function deleteTopic(brokers: string, topic: string): Promise<void> {
  await using connections = new BrokerConnections({ clientId: 'test', requestTimeoutMs: 10_000 })
  const [any] = kafkaOptions(brokers).brokers as [Broker]
  const { brokers: nodes, controllerId } = await connections.request(any, metadataV11.api, [], false, false)
  const controller = nodes.find(({ nodeId }) => nodeId === controllerId) ?? any
  await connections.request(controller, deleteTopicsV6.api, [{ name: topic }], 10_000)
}

/** What a member in another process tells: where it begins a partition, and each batch. */
export type MemberNews =
  | { kind: 'start'; partition: number; at: number }
  | { kind: 'batch'; partition: number; from: number; next: number; values: string[] }

export type Member = AsyncDisposable & {
  /** All that it has told so far. */
  news: MemberNews[]
  kill(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'): void
  /** Its exit code, once it has ended. */
  exited: Promise<number | null>
}

/** A consumer in a process of its own, which begins each partition where `testing/kafka-member.fixture.ts` was told. */
export function startMember(options: { brokers: string; group: string; topic: string }): Member {
  const file = new URL('./kafka-member.fixture.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [file, options.brokers, options.group, options.topic], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit').then(([code]) => code as number | null)
  const news: MemberNews[] = []
  createInterface({ input: child.stdout }).on('line', (line) => news.push(JSON.parse(line) as MemberNews))
  return {
    news,
    kill: (signal) => child.kill(signal),
    exited,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

export async function waitUntil(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const end = performance.now() + 2 * DEADLINE_MS; !(await condition()); await sleep(20)) {
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`)
  }
}

/**
 * This process's way to the network, which a test cuts and mends: `refuse` breaks what is open and refuses more, as
 * when a broker has ended; `silence` lets nothing through any more, as when a machine has vanished.
 */
export class Network implements AsyncDisposable {
  readonly #sockets = new Set<Socket>()
  readonly #original = net.createConnection
  readonly #abyss = createServer((socket) => this.#sockets.add(socket))
  #abyssPort = 0
  #state: 'whole' | 'refused' | 'silent' = 'whole'

  static async take(): Promise<Network> {
    const network = new Network()
    network.#abyss.listen(0, '127.0.0.1')
    await once(network.#abyss, 'listening')
    network.#abyssPort = (network.#abyss.address() as net.AddressInfo).port
    net.createConnection = ((options: net.TcpNetConnectOpts) =>
      network.#connect(options)) as typeof net.createConnection
    syncBuiltinESMExports()
    return network
  }

  refuse(): void {
    this.#state = 'refused'
    for (const socket of this.#sockets) socket.destroy()
  }

  silence(): void {
    this.#state = 'silent'
    for (const socket of this.#sockets) socket.pause()
  }

  mend(): void {
    this.#state = 'whole'
    for (const socket of this.#sockets) socket.resume()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    net.createConnection = this.#original
    syncBuiltinESMExports()
    for (const socket of this.#sockets) socket.destroy()
    this.#abyss.close()
    await once(this.#abyss, 'close')
  }

  #connect(options: net.TcpNetConnectOpts): Socket {
    // Nothing listens on port 1.
    const port = { whole: options.port, refused: 1, silent: this.#abyssPort }[this.#state]
    const socket = this.#original({ ...options, port })
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    return socket
  }
}
