import { readFileSync } from 'node:fs'
import { StartError } from './errors.ts'

/** The addresses of servers, as `RUNIFY_LOG` and `RUNIFY_STORE` give them. What is wrong is told without showing them. */

/** With `ca`, only servers whose certificate it signed are trusted: PEM text. Without, those that Node trusts. */
export type TlsChoice = { ca?: string }

export const SASL_MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const
export type SaslChoice = { mechanism: (typeof SASL_MECHANISMS)[number]; username: string; password: string }

export type KafkaAddress = {
  brokers: { host: string; port: number }[]
  tls?: TlsChoice
  sasl?: SaslChoice
}

export type MysqlAddress = {
  host: string
  port: number
  user: string
  password: string
  database: string
  tls?: TlsChoice
  /** How many connections a process opens at most, 2…100. */
  connectionsMax: number
}

const KAFKA = /^kafka:\/\/(?:([^/?#@]*)@)?([^/?#@]+)\/?(?:\?(.*))?$/
const BROKER = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/
const KAFKA_FORM = 'kafka://[user:password@]host:port[,host:port…][?tls=true&ca=file.pem&sasl=scram-sha-512]'
const MYSQL_FORM = 'mysql://user:password@host:port/database[?tls=true&ca=file.pem&connections=8]'

export function readKafkaAddress(name: string, text: string): KafkaAddress {
  const [, credentials, hosts, query] = KAFKA.exec(text) ?? []
  if (hosts === undefined) throw malformed(name, KAFKA_FORM)
  const brokers = hosts.split(',').map((broker) => {
    const [, host, port = '9092'] = BROKER.exec(broker) ?? []
    if (host === undefined || !isPort(port)) throw malformed(name, KAFKA_FORM)
    return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
  })
  const options = readOptions(name, query ?? '', ['tls', 'ca', 'sasl'])
  const tls = readTls(name, options)
  const sasl = readSasl(name, options.sasl, credentials)
  return { brokers, ...(tls && { tls }), ...(sasl && { sasl }) }
}

export function readMysqlAddress(name: string, text: string): MysqlAddress {
  const url = URL.parse(text)
  const database = decode(url?.pathname.slice(1) ?? '')
  if (url?.protocol !== 'mysql:' || !text.startsWith('mysql://') || url.hostname === '' || url.hash !== '') {
    throw malformed(name, MYSQL_FORM)
  }
  const [user, password] = [decode(url.username), decode(url.password)]
  if (!user || password === undefined || !database || database.includes('/')) throw malformed(name, MYSQL_FORM)
  const options = readOptions(name, url.search.slice(1), ['tls', 'ca', 'connections'])
  const connectionsMax = Number(options.connections ?? 8)
  if (!(Number.isInteger(connectionsMax) && connectionsMax >= 2 && connectionsMax <= 100)) {
    throw new StartError(`${name}: connections must be a whole number from 2 to 100`)
  }
  const tls = readTls(name, options)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? 3306 : Number(url.port)
  return { host, port, user, password, database, connectionsMax, ...(tls && { tls }) }
}

function readOptions<T extends string>(name: string, query: string, known: readonly T[]): Partial<Record<T, string>> {
  const options: Partial<Record<T, string>> = {}
  for (const [key, value] of new URLSearchParams(query)) {
    if (!known.includes(key as T) || key in options) {
      throw new StartError(`${name}: after '?' there may be ${known.join(', ')}, each once`)
    }
    options[key as T] = value
  }
  return options
}

function readTls(name: string, { tls = 'false', ca }: { tls?: string; ca?: string }): TlsChoice | undefined {
  if (tls !== 'true' && tls !== 'false') throw new StartError(`${name}: tls must be one of true, false`)
  if (tls === 'false') {
    if (ca !== undefined) throw new StartError(`${name}: ca is only for tls=true`)
    return undefined
  }
  if (ca === undefined) return {}
  try {
    return { ca: readFileSync(ca, 'utf8') }
  } catch (cause) {
    throw new StartError(`${name}: the file that ca names cannot be read (${(cause as NodeJS.ErrnoException).code})`)
  }
}

function readSasl(name: string, mechanism: string | undefined, credentials: string | undefined) {
  if (mechanism === undefined && credentials === undefined) return undefined
  const [, user, password] = (/^([^:]*):(.*)$/s.exec(credentials ?? '') ?? []).map(decode)
  if (!(SASL_MECHANISMS as readonly (string | undefined)[]).includes(mechanism)) {
    throw new StartError(`${name}: with a user, sasl must be one of ${SASL_MECHANISMS.join(', ')}`)
  }
  if (!user || !password) throw new StartError(`${name}: sasl needs user:password@ before the host`)
  return { mechanism: mechanism as SaslChoice['mechanism'], username: user, password }
}

function malformed(name: string, form: string): StartError {
  return new StartError(`${name} must be 'embedded' or of the form ${form}`)
}

function isPort(text: string): boolean {
  return Number(text) >= 1 && Number(text) <= 65_535
}

/** The text behind percent signs; undefined where it is none. */
function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
