import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, createServer, get, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { after, beforeEach, describe, test } from 'node:test'
import { type Balancer, type Place, startBalancer } from '../scripts/balancer.ts'
import { waitFor } from '../test-support/harness.ts'

/** A service of one instance, which answers with its name, and with what was sent to it. */
type Instance = { name: string; ready: boolean; server: Server; place: Place }

describe('The balancer', () => {
  let stack = new AsyncDisposableStack()
  beforeEach(async () => {
    await stack.disposeAsync()
    stack = new AsyncDisposableStack()
  })
  after(() => stack.disposeAsync())

  test('uses all instances', async () => {
    const url = await balanced(await start('a'), await start('b'))
    // Connections that last, so that each instance gets its share.
    const agent = stack.adopt(new Agent({ keepAlive: true }), (it) => it.destroy())
    const names = await Promise.all(Array.from({ length: 8 }, () => ask(url, agent)))
    assert.deepEqual(names.filter((name) => name === 'a').length, 4)
  })

  test('leaves out the one that is not ready, and takes it back', async () => {
    const [a, b] = [await start('a'), await start('b')]
    a.ready = false
    const url = await balanced(a, b)
    for (let n = 0; n < 4; n++) assert.equal(await ask(url), 'b')
    a.ready = true
    b.ready = false
    await waitFor(async () => (await ask(url)) === 'a')
  })

  test('passes on to one that is not ready when there is no other, because it can say why', async () => {
    const a = await start('a')
    a.ready = false
    assert.equal(await ask(await balanced(a)), 'a')
  })

  test('tries the next one when one takes no connection, before it has noticed that', async () => {
    const [a, b] = [await start('a'), await start('b')]
    const url = await balanced(a, b)
    a.server.closeAllConnections()
    await once(a.server.close(), 'close')
    for (let n = 0; n < 4; n++) assert.equal(await ask(url), 'b')
  })

  test('answers 503 as a problem document when nobody is there', async () => {
    const a = await start('a')
    const url = await balanced(a)
    a.server.closeAllConnections()
    await once(a.server.close(), 'close')
    const response = await fetch(url)
    assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '1'])
    assert.match(response.headers.get('content-type') ?? '', /^application\/problem\+json/)
    assert.equal(((await response.json()) as { code: string }).code, 'no_instance')
  })

  test('passes large bodies in both directions, whole', async () => {
    const url = await balanced(await start('a'))
    const body = Buffer.alloc(20_000_000, 'body ')
    const answer = await fetch(`${url}/echo`, { method: 'POST', body })
    assert.ok(Buffer.from(await answer.arrayBuffer()).equals(body))
  })

  test('passes the answer to a client that has said all it will', async () => {
    const url = new URL(await balanced(await start('a')))
    const socket = connect({ port: Number(url.port), host: url.hostname, allowHalfOpen: true })
    socket.end('GET / HTTP/1.0\r\n\r\n')
    assert.match(Buffer.concat(await socket.toArray()).toString(), /a$/)
  })

  test('breaks a connection off whose instance dies', async () => {
    const a = await start('a')
    const url = await balanced(a)
    const request = fetch(`${url}/never`)
    await waitFor(async () => a.server.listenerCount('held') > 0)
    a.server.closeAllConnections()
    await assert.rejects(request)
  })

  test('lets what is under way finish when it is stopped', async () => {
    const a = await start('a')
    const url = await balanced(a)
    const request = fetch(`${url}/never`)
    await waitFor(async () => a.server.listenerCount('held') > 0)
    const stopped = balancer.take()[Symbol.asyncDispose]()
    await assert.rejects(fetch(url))
    a.server.emit('held')
    assert.equal(await (await request).text(), 'late')
    await stopped
  })

  const balancer = {
    current: undefined as Balancer | undefined,
    take(): Balancer {
      const taken = this.current as Balancer
      this.current = undefined
      return taken
    },
  }

  async function balanced(...instances: Instance[]): Promise<string> {
    const started = await startBalancer(0, async () => instances.map(({ place }) => place))
    balancer.current = started
    stack.defer(async () => {
      if (balancer.current === started) await started[Symbol.asyncDispose]()
    })
    return `http://127.0.0.1:${started.port}`
  }

  async function start(name: string): Promise<Instance> {
    const listener: RequestListener = (request, response) => {
      if (request.url === '/health/ready') response.writeHead(instance.ready ? 200 : 503).end()
      else if (request.url === '/echo') request.pipe(response)
      else if (request.url === '/never') server.once('held', () => response.end('late'))
      else response.end(name)
    }
    const server = createServer(listener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    stack.defer(() => {
      server.closeAllConnections()
      server.close()
    })
    const instance = {
      name,
      ready: true,
      server,
      place: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    }
    return instance
  }
})

/** The answer's text, over a connection of its own unless there is an agent. */
async function ask(url: string, agent: Agent | false = false): Promise<string> {
  const [response] = await once(get(url, { agent }), 'response')
  return Buffer.concat(await response.toArray()).toString()
}
