import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { SERVICES, type ServiceName } from '../../src/config.ts'
import { freePorts, type KafkaServer, type MysqlServer, startKafka, startMysql } from '../../test-support/containers.ts'
import { makeRun, makeSong } from '../../test-support/events.ts'
import { type Environment, getJson, post, waitFor } from '../../test-support/harness.ts'
import { Supervised } from '../../test-support/supervised.ts'

/**
 * Whatever is started first, all seven services come to work by themselves, with MySQL and Kafka the last to come. Of any two
 * services, and of MySQL and Kafka, each comes before the other in one of the two orders.
 */

/** Long, as a whole machine may be starting. */
const LIVE_MS_MAX = 120_000
const WORKING_MS_MAX = 120_000
const [RUNS, SONGS] = [3, 2]
/** What each can do only when both are there. */
const WAITING: Partial<Record<ServiceName, RegExp>> = {
  receiver: /^Kafka: /,
  storage: /^waiting for MySQL at /,
  processing: /^waiting for MySQL at /,
  analyzer: /^Kafka: /,
  'anomaly-detector': /^waiting for MySQL at /,
}

let kafka: KafkaServer
let mysql: MysqlServer
before(async () => {
  ;[kafka, mysql] = await Promise.all([startKafka(), startMysql()])
})
after(async () => {
  await Promise.all([kafka?.[Symbol.asyncDispose](), mysql?.[Symbol.asyncDispose]()])
})

describe('Services that are started before Kafka and MySQL', () => {
  beforeEach(async () => {
    await Promise.all([kafka.container.start(), mysql.container.start()])
    await waitFor(async () => (await kafka.clear()) === undefined, WORKING_MS_MAX)
    await waitFor(async () => (await mysql.clear()) === undefined, WORKING_MS_MAX)
    await Promise.all([kafka.container.kill(), mysql.container.kill()])
  })

  const orders = [
    { order: SERVICES, servers: ['mysql', 'kafka'] },
    { order: SERVICES.toReversed(), servers: ['kafka', 'mysql'] },
  ] as const
  for (const { order, servers } of orders) {
    const [first] = order
    test(`${first} first, then ${servers.join(' and ')}: wait, and then work`, async () => {
      await using opened = new AsyncDisposableStack()
      const services = await start(order, opened)
      for (const [service, supervised] of services) {
        const { status, detail } = await ready(supervised)
        const waiting = WAITING[service]
        assert.equal(status, waiting === undefined ? 200 : 503, service)
        if (waiting !== undefined) assert.match(detail, waiting, service)
      }
      for (const server of servers) {
        await { mysql, kafka }[server].container.start()
        await waitFor(() => stands(server, services), WORKING_MS_MAX)
      }
      await Promise.all([...services.values()].map((supervised) => supervised.ready()))
      await checkFlow(services)
      for (const [service, supervised] of services)
        assert.equal(supervised.crashes, 0, `${service}: ${supervised.stderr()}`)
    })
  }
})

type Services = Map<ServiceName, Supervised>

/** One after the other: each is live before the next begins. */
async function start(order: readonly ServiceName[], opened: AsyncDisposableStack): Promise<Services> {
  const ports = await freePorts(order.length)
  const urls = new Map(order.map((service, at) => [service, `http://127.0.0.1:${ports[at]}`]))
  const environment: Environment = {
    RUNIFY_LOG: kafka.address,
    RUNIFY_STORE: mysql.address,
    RUNIFY_STORAGE_URL: urls.get('storage') as string,
    PROCESSING_PERIOD_MS: '200',
    RUNIFY_CANARY_PERIOD_MS: '0',
  }
  const services: Services = new Map()
  for (const [at, service] of order.entries()) {
    const supervised = opened.use(Supervised.begin(service, environment, ports[at] as number))
    services.set(service, supervised)
    await waitFor(async () => (await fetch(`${supervised.address}/health/live`)).ok, LIVE_MS_MAX)
  }
  return services
}

/** What one of the two is enough for works while the other is still away. */
async function stands(server: 'mysql' | 'kafka', services: Services): Promise<boolean> {
  const [service, path] =
    server === 'kafka' ? (['receiver', '/health/ready'] as const) : (['storage', '/stats'] as const)
  return (await fetch(`${services.get(service)?.address}${path}`)).status === 200
}

async function checkFlow(services: Services): Promise<void> {
  const at = (service: ServiceName) => services.get(service)?.address as string
  for (let n = 0; n < RUNS; n++) {
    assert.equal((await post(`${at('receiver')}/stats/running`, makeRun(n))).status, 201)
  }
  for (let n = 0; n < SONGS; n++) {
    assert.equal((await post(`${at('receiver')}/stats/music`, makeSong(n))).status, 201)
  }
  for (const service of ['storage', 'processing', 'analyzer'] as const) {
    await waitFor(async () => {
      const { num_running_stats, num_music_info } = await getJson(`${at(service)}/stats`)
      return num_running_stats === RUNS && num_music_info === SONGS
    }, WORKING_MS_MAX)
  }
  await waitFor(async () => (await getJson(`${at('anomaly-detector')}/stats`)).behind === 0, WORKING_MS_MAX)
}

async function ready({ address }: Supervised): Promise<{ status: number; detail: string }> {
  const response = await fetch(`${address}/health/ready`)
  const { detail = '' } = (await response.json()) as { detail?: string }
  return { status: response.status, detail }
}
