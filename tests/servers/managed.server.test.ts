import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { ServiceName } from '../../src/config.ts'
import { type KafkaServer, type MysqlServer, startKafka, startMysql } from '../../test-support/containers.ts'
import { asStored, makeRun } from '../../test-support/events.ts'
import {
  type Environment,
  getJson,
  post,
  settled,
  spawnRunify,
  temporaryFolder,
  waitFor,
} from '../../test-support/harness.ts'
import { Authority } from './certificates.ts'

/**
 * MySQL and Kafka as providers run them (docs/azure.md): encrypted connections only, by certificates that name the host,
 * and Kafka with SASL PLAIN as it is at Event Hubs. The servers are real, the provider is not.
 */

const SERVICES = ['receiver', 'storage', 'processing', 'analyzer'] satisfies ServiceName[]
const REASON_MS_MAX = 60_000

/** Characters that an address has to have behind percent signs, as Azure's secrets do. */
const CONNECTION_STRING =
  'Endpoint=sb://runs.example.net/;SharedAccessKeyName=runify;SharedAccessKey=a+b/c0123456789012345678901234567='
const MYSQL_PASSWORD = 'p@ss:w/rd%'

let authority: Authority
let other: Authority
let kafka: KafkaServer
let mysql: MysqlServer
before(async () => {
  ;[authority, other] = await Promise.all([Authority.make(), Authority.make()])
  await authority.sign('server', ['DNS:localhost', 'IP:127.0.0.1'])
  const args = ['-v', `${authority.folder}:/certificates:ro`]
  const mysqld = ['--require-secure-transport=ON', '--ssl-ca=/certificates/ca.pem']
  mysqld.push('--ssl-cert=/certificates/server.pem', '--ssl-key=/certificates/server.key')
  ;[kafka, mysql] = await Promise.all([
    startKafka('published', { args, environment: saslPlainOverTls() }),
    startMysql('published', mysqld, { args, ca: authority.certificate }),
  ])
  await mysql.clear()
  await mysql.query(`ALTER USER runify IDENTIFIED BY '${MYSQL_PASSWORD}'`)
})
after(async () => {
  await Promise.all([kafka, mysql, authority, other].map((opened) => opened?.[Symbol.asyncDispose]()))
})

describe('MySQL and Kafka as services', () => {
  test('take an event from the Receiver to the statistics', async () => {
    const ca = authority.path
    await checkFlow({ RUNIFY_LOG: log({ ca }), RUNIFY_STORE: store({ ca }) }, 1)
  })

  test('are known by an authority of the system when no ca is named', async () => {
    const environment = { RUNIFY_LOG: log(), RUNIFY_STORE: store(), NODE_EXTRA_CA_CERTS: authority.path }
    await checkFlow(environment, 2)
  })

  const refusals: Record<string, { environment: () => Environment; kafka: RegExp; mysql: RegExp }> = {
    'a wrong password': {
      environment: () => ({
        RUNIFY_LOG: log({ ca: authority.path, password: 'not-the-connection-string' }),
        RUNIFY_STORE: store({ ca: authority.path, password: 'not-the-password' }),
      }),
      kafka: /^Kafka: SASL authentication failed\. The user or the password is not right$/,
      mysql: /^waiting for MySQL at localhost:\d+: it refuses the user or the password \(ER_ACCESS_DENIED_ERROR\)$/,
    },
    'the certificate of another authority': {
      environment: () => ({ RUNIFY_LOG: log({ ca: other.path }), RUNIFY_STORE: store({ ca: other.path }) }),
      kafka: /^Kafka: .*certificate/,
      mysql: /^waiting for MySQL at localhost:\d+: no encrypted connection: .*certificate/,
    },
    'an authority that the system does not know': {
      environment: () => ({ RUNIFY_LOG: log(), RUNIFY_STORE: store() }),
      kafka: /^Kafka: .*certificate/,
      mysql: /^waiting for MySQL at localhost:\d+: no encrypted connection: .*certificate/,
    },
    'no encryption': {
      environment: () => ({
        RUNIFY_LOG: log({ query: 'sasl=plain' }),
        RUNIFY_STORE: store({ query: 'connections=2' }),
      }),
      kafka: /^Kafka: .*tls=true/,
      mysql: /^waiting for MySQL at localhost:\d+: .*tls=true/,
    },
  }
  for (const [what, { environment, ...reasons }] of Object.entries(refusals)) {
    test(`keep a service from being ready because of ${what}, and it says so`, async () => {
      await using folder = await temporaryFolder()
      await using runify = await spawnRunify({ dir: folder.path, ...environment() }, SERVICES)
      const { receiver, processing } = runify.addresses
      await waitFor(async () => says(await unready(receiver), reasons.kafka), REASON_MS_MAX)
      await waitFor(async () => says(await unready(processing), reasons.mysql), REASON_MS_MAX)
    })
  }
})

/** Everything it says is this; what it is waiting for otherwise is in the error of whoever waits. */
function says(detail: string, reason: RegExp): true {
  assert.match(detail, reason)
  return true
}

/** Why it is not ready. */
async function unready(address: string): Promise<string> {
  const response = await fetch(`${address}/health/ready`)
  assert.equal(response.status, 503)
  return ((await response.json()) as { detail: string }).detail
}

/** Sends one run more, the n-th: where it arrives, and that nobody writes a secret into a log. */
async function checkFlow(environment: Environment, n: number): Promise<void> {
  await using folder = await temporaryFolder()
  const lines: string[] = []
  const onLine = (line: string) => void lines.push(line)
  await using runify = await spawnRunify({ dir: folder.path, ...environment }, SERVICES, { onLine })
  const { receiver, storage, processing, analyzer } = runify.addresses
  await waitFor(async () => (await fetch(`${receiver}/health/ready`)).ok, REASON_MS_MAX)
  const run = makeRun(n, { event_id: `run-${n}` })
  const { status, body } = await post(`${receiver}/stats/running`, run)
  assert.equal(status, 201, JSON.stringify(body))
  await waitFor(async () => (await getJson(`${storage}/stats`)).num_running_stats === n, REASON_MS_MAX)
  await settled(runify, REASON_MS_MAX)
  const { type, date_created, partition, offset, ...stored } = await getJson(`${storage}/events/${body.trace_id}`)
  assert.deepEqual(stored, { ...asStored(run), event_id: run.event_id, trace_id: body.trace_id })
  assert.equal((await getJson(`${processing}/stats`)).num_running_stats, n)
  assert.equal((await getJson(`${analyzer}/running?index=${n - 1}`)).trace_id, body.trace_id)
  await runify.kill('SIGTERM')
  const said = [...lines, runify.stderr()].join('\n')
  for (const secret of [CONNECTION_STRING, MYSQL_PASSWORD]) {
    for (const text of [secret, encodeURIComponent(secret)]) assert.ok(!said.includes(text), 'a secret is in the log')
  }
}

type Access = { ca?: string; password?: string; query?: string }

/** As docs/azure.md writes it, at this test's server. */
function log({ ca, password = CONNECTION_STRING, query = secured('sasl=plain', ca) }: Access = {}): string {
  const [, port] = /:(\d+)$/.exec(kafka.address) as unknown as [string, string]
  return `kafka://%24ConnectionString:${encodeURIComponent(password)}@localhost:${port}?${query}`
}

function store({ ca, password = MYSQL_PASSWORD, query = secured('connections=2', ca) }: Access = {}): string {
  const { port } = new URL(mysql.address)
  return `mysql://runify:${encodeURIComponent(password)}@localhost:${port}/runify?${query}`
}

function secured(option: string, ca: string | undefined): string {
  return `tls=true&${option}${ca === undefined ? '' : `&ca=${ca}`}`
}

/** At the listener that clients use, those within the container go on as they are. */
function saslPlainOverTls(): Record<string, string> {
  const login = 'org.apache.kafka.common.security.plain.PlainLoginModule required'
  return {
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'OUTSIDE:SASL_SSL,CONTROLLER:PLAINTEXT,SLOW:PLAINTEXT,INSIDE:PLAINTEXT',
    KAFKA_LISTENER_NAME_OUTSIDE_SSL_KEYSTORE_TYPE: 'PEM',
    KAFKA_LISTENER_NAME_OUTSIDE_SSL_KEYSTORE_LOCATION: '/certificates/server.both.pem',
    KAFKA_LISTENER_NAME_OUTSIDE_SASL_ENABLED_MECHANISMS: 'PLAIN',
    KAFKA_LISTENER_NAME_OUTSIDE_PLAIN_SASL_JAAS_CONFIG: `${login} user_$ConnectionString="${CONNECTION_STRING}";`,
  }
}
