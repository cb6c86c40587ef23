import { isIP } from 'node:net'
import { type API, Connection, NetworkError, type SASLMechanismValue } from '@platformatic/kafka'

export type Broker = { host: string; port: number }

export type KafkaTls = {
  /** PEM text: only brokers whose certificate it signed are trusted. Without it, those that Node trusts. */
  ca?: string
}

export type KafkaSasl = { mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'; username: string; password: string }

export type ConnectionsOptions = {
  clientId: string
  tls?: KafkaTls | undefined
  sasl?: KafkaSasl | undefined
  /** How long an answer may take before the connection is given up. */
  requestTimeoutMs: number
}

const CONNECT_TIMEOUT_MS = 1000

type Opened = { connection: Connection; ready: Promise<Connection> }

/**
 * One connection to each broker, for one kind of request. A broker answers the requests of a connection one after the
 * other, so requests that wait there (a long poll, joining a group, acks=all) have connections of their own. A connection
 * that fails is forgotten, and the next request opens another: nothing is tried again here.
 */
export class BrokerConnections implements AsyncDisposable {
  readonly #options: ConnectionsOptions
  readonly #opened = new Map<string, Opened>()
  #closed = false

  constructor(options: ConnectionsOptions) {
    this.#options = options
  }

  async request<A extends unknown[], R>(broker: Broker, api: API<A, R>, ...args: A): Promise<R> {
    return api.async(await this.#connect(broker), ...args)
  }

  /** Requests that are under way fail. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#opened.values()].map(({ connection }) => destroy(connection)))
  }

  #connect(broker: Broker): Promise<Connection> {
    if (this.#closed) return Promise.reject(new NetworkError('the connections are closed', { canRetry: false }))
    const address = `${broker.host}:${broker.port}`
    const existing = this.#opened.get(address)
    if (existing !== undefined) return existing.ready
    const { clientId } = this.#options
    const connection = new Connection(clientId, connectionOptions(this.#options, broker.host))
    const forget = () => {
      if (this.#opened.get(address)?.connection !== connection) return
      this.#opened.delete(address)
      void destroy(connection)
    }
    connection.on('error', forget)
    connection.on('close', forget)
    const ready = (connection.connect(broker.host, broker.port) as Promise<void>).then(() => connection)
    ready.catch(forget)
    this.#opened.set(address, { connection, ready })
    return ready
  }
}

/** The client's form of our options. */
export function connectionOptions({ tls, sasl, requestTimeoutMs }: ConnectionsOptions, host: string) {
  return {
    connectTimeout: CONNECT_TIMEOUT_MS,
    requestTimeout: requestTimeoutMs,
    // An IP address is no server name (RFC 6066); the certificate is checked against it all the same.
    ...(tls && { tls: { ...tls }, tlsServerName: isIP(host) === 0 }),
    ...(sasl && { sasl: { ...sasl, mechanism: sasl.mechanism.toUpperCase() as SASLMechanismValue } }),
  }
}

/** The client's own `close` lets a socket that is connecting or stuck go on for as long as it likes. */
async function destroy(connection: Connection): Promise<void> {
  const closing = connection.close()
  connection.socket?.destroy()
  await closing
}
