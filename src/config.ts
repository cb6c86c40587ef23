import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { type KafkaAddress, type MysqlAddress, readKafkaAddress, readMysqlAddress } from './addresses.ts'
import { StartError } from './errors.ts'
import { type AnomalyThresholds, readAnomalyThresholds } from './services/anomaly-detector/rules/settings.ts'
import {
  readWebhooks,
  readWebhookTiming,
  type WebhookChoice,
  type WebhookTiming,
} from './services/anomaly-detector/webhooks/settings.ts'

export const SERVICES = [
  'receiver',
  'storage',
  'processing',
  'analyzer',
  'anomaly-detector',
  'health-check',
  'dashboard',
] as const
export type ServiceName = (typeof SERVICES)[number]

export type LogChoice =
  | { kind: 'embedded'; dir: string }
  | ({ kind: 'kafka'; partitions: number; replication: number } & KafkaAddress)
export type StoreChoice = { kind: 'embedded'; dir: string } | ({ kind: 'mysql' } & MysqlAddress)

/** A key's name, what it may do, and the SHA-256 of the key itself (64 hex digits, lower case). */
export type KeyScope = 'read' | 'write' | 'operate'
export type ApiKey = { name: string; scope: KeyScope; sha256: string }

export type Config = {
  host: string
  /** 0 takes a free port. */
  ports: Record<ServiceName, number>
  log: LogChoice
  store: StoreChoice
  dataDir: string
  /** Where services that run elsewhere are found. */
  serviceUrls: Partial<Record<ServiceName, string>>
  /** Where Processing reads what is stored; undefined: it reads the store itself. */
  storageUrl: string | undefined
  /** The `read` key that services show each other: Processing there, the health check everywhere. */
  readKey: string | undefined
  /** The one that the services of this process show each other, made at the start; undefined where keys are not needed. */
  ownReadKey: string | undefined
  /** How often statistics are brought up to date, milliseconds, 10…3,600,000. */
  processingPeriodMs: number
  /** How often the health check asks every service, milliseconds, 100…600,000. */
  healthPeriodMs: number
  /** How long it waits for an answer, milliseconds, 50…60,000. */
  healthTimeoutMs: number
  anomalyThresholds: AnomalyThresholds
  /** Where the anomaly detector delivers what it finds. */
  webhooks: WebhookChoice[]
  webhookTiming: WebhookTiming
  /** How often the health check sends a canary, milliseconds, 0…3,600,000; 0 is never. */
  canaryPeriodMs: number
  /** When a canary is given up, milliseconds, 100…600,000. */
  canaryTimeoutMs: number
  /** With which the Receiver knows the health check's canaries; undefined: there are none. */
  canaryKey: string | undefined
  /** Empty means that nobody is asked for a key. */
  apiKeys: ApiKey[]
  /** The largest JSON body, bytes after decompression. NDJSON has no such limit: it is streamed. */
  bodyBytesMax: number
  /** The longest line of an NDJSON body, bytes. */
  lineBytesMax: number
  /** Bytes of bodies and events that may be held before the Receiver answers 503. */
  pendingBytesMax: number
  /** How long the store keeps events after they were received, days; 0: for ever. */
  retentionDays: number
  /** How long the embedded log keeps events that were read, days; 0: for ever. */
  logRetentionDays: number
  /** How often the files of the data folder are read through, milliseconds, 0…604,800,000; 0: never. */
  checkPeriodMs: number
  /** Processes that take requests on the Receiver's port. */
  receiverWorkers: number
  /** Requests that the Receiver has under way at most; above that it answers 503. */
  requestsMax: number
  /** Connections that each service has open at most; above that it answers 503 and closes. */
  connectionsMax: number
  /** Bytes of answers that the services of one thread make and send at once, before others wait. */
  answerBytesMax: number
  /** How many records Storage and Processing take at a time. */
  batchRecordsMax: number
  logLevel: (typeof LOG_LEVELS)[number]
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

export const PORT_VARIABLES: Record<ServiceName, string> = {
  receiver: 'RECEIVER_PORT',
  storage: 'STORAGE_PORT',
  processing: 'PROCESSING_PORT',
  analyzer: 'ANALYZER_PORT',
  'anomaly-detector': 'ANOMALY_PORT',
  'health-check': 'HEALTH_PORT',
  dashboard: 'DASHBOARD_PORT',
}

/** Where others find a service that runs elsewhere. */
export const URL_VARIABLES: Record<ServiceName, string> = {
  receiver: 'RUNIFY_RECEIVER_URL',
  storage: 'RUNIFY_STORAGE_URL',
  processing: 'RUNIFY_PROCESSING_URL',
  analyzer: 'RUNIFY_ANALYZER_URL',
  'anomaly-detector': 'RUNIFY_ANOMALY_URL',
  'health-check': 'RUNIFY_HEALTH_URL',
  dashboard: 'RUNIFY_DASHBOARD_URL',
}

const STANDARD_PORTS: Record<ServiceName, number> = {
  receiver: 8080,
  storage: 8090,
  processing: 8100,
  analyzer: 8110,
  'anomaly-detector': 8120,
  'health-check': 8130,
  dashboard: 8000,
}

/**
 * Reads and checks every variable at once, before anything starts. Throws a `StartError` that names the first one
 * that is wrong. An empty variable counts as not set, as in a compose file.
 */
export function readConfig(environment: Record<string, string | undefined> = process.env): Config {
  const read = (name: string) => environment[name] || undefined
  const dataDir = resolve(read('RUNIFY_DATA_DIR') ?? './data')
  const host = read('RUNIFY_HOST') ?? '127.0.0.1'
  const apiKeys = readKeys(read('RUNIFY_API_KEYS') ?? '')
  const allowAnonymous = oneOf('RUNIFY_ALLOW_ANONYMOUS', read('RUNIFY_ALLOW_ANONYMOUS') ?? 'false', ['true', 'false'])
  // In a container the address that counts is the one at which the container is published.
  const published = read('RUNIFY_PUBLISHED_ADDRESS')
  const reached = published ?? host
  if (apiKeys.length === 0 && allowAnonymous === 'false' && !isLoopback(reached)) {
    const name = published === undefined ? 'RUNIFY_HOST' : 'RUNIFY_PUBLISHED_ADDRESS'
    const why = `${name} is ${reached}, which others can reach, and RUNIFY_API_KEYS is empty`
    throw new StartError(`${why}: set keys, or RUNIFY_ALLOW_ANONYMOUS=true to let everybody in`)
  }
  const number = (name: string, fallback: number, min: number, max: number) =>
    readNumber(name, read(name), { fallback, min, max })
  const serviceUrls = readServiceUrls(read)
  const store = readStore(read('RUNIFY_STORE') ?? 'embedded', dataDir)
  if (store.kind === 'mysql' && !isLoopback(reached)) ownSecret('the password of RUNIFY_STORE', store.password)
  return {
    host,
    ports: Object.fromEntries(
      SERVICES.map((service) => [service, number(PORT_VARIABLES[service], STANDARD_PORTS[service], 0, 65_535)]),
    ) as Record<ServiceName, number>,
    log: readLog(read('RUNIFY_LOG') ?? 'embedded', dataDir, {
      partitions: number('RUNIFY_KAFKA_PARTITIONS', 3, 1, 1000),
      replication: number('RUNIFY_KAFKA_REPLICATION', 1, 1, 9),
    }),
    store,
    dataDir,
    serviceUrls,
    storageUrl: serviceUrls.storage,
    readKey: readKeyIn(environment),
    ownReadKey: undefined,
    processingPeriodMs: number('PROCESSING_PERIOD_MS', 2000, 10, 3_600_000),
    healthPeriodMs: number('RUNIFY_HEALTH_PERIOD_MS', 5000, 100, 600_000),
    healthTimeoutMs: number('RUNIFY_HEALTH_TIMEOUT_MS', 2000, 50, 60_000),
    anomalyThresholds: readAnomalyThresholds(number),
    webhooks: readWebhooks('RUNIFY_WEBHOOKS', read('RUNIFY_WEBHOOKS') ?? ''),
    webhookTiming: readWebhookTiming(number),
    canaryPeriodMs: number('RUNIFY_CANARY_PERIOD_MS', 60_000, 0, 3_600_000),
    canaryTimeoutMs: number('RUNIFY_CANARY_TIMEOUT_MS', 30_000, 100, 600_000),
    canaryKey: ownSecret('RUNIFY_CANARY_KEY', read('RUNIFY_CANARY_KEY')),
    apiKeys,
    bodyBytesMax: number('RUNIFY_BODY_BYTES_MAX', 4 * MIB, 1024, 64 * MIB),
    lineBytesMax: number('RUNIFY_LINE_BYTES_MAX', 64 * 1024, 1024, MIB),
    pendingBytesMax: number('RUNIFY_PENDING_BYTES_MAX', 32 * MIB, MIB, 1024 * MIB),
    retentionDays: number('RUNIFY_RETENTION_DAYS', 0, 0, 100_000),
    logRetentionDays: number('RUNIFY_LOG_RETENTION_DAYS', 0, 0, 100_000),
    checkPeriodMs: number('RUNIFY_CHECK_PERIOD_MS', 3_600_000, 0, 604_800_000),
    receiverWorkers: number('RECEIVER_WORKERS', 1, 1, 64),
    requestsMax: number('RUNIFY_REQUESTS_MAX', 2048, 1, 100_000),
    connectionsMax: number('RUNIFY_CONNECTIONS_MAX', 8000, 1, 1_000_000),
    answerBytesMax: number('RUNIFY_ANSWER_BYTES_MAX', 8 * MIB, MIB, 1024 * MIB),
    batchRecordsMax: number('RUNIFY_BATCH_RECORDS_MAX', STANDARD_BATCH[store.kind], 1, 100_000),
    logLevel: oneOf('RUNIFY_LOG_LEVEL', read('RUNIFY_LOG_LEVEL') ?? 'info', LOG_LEVELS),
  }
}

/** Where commands find Storage, and the key that they show there, if the command line does not say. */
export function readStorageAccess(environment: Record<string, string | undefined> = process.env) {
  return readServiceAccess('storage', environment)
}

/** The same for any service. The key is of scope `read`. */
export function readServiceAccess(
  service: ServiceName,
  environment: Record<string, string | undefined> = process.env,
): { url: string; key: string | undefined } {
  const port = environment[PORT_VARIABLES[service]] || STANDARD_PORTS[service]
  const url = environment[URL_VARIABLES[service]] || `http://127.0.0.1:${port}`
  return { url, key: readKeyIn(environment) }
}

/** `RUNIFY_STORAGE_KEY` is its earlier name. */
function readKeyIn(environment: Record<string, string | undefined>): string | undefined {
  return environment.RUNIFY_READ_KEY || environment.RUNIFY_STORAGE_KEY || undefined
}

/** The services that the command line names; none or `all` means every one. */
export function readServices(args: readonly string[]): ServiceName[] {
  for (const name of args) oneOf('service', name, [...SERVICES, 'all'])
  return args.length === 0 || args.includes('all') ? [...SERVICES] : SERVICES.filter((name) => args.includes(name))
}

const MIB = 1024 * 1024
/** A transaction costs a server more than SQLite, and a larger batch costs the one process memory. */
const STANDARD_BATCH: Record<StoreChoice['kind'], number> = { embedded: 1000, mysql: 5000 }
const API_KEY = /^([A-Za-z0-9._-]{1,64}):(read|write|operate):([0-9a-fA-F]{64})$/

/** What the examples have in the place of a secret is known to everybody who can read them. */
const EXAMPLE_SECRETS: readonly (string | undefined)[] = ['change-me', 'password']

function ownSecret(name: string, text: string | undefined): string | undefined {
  if (!EXAMPLE_SECRETS.includes(text)) return text
  throw new StartError(
    `${name} is '${text}', which everybody can guess: choose another, as openssl rand -hex 24 makes it`,
  )
}

function readNumber(
  name: string,
  text: string | undefined,
  { fallback, min, max }: { fallback: number; min: number; max: number },
): number {
  if (text === undefined) return fallback
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw new StartError(`${name} must be a whole number from ${min} to ${max}, not '${text}'`)
}

function oneOf<T extends string>(name: string, text: string, choices: readonly T[]): T {
  if ((choices as readonly string[]).includes(text)) return text as T
  throw new StartError(`${name} must be one of ${choices.join(', ')}, not '${text}'`)
}

function readLog(text: string, dir: string, topics: { partitions: number; replication: number }): LogChoice {
  if (text === 'embedded') return { kind: 'embedded', dir }
  return { kind: 'kafka', ...readKafkaAddress('RUNIFY_LOG', text), ...topics }
}

function readStore(text: string, dir: string): StoreChoice {
  return text === 'embedded' ? { kind: 'embedded', dir } : { kind: 'mysql', ...readMysqlAddress('RUNIFY_STORE', text) }
}

function readServiceUrls(read: (name: string) => string | undefined): Config['serviceUrls'] {
  const urls = SERVICES.map((service) => [service, readUrl(URL_VARIABLES[service], read(URL_VARIABLES[service]))])
  return Object.fromEntries(urls.filter(([, url]) => url !== undefined))
}

function readUrl(name: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const url = URL.parse(text)
  if (url !== null && /^https?:$/.test(url.protocol) && url.search === '' && url.username === '') return text
  throw new StartError(`${name} must be an address such as http://storage:8090`)
}

function readKeys(text: string): ApiKey[] {
  if (text === '') return []
  return text.split(',').map((entry, index) => {
    const match = API_KEY.exec(entry.trim())
    if (match === null) {
      throw new StartError(
        `RUNIFY_API_KEYS: entry ${index + 1} must be name:read|write|operate:sha256-of-key in 64 hex digits`,
      )
    }
    const [, name, scope, sha256] = match as unknown as [string, string, KeyScope, string]
    return { name, scope, sha256: sha256.toLowerCase() }
  })
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}
