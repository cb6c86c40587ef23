import { setTimeout as sleep } from 'node:timers/promises'
import { type KafkaServer, type MysqlServer, startKafka, startMysql } from '../../test-support/containers.ts'
import type { Environment } from '../../test-support/harness.ts'
import { Supervised } from '../../test-support/supervised.ts'
import { openProducer, toMessage } from '../limits/raw-kafka.ts'
import { openRawMysql } from '../limits/raw-mysql.ts'
import { peakMb, peakOf, versionsOf } from '../machine.ts'
import { type Addresses, notePeak, type Running, SERVICES, type TargetBase } from './target.ts'

/** Of Runify's topics and of those of the limits. */
const PARTITIONS = Number(process.env.RUNIFY_KAFKA_PARTITIONS || 3)
/** Of MySQL, as compose gives it. */
const BUFFER_POOL = process.env.MYSQL_BUFFER_POOL || '256M'
const CLEARED_MS_MAX = 60_000

/** A process for each service, on a Kafka and a MySQL in containers of their own. */
export class ServersTarget implements TargetBase {
  readonly on = 'servers'
  readonly peaks = new Map<string, number>()
  readonly kafka: KafkaServer
  readonly #mysql: MysqlServer
  readonly #running = new Set<Supervised>()

  private constructor(kafka: KafkaServer, mysql: MysqlServer) {
    this.kafka = kafka
    this.#mysql = mysql
  }

  static async open(): Promise<ServersTarget> {
    await using opened = new AsyncDisposableStack()
    const kafka = opened.use(await startKafka('host'))
    const mysql = opened.use(
      await startMysql('host', ['--disable-log-bin', `--innodb-buffer-pool-size=${BUFFER_POOL}`]),
    )
    await mysql.clear()
    opened.move()
    return new ServersTarget(kafka, mysql)
  }

  async versions(): Promise<Record<string, string>> {
    const [{ version }] = (await this.#mysql.query('SELECT VERSION() AS version')) as [{ version: string }]
    const [kafka = 'unknown'] = (await this.kafka.script('kafka-topics.sh', '--version')).split(/\s/)
    return {
      ...versionsOf(['@platformatic/kafka', 'mysql2']),
      Kafka: kafka,
      MySQL: `${version} with a buffer pool of ${BUFFER_POOL}`,
    }
  }

  async start(...services: (typeof SERVICES)[number][]): Promise<Running> {
    await using opened = new AsyncDisposableStack()
    const environment = {
      RUNIFY_LOG: this.kafka.address,
      RUNIFY_KAFKA_PARTITIONS: String(PARTITIONS),
      RUNIFY_STORE: this.#mysql.address,
    }
    const addresses: Addresses = { receiver: '', storage: '', processing: '', analyzer: '' }
    for (const service of SERVICES.filter((name) => services.length === 0 || services.includes(name))) {
      const { storage } = addresses
      const reading: Environment = service === 'processing' && storage !== '' ? { RUNIFY_STORAGE_URL: storage } : {}
      const started = await Supervised.start(service, { ...environment, ...reading })
      this.#running.add(started)
      opened.defer(() => this.#end(started))
      addresses[service] = started.address
    }
    const running = opened.move()
    return { addresses, [Symbol.asyncDispose]: () => running.disposeAsync() }
  }

  async clear(): Promise<void> {
    await this.kafka.clear()
    // Deleting goes on after the answer, and a topic that is being deleted cannot be made anew.
    const end = performance.now() + CLEARED_MS_MAX
    while (/^runify\./m.test(await this.kafka.script('kafka-topics.sh', '--list'))) {
      if (performance.now() > end) throw new Error('Kafka does not delete its topics')
      await sleep(200)
    }
    await this.#mysql.clear()
  }

  openDatabase() {
    return openRawMysql(this.#mysql)
  }

  async openRawPath() {
    const topic = await this.createTopic('bench.path')
    const producer = openProducer(this.kafka.address)
    const database = await openRawMysql(this.#mysql)
    const event = {
      user_id: crypto.randomUUID(),
      duration: 1993,
      distance: 4689.24,
      timestamp: new Date().toISOString(),
    }
    return {
      once: async () => {
        await producer.send({ messages: [toMessage(topic, event, crypto.randomUUID())], acks: -1 })
        await database.writeAndFind()
      },
      [Symbol.asyncDispose]: async () => {
        await producer.close()
        await database[Symbol.asyncDispose]()
      },
    }
  }

  /** A topic that is not Runify's: the same messages again and again would be repeats to Storage. */
  async createTopic(topic: string): Promise<string> {
    const settings = ['--partitions', String(PARTITIONS), '--config', 'message.timestamp.type=LogAppendTime']
    await this.kafka.script('kafka-topics.sh', '--create', '--if-not-exists', '--topic', topic, ...settings)
    return topic
  }

  /** Of the two servers; the services' own are noted when they end. */
  async noteServerPeaks(): Promise<void> {
    for (const [name, { container }] of [['Kafka', this.kafka] as const, ['MySQL', this.#mysql] as const]) {
      notePeak(this.peaks, name, peakOf(await container.exec('sh', '-c', 'cat /proc/[0-9]*/status')))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using opened = new AsyncDisposableStack()
    opened.use(this.kafka)
    opened.use(this.#mysql)
    // They run still where a section was broken off.
    for (const supervised of this.#running) opened.use(supervised)
  }

  /** By SIGTERM: one that is killed would keep its partitions until its group gives it up. */
  async #end(supervised: Supervised): Promise<void> {
    const { service, crashes } = supervised
    if (crashes > 0) throw new Error(`${service} ended ${crashes} times by itself: ${supervised.stderr()}`)
    notePeak(this.peaks, service, peakMb(supervised.pid))
    await supervised.end('SIGTERM')
    this.#running.delete(supervised)
  }
}
