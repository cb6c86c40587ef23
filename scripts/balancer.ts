import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { get } from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/**
 * One address for several instances of a service: `node scripts/balancer.ts receiver:8080 storage:8090` listens on these
 * ports, and passes every connection on to one of the containers behind the name. It knows bytes only, so bodies and
 * streams of any length pass. Who is not ready is the last choice; who does not take a connection has the next one try.
 */

export type Place = { host: string; port: number }
export type Balancer = AsyncDisposable & { port: number }

/** `connections` are those that it has now: the next one goes to whoever has the fewest. */
type Instance = Place & { ready: boolean; connections: number }

const POLL_INTERVAL_MS = 1000
const READY_MS_MAX = 900
const CONNECT_MS_MAX = 1000
const CONNECTIONS_MAX = 10_000
/** After SIGTERM: how long a connection may be silent, and how long any may last. */
const IDLE_MS_MAX = 3000
const CLOSE_MS_MAX = 8000

const BODY = JSON.stringify({
  type: 'about:blank',
  title: 'Service Unavailable',
  status: 503,
  detail: 'no instance of this service takes connections',
  code: 'no_instance',
})
const NOBODY =
  'HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json; charset=utf-8\r\n' +
  `retry-after: 1\r\nconnection: close\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`

/** `find` is asked every second where the instances are now. */
export async function startBalancer(port: number, find: () => Promise<Place[]>): Promise<Balancer> {
  let instances: Instance[] = []
  const look = async () => {
    const known = (place: Place) => instances.find(({ host, port }) => host === place.host && port === place.port)
    // While names cannot be resolved, those known last are as good as any.
    const places = await find().catch(() => instances)
    instances = places.map((place) => known(place) ?? { ...place, ready: false, connections: 0 })
    await Promise.all(instances.map(checkReady))
  }
  await look()
  const clients = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    clients.add(client)
    client.once('close', () => clients.delete(client)).on('error', () => client.destroy())
    void passOn(client, inOrder(instances))
  })
  server.maxConnections = CONNECTIONS_MAX
  await once(server.listen(port, '0.0.0.0'), 'listening')
  const timer = setInterval(look, POLL_INTERVAL_MS)
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer)
      await close(server, clients)
    },
  }
}

/** The ready ones first, and of these the one with the fewest connections. */
function inOrder(instances: readonly Instance[]): Instance[] {
  return instances.toSorted((a, b) => Number(b.ready) - Number(a.ready) || a.connections - b.connections)
}

async function passOn(client: Socket, instances: readonly Instance[]): Promise<void> {
  for (const instance of instances) {
    instance.connections++
    const upstream = await reach(instance)
    if (upstream === undefined) {
      instance.connections--
      instance.ready = false
      continue
    }
    upstream.once('close', () => {
      instance.connections--
      // What came before a proper end is still on its way to the client.
      if (!upstream.readableEnded) client.destroy()
    })
    client.once('close', () => upstream.destroy())
    // No `pipeline`: an end on one side must not end the other, which may still have an answer to give.
    client.pipe(upstream).pipe(client)
    if (client.destroyed) upstream.destroy()
    return
  }
  client.end(NOBODY)
  client.resume()
  client.setTimeout(CONNECT_MS_MAX, () => client.destroy())
}

/** A connection to the instance, or undefined when it takes none. */
function reach({ host, port }: Place): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true })
    const timer = setTimeout(() => socket.destroy(), CONNECT_MS_MAX)
    socket
      .once('connect', () => resolve(socket))
      .once('close', () => resolve(undefined))
      .once('connect', () => clearTimeout(timer))
      .on('error', () => socket.destroy())
  })
}

function checkReady(instance: Instance): Promise<void> {
  const { host, port } = instance
  return new Promise((resolve) => {
    const request = get({ host, port, path: '/health/ready', agent: false, timeout: READY_MS_MAX }, (response) => {
      instance.ready = response.statusCode === 200
      response.resume().once('close', resolve)
    })
    request.once('timeout', () => request.destroy(new Error('too slow')))
    request.once('error', () => {
      instance.ready = false
      resolve()
    })
  })
}

/** Which connections are idle only their bytes can tell: silence that is longer than any answer takes. */
async function close(server: Server, clients: ReadonlySet<Socket>): Promise<void> {
  const closed = once(server.close(), 'close')
  for (const client of clients) client.setTimeout(IDLE_MS_MAX, () => client.destroy())
  const deadline = setTimeout(() => {
    for (const client of clients) client.destroy()
  }, CLOSE_MS_MAX)
  await closed
  clearTimeout(deadline)
}

async function main(targets: readonly string[]): Promise<void> {
  const signalled = new AbortController()
  const stop = () => signalled.abort()
  process.once('SIGTERM', stop).once('SIGINT', stop)
  await using balancers = new AsyncDisposableStack()
  for (const target of targets) {
    const [, name, digits] = /^([A-Za-z0-9.-]+):(\d{1,5})$/.exec(target) ?? []
    if (name === undefined) throw new Error(`'${target}' is not service:port`)
    const port = Number(digits)
    const find = async () =>
      (await lookup(name, { all: true, family: 4 })).map(({ address }) => ({ host: address, port }))
    balancers.use(await startBalancer(port, find))
    console.log(`${port}: passed on to ${name}`)
  }
  if (!signalled.signal.aborted) await once(signalled.signal, 'abort')
}

if (import.meta.main) await main(process.argv.slice(2))
