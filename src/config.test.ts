import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { PORT_VARIABLES, readConfig, readServiceAccess, readServices, SERVICES } from './config.ts'
import { StartError } from './errors.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SHA = 'a'.repeat(64)

function topicsOf({ log }: ReturnType<typeof readConfig>) {
  assert.ok(log.kind === 'kafka')
  return log
}

/** What `readConfig` says to an environment that it refuses: one line. */
function refusal(environment: Record<string, string>): string {
  return messageOf(() => readConfig(environment))
}

function messageOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    assert.ok(error instanceof StartError, 'a person can mend it')
    assert.doesNotMatch(error.message, /\n/)
    return error.message
  }
  assert.fail('it was not refused')
}

describe('The configuration', () => {
  test('of an empty environment is the embedded system on loopback with its default ports', () => {
    const dataDir = resolve('./data')
    assert.deepEqual(readConfig({}), {
      host: '127.0.0.1',
      ports: {
        receiver: 8080,
        storage: 8090,
        processing: 8100,
        analyzer: 8110,
        'anomaly-detector': 8120,
        'health-check': 8130,
        dashboard: 8000,
      },
      log: { kind: 'embedded', dir: dataDir },
      store: { kind: 'embedded', dir: dataDir },
      dataDir,
      serviceUrls: {},
      storageUrl: undefined,
      readKey: undefined,
      ownReadKey: undefined,
      processingPeriodMs: 2000,
      healthPeriodMs: 5000,
      healthTimeoutMs: 2000,
      anomalyThresholds: {
        longRunMetres: 42_000,
        shortRunSeconds: 300,
        longSongSeconds: 900,
        shortSongSeconds: 30,
        runOverlapSeconds: 60,
        songOverlapSeconds: 15,
        eventsPerMinute: 300,
        baselineDeviations: 6,
        futureSeconds: 86_400,
        firstYear: 1980,
        endlessRunSeconds: 604_800,
      },
      webhooks: [],
      webhookTiming: { groupMs: 1000, groupMax: 100, retryMs: 1000, retryMsMax: 300_000, triesMax: 30 },
      canaryPeriodMs: 60_000,
      canaryTimeoutMs: 30_000,
      canaryKey: undefined,
      apiKeys: [],
      bodyBytesMax: 4_194_304,
      lineBytesMax: 65_536,
      pendingBytesMax: 33_554_432,
      retentionDays: 0,
      logRetentionDays: 0,
      checkPeriodMs: 3_600_000,
      receiverWorkers: 1,
      requestsMax: 2048,
      connectionsMax: 8000,
      answerBytesMax: 8_388_608,
      batchRecordsMax: 1000,
      logLevel: 'info',
    })
  })

  test('takes an empty variable for one that is not set', () => {
    const names = [
      'RUNIFY_HOST',
      'RUNIFY_LOG',
      'RUNIFY_STORE',
      'RUNIFY_DATA_DIR',
      'RUNIFY_API_KEYS',
      'RUNIFY_LOG_LEVEL',
    ]
    const empty = [...names, ...Object.values(PORT_VARIABLES), 'PROCESSING_PERIOD_MS', 'RUNIFY_BODY_BYTES_MAX']
    assert.deepEqual(readConfig(Object.fromEntries(empty.map((name) => [name, '']))), readConfig({}))
  })

  test('has what the variables say', () => {
    const config = readConfig({
      RUNIFY_HOST: '::1',
      RECEIVER_PORT: '0',
      ANALYZER_PORT: '65535',
      RUNIFY_LOG: 'embedded',
      RUNIFY_STORE: 'embedded',
      RUNIFY_DATA_DIR: '/var/lib/runify',
      RUNIFY_LOG_LEVEL: 'silent',
    })
    assert.equal(config.host, '::1')
    assert.deepEqual([config.ports.receiver, config.ports.storage, config.ports.analyzer], [0, 8090, 65_535])
    assert.deepEqual(
      [config.log, config.store, config.dataDir],
      [{ kind: 'embedded', dir: '/var/lib/runify' }, { kind: 'embedded', dir: '/var/lib/runify' }, '/var/lib/runify'],
    )
    assert.equal(config.logLevel, 'silent')
  })

  test('keeps the folder where it is when the process goes elsewhere: its path is absolute', () => {
    assert.equal(readConfig({ RUNIFY_DATA_DIR: 'here/data' }).dataDir, resolve('here/data'))
  })
})

describe('A number', () => {
  const bounds: Record<string, { min: number; max: number; of: (config: ReturnType<typeof readConfig>) => number }> = {
    PROCESSING_PERIOD_MS: { min: 10, max: 3_600_000, of: (config) => config.processingPeriodMs },
    RUNIFY_CHECK_PERIOD_MS: { min: 0, max: 604_800_000, of: (config) => config.checkPeriodMs },
    RUNIFY_HEALTH_PERIOD_MS: { min: 100, max: 600_000, of: (config) => config.healthPeriodMs },
    RUNIFY_HEALTH_TIMEOUT_MS: { min: 50, max: 60_000, of: (config) => config.healthTimeoutMs },
    ANOMALY_LONG_RUN_METRES: { min: 1, max: 10_000_000, of: (config) => config.anomalyThresholds.longRunMetres },
    ANOMALY_SHORT_RUN_SECONDS: { min: 0, max: 31_536_000, of: (config) => config.anomalyThresholds.shortRunSeconds },
    ANOMALY_LONG_SONG_SECONDS: { min: 1, max: 86_400, of: (config) => config.anomalyThresholds.longSongSeconds },
    ANOMALY_SHORT_SONG_SECONDS: { min: 0, max: 86_400, of: (config) => config.anomalyThresholds.shortSongSeconds },
    ANOMALY_RUN_OVERLAP_SECONDS: { min: 0, max: 86_400, of: (config) => config.anomalyThresholds.runOverlapSeconds },
    ANOMALY_SONG_OVERLAP_SECONDS: { min: 0, max: 86_400, of: (config) => config.anomalyThresholds.songOverlapSeconds },
    ANOMALY_EVENTS_PER_MINUTE: { min: 1, max: 1_000_000, of: (config) => config.anomalyThresholds.eventsPerMinute },
    ANOMALY_BASELINE_DEVIATIONS: { min: 2, max: 100, of: (config) => config.anomalyThresholds.baselineDeviations },
    ANOMALY_FUTURE_SECONDS: { min: 0, max: 31_536_000, of: (config) => config.anomalyThresholds.futureSeconds },
    ANOMALY_FIRST_YEAR: { min: 0, max: 9999, of: (config) => config.anomalyThresholds.firstYear },
    ANOMALY_ENDLESS_RUN_SECONDS: {
      min: 1,
      max: 31_536_000,
      of: (config) => config.anomalyThresholds.endlessRunSeconds,
    },
    WEBHOOK_GROUP_MS: { min: 0, max: 60_000, of: (config) => config.webhookTiming.groupMs },
    WEBHOOK_GROUP_MAX: { min: 1, max: 1000, of: (config) => config.webhookTiming.groupMax },
    WEBHOOK_RETRY_MS: { min: 10, max: 60_000, of: (config) => config.webhookTiming.retryMs },
    WEBHOOK_RETRY_MS_MAX: { min: 10, max: 3_600_000, of: (config) => config.webhookTiming.retryMsMax },
    WEBHOOK_TRIES_MAX: { min: 1, max: 10_000, of: (config) => config.webhookTiming.triesMax },
    RUNIFY_CANARY_PERIOD_MS: { min: 0, max: 3_600_000, of: (config) => config.canaryPeriodMs },
    RUNIFY_CANARY_TIMEOUT_MS: { min: 100, max: 600_000, of: (config) => config.canaryTimeoutMs },
    RUNIFY_BODY_BYTES_MAX: { min: 1024, max: 67_108_864, of: (config) => config.bodyBytesMax },
    RUNIFY_LINE_BYTES_MAX: { min: 1024, max: 1_048_576, of: (config) => config.lineBytesMax },
    RECEIVER_WORKERS: { min: 1, max: 64, of: (config) => config.receiverWorkers },
    RUNIFY_REQUESTS_MAX: { min: 1, max: 100_000, of: (config) => config.requestsMax },
    RUNIFY_CONNECTIONS_MAX: { min: 1, max: 1_000_000, of: (config) => config.connectionsMax },
    RUNIFY_ANSWER_BYTES_MAX: { min: 1_048_576, max: 1_073_741_824, of: (config) => config.answerBytesMax },
    RUNIFY_RETENTION_DAYS: { min: 0, max: 100_000, of: (config) => config.retentionDays },
    RUNIFY_LOG_RETENTION_DAYS: { min: 0, max: 100_000, of: (config) => config.logRetentionDays },
    RUNIFY_PENDING_BYTES_MAX: { min: 1_048_576, max: 1_073_741_824, of: (config) => config.pendingBytesMax },
    RUNIFY_KAFKA_PARTITIONS: { min: 1, max: 1000, of: (config) => topicsOf(config).partitions },
    RUNIFY_KAFKA_REPLICATION: { min: 1, max: 9, of: (config) => topicsOf(config).replication },
    RUNIFY_BATCH_RECORDS_MAX: { min: 1, max: 100_000, of: (config) => config.batchRecordsMax },
    ...Object.fromEntries(
      SERVICES.map((service) => [
        PORT_VARIABLES[service],
        { min: 0, max: 65_535, of: (config: ReturnType<typeof readConfig>) => config.ports[service] },
      ]),
    ),
  }
  for (const [name, { min, max, of }] of Object.entries(bounds)) {
    test(`${name} is taken from ${min} to ${max}, and refused by name outside of it`, () => {
      for (const value of [min, max])
        assert.equal(of(readConfig({ RUNIFY_LOG: 'kafka://a', [name]: String(value) })), value)
      const wrong = [
        min - 1,
        max + 1,
        -1,
        `${min}.5`,
        `+${max}`,
        '1e3',
        '0x10',
        ' ',
        `${max} `,
        '١',
        'NaN',
        '99999999999',
      ]
      for (const value of wrong) {
        const message = refusal({ [name]: String(value) })
        assert.equal(message, `${name} must be a whole number from ${min} to ${max}, not '${value}'`)
      }
    })
  }
})

test('A server takes larger batches than the embedded store', () => {
  assert.equal(readConfig({}).batchRecordsMax, 1000)
  assert.equal(readConfig({ RUNIFY_STORE: 'mysql://a:b@c/d' }).batchRecordsMax, 5000)
})

describe('A choice', () => {
  for (const name of ['RUNIFY_LOG_LEVEL', 'RUNIFY_ALLOW_ANONYMOUS']) {
    test(`${name} is refused by name when it is none of the words, and says which there are`, () => {
      for (const value of ['INFO', 'yes', '1', 'info ']) {
        assert.match(refusal({ [name]: value }), new RegExp(`^${name} must be one of .+, .+, not '${value}'$`))
      }
    })
  }

  test('of the services is none or all for every one, or those that are named, in the order of the flow', () => {
    assert.deepEqual(readServices([]), SERVICES)
    assert.deepEqual(readServices(['all']), SERVICES)
    assert.deepEqual(readServices(['storage', 'all']), SERVICES)
    assert.deepEqual(readServices(['storage', 'receiver', 'storage']), ['receiver', 'storage'])
    for (const wrong of ['Storage', 'recevier', '', '--help']) {
      const message = messageOf(() => readServices(['receiver', wrong]))
      assert.match(message, /^service must be one of receiver, storage, .*all, not '/)
      assert.ok(message.endsWith(`not '${wrong}'`))
    }
  })
})

describe('Anonymous access', () => {
  test('is allowed on loopback', () => {
    for (const host of ['127.0.0.1', '127.255.0.9', '::1', 'localhost']) {
      assert.deepEqual(readConfig({ RUNIFY_HOST: host }).apiKeys, [])
    }
  })

  test('is refused on every other address, in words that say what to do', () => {
    for (const host of ['0.0.0.0', '::', '192.168.0.1', 'runify.example', '127.0.0.1.example', '127.1', '10.0.0.127']) {
      const message = refusal({ RUNIFY_HOST: host })
      for (const name of ['RUNIFY_HOST', 'RUNIFY_API_KEYS', 'RUNIFY_ALLOW_ANONYMOUS=true', host]) {
        assert.ok(message.includes(name), `${name} in: ${message}`)
      }
      assert.equal(refusal({ RUNIFY_HOST: host, RUNIFY_ALLOW_ANONYMOUS: 'false' }), message)
    }
  })

  test('goes by the address at which a container is published, where that is said', () => {
    const inContainer = { RUNIFY_HOST: '0.0.0.0' }
    assert.equal(readConfig({ ...inContainer, RUNIFY_PUBLISHED_ADDRESS: '127.0.0.1' }).host, '0.0.0.0')
    const message = refusal({ ...inContainer, RUNIFY_PUBLISHED_ADDRESS: '192.168.0.1' })
    assert.match(message, /^RUNIFY_PUBLISHED_ADDRESS is 192\.168\.0\.1, .*RUNIFY_API_KEYS.*RUNIFY_ALLOW_ANONYMOUS=true/)
    assert.match(refusal({ RUNIFY_PUBLISHED_ADDRESS: '0.0.0.0' }), /^RUNIFY_PUBLISHED_ADDRESS/)
  })

  test('is allowed elsewhere to those who ask for it, and not needed with keys', () => {
    assert.equal(readConfig({ RUNIFY_HOST: '0.0.0.0', RUNIFY_ALLOW_ANONYMOUS: 'true' }).host, '0.0.0.0')
    assert.equal(readConfig({ RUNIFY_HOST: '0.0.0.0', RUNIFY_API_KEYS: `watch:write:${SHA}` }).host, '0.0.0.0')
  })
})

describe('A secret of the examples', () => {
  test('is refused by name', () => {
    const [, example] = /^MYSQL_ROOT_PASSWORD=(.+)$/m.exec(readFileSync(`${ROOT}.env.example`, 'utf8')) ?? []
    for (const secret of [example as string, 'password']) {
      const why = `is '${secret}', which everybody can guess: choose another, as openssl rand -hex 24 makes it`
      assert.equal(refusal({ RUNIFY_CANARY_KEY: secret }), `RUNIFY_CANARY_KEY ${why}`)
      const reachable = { RUNIFY_ALLOW_ANONYMOUS: 'true', RUNIFY_PUBLISHED_ADDRESS: '0.0.0.0' }
      const store = `mysql://runify:${secret}@mysql:3306/runify`
      assert.equal(refusal({ ...reachable, RUNIFY_STORE: store }), `the password of RUNIFY_STORE ${why}`)
    }
  })

  test('may be that of a database that nobody else can reach', () => {
    const store = readConfig({ RUNIFY_STORE: 'mysql://runify:change-me@mysql:3306/runify' }).store
    assert.ok(store.kind === 'mysql' && store.password === 'change-me')
  })
})

describe('The address of Storage', () => {
  test('is taken as it is, or refused by name', () => {
    for (const url of ['http://storage:8090', 'https://runify.example/storage/']) {
      assert.equal(readConfig({ RUNIFY_STORAGE_URL: url }).storageUrl, url)
    }
    for (const url of [
      'storage:8090',
      'storage',
      'ftp://storage',
      'http://ann:hunter2@storage',
      'http://storage?x=1',
    ]) {
      const message = refusal({ RUNIFY_STORAGE_URL: url })
      assert.equal(message, 'RUNIFY_STORAGE_URL must be an address such as http://storage:8090')
    }
  })
})

describe('Webhooks', () => {
  const [secret, other] = [1, 2].map((byte) => `whsec_${Buffer.alloc(24, byte).toString('base64')}`)

  test('are names, addresses and secrets', () => {
    const { webhooks } = readConfig({
      RUNIFY_WEBHOOKS: ` a=https://x.test/in?k=1#${secret}\n b=http://[::1]:9/#${other},${secret}`,
    })
    assert.deepEqual(webhooks, [
      { name: 'a', url: 'https://x.test/in?k=1', secrets: [secret] },
      { name: 'b', url: 'http://[::1]:9/', secrets: [other, secret] },
    ])
  })

  for (const [what, text] of Object.entries({
    'an address without a name': `https://x.test/#${secret}`,
    'an address without a secret': 'a=https://x.test/',
    'a secret that is too short': 'a=https://x.test/#whsec_AAAA',
    'three secrets': `a=https://x.test/#${secret},${secret},${secret}`,
    'a second secret that is too long': `a=https://x.test/#${secret},whsec_${Buffer.alloc(65, 1).toString('base64')}`,
    'another scheme': `a=ftp://x.test/#${secret}`,
    'a password in the address': `a=https://u:hidden@x.test/#${secret}`,
    'a name that is there twice': `a=https://x.test/#${secret} a=https://y.test/#${secret}`,
  })) {
    test(`are refused, without showing them: ${what}`, () => {
      assert.match(refusal({ RUNIFY_WEBHOOKS: text }), /^RUNIFY_WEBHOOKS\b/)
      assert.doesNotMatch(refusal({ RUNIFY_WEBHOOKS: text }), /x\.test|AQEB|hidden/)
    })
  }
})

test('The key that services show each other is taken by both its names, the newer first', () => {
  assert.equal(readConfig({ RUNIFY_STORAGE_KEY: 'a' }).readKey, 'a')
  assert.equal(readConfig({ RUNIFY_READ_KEY: 'b', RUNIFY_STORAGE_KEY: 'a' }).readKey, 'b')
  assert.equal(readServiceAccess('analyzer', { RUNIFY_READ_KEY: 'b' }).key, 'b')
  assert.equal(readServiceAccess('analyzer', { RUNIFY_STORAGE_KEY: 'a' }).key, 'a')
})

describe('API keys', () => {
  test('are read with name, scope and hash', () => {
    const text = `watch:write:${SHA}, page.of-us_1:read:${SHA.toUpperCase()},me:operate:${SHA}`
    const { apiKeys } = readConfig({ RUNIFY_API_KEYS: text })
    assert.deepEqual(apiKeys, [
      { name: 'watch', scope: 'write', sha256: SHA },
      { name: 'page.of-us_1', scope: 'read', sha256: SHA },
      { name: 'me', scope: 'operate', sha256: SHA },
    ])
  })

  test('that are wrong are refused by their place; what was given is not shown, it may be the key itself', () => {
    const wrong = [
      'my-key',
      `watch:admin:${SHA}`,
      `watch:write:${SHA}0`,
      'watch:write:my-key',
      `:write:${SHA}`,
      `wa tch:read:${SHA}`,
      '',
    ]
    for (const entry of wrong) {
      const message = refusal({ RUNIFY_API_KEYS: `page:read:${SHA},${entry}` })
      assert.equal(message, 'RUNIFY_API_KEYS: entry 2 must be name:read|write|operate:sha256-of-key in 64 hex digits')
    }
  })
})

describe('The address of the log or the store', () => {
  const kafkaOf = (address: string) => {
    const { kind, brokers, tls, sasl, partitions, replication } = topicsOf(readConfig({ RUNIFY_LOG: address }))
    assert.deepEqual([kind, partitions, replication], ['kafka', 3, 1])
    return { brokers, tls, sasl }
  }
  const mysqlOf = (address: string) => readConfig({ RUNIFY_STORE: address }).store

  test('is that of Kafka: brokers, and how to get in', () => {
    const none = { tls: undefined, sasl: undefined }
    const local = { host: 'localhost', port: 9092 }
    assert.deepEqual(kafkaOf('kafka://localhost'), { ...none, brokers: [local] })
    assert.deepEqual(kafkaOf('kafka://localhost:9092/'), { ...none, brokers: [local] })
    assert.deepEqual(kafkaOf('kafka://a:1,b.example:65535,[::1]:9,192.168.0.1').brokers, [
      { host: 'a', port: 1 },
      { host: 'b.example', port: 65_535 },
      { host: '::1', port: 9 },
      { host: '192.168.0.1', port: 9092 },
    ])
    assert.deepEqual(kafkaOf('kafka://ann:p%40ss%2F:word@localhost?tls=true&sasl=scram-sha-512'), {
      brokers: [local],
      tls: {},
      sasl: { mechanism: 'scram-sha-512', username: 'ann', password: 'p@ss/:word' },
    })
    const ca = fileURLToPath(new URL('../LICENSE', import.meta.url))
    assert.deepEqual(kafkaOf(`kafka://a?tls=true&ca=${ca}`).tls, { ca: readFileSync(ca, 'utf8') })
  })

  test('is that of MySQL: host, user and database', () => {
    const standard = { kind: 'mysql', host: 'db', port: 3306, user: 'runify', database: 'runify', connectionsMax: 8 }
    assert.deepEqual(mysqlOf('mysql://runify:p%40ss@db/runify'), { ...standard, password: 'p@ss' })
    assert.deepEqual(mysqlOf('mysql://runify:@[::1]:33060/runify?connections=2&tls=true'), {
      ...standard,
      host: '::1',
      port: 33_060,
      password: '',
      connectionsMax: 2,
      tls: {},
    })
  })

  test('is refused when a part of it is wrong', () => {
    const wrong: Record<string, string[]> = {
      RUNIFY_LOG: [
        'kafka://',
        'kafka://a:0',
        'kafka://a:65536',
        'kafka://a:b',
        'kafka://a,,b',
        'kafka://a b',
        'kafka://a?acks=1',
        'kafka://a?tls=yes',
        'kafka://a?tls=true&tls=true',
        'kafka://a?ca=/ca.pem',
        'kafka://a?tls=true&ca=/nowhere/ca.pem',
        'kafka://a?sasl=plain',
        'kafka://ann:hunter2@a',
        'kafka://ann:hunter2@a?sasl=gssapi',
        'kafka://ann@a?sasl=plain',
        'kafka://ann:%@a?sasl=plain',
      ],
      RUNIFY_STORE: [
        'mysql://db/runify',
        'mysql://runify:hunter2@db',
        'mysql://runify:hunter2@db/',
        'mysql://runify:hunter2@db/a/b',
        'mysql://runify:hunter2@db:99999/runify',
        'mysql://runify:hunter2@db/runify?connections=1',
        'mysql://runify:hunter2@db/runify?connections=1e1x',
        'mysql://runify:hunter2@db/runify?multipleStatements=true',
        'mysql://runify:%@db/runify',
      ],
    }
    for (const [name, addresses] of Object.entries(wrong)) {
      for (const address of addresses) {
        const message = refusal({ [name]: address })
        assert.match(message, new RegExp(`^${name}[: ]`), address)
        assert.doesNotMatch(message, /hunter2/)
      }
    }
  })

  test('is refused by name when nothing can be reached by it', () => {
    for (const name of ['RUNIFY_LOG', 'RUNIFY_STORE']) {
      for (const address of ['Embedded', 'sqlite', 'ftp://host/database', '://', 'mysql:/', 'kafka:/']) {
        assert.match(refusal({ [name]: address }), new RegExp(`^${name} must be `))
      }
    }
  })

  test('is not shown in what is said of it, because it may hold a password', () => {
    const wrong = [
      'ftp://runify:hunter2@host:3306/runify',
      'mysqlx://runify:hunter2@host/runify',
      'mysql:/runify:hunter2@host:3306/runify',
      'runify:hunter2@host',
      ' mysql//runify:hunter2@host:port/runify?x=hunter2',
    ]
    for (const name of ['RUNIFY_LOG', 'RUNIFY_STORE']) {
      for (const address of wrong) assert.doesNotMatch(refusal({ [name]: address }), /hunter2/)
    }
  })

  test('that a message is about something else is not shown either', () => {
    const environment = { RUNIFY_STORE: 'mysql://runify:hunter2@host:3306/runify', RECEIVER_PORT: '99999' }
    assert.doesNotMatch(refusal(environment), /hunter2/)
    assert.doesNotMatch(refusal({ ...environment, RUNIFY_HOST: '0.0.0.0' }), /hunter2/)
  })
})
