import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { after, before, describe, test } from 'node:test'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { type Json, waitFor } from '../../test-support/harness.ts'
import { CERTIFICATE, KEY } from './certificate.ts'
import { listen, type Started, startDashboard } from './proxied.ts'
import { RawConnection } from './raw-connection.ts'

/** What the dashboard passes on as it should, and how much of it at once. */

const GET = 'GET /storage/x HTTP/1.1\r\nhost: x\r\n\r\n'
const UNDER_WAY_MAX = 256
const STREAMS_MAX = 64

describe('The dashboard passes on', () => {
  test('to a service that speaks TLS, below a base path', async () => {
    setDefaultCACertificates([...getCACertificates('default'), CERTIFICATE])
    const secure = createTlsServer({ cert: CERTIFICATE, key: KEY }, (request, response) => response.end(request.url))
    await using service = await listen(secure, 'https')
    for (const [base, expected] of [
      ['', '/x'],
      ['/', '/x'],
      ['/runify/storage', '/runify/storage/x'],
      ['/runify/storage/', '/runify/storage/x'],
    ]) {
      await using dashboard = await startDashboard(`${service.address}${base}`)
      using client = await RawConnection.open(dashboard.address)
      client.send(GET)
      const answer = await client.answer()
      assert.deepEqual([answer?.status, answer?.body], [200, expected])
    }
  })

  test('not to one whose certificate nobody vouches for', async () => {
    setDefaultCACertificates([])
    const secure = createTlsServer({ cert: CERTIFICATE, key: KEY }, (_request, response) => response.end('shown'))
    await using service = await listen(secure, 'https')
    await using dashboard = await startDashboard(service.address)
    using client = await RawConnection.open(dashboard.address)
    client.send(GET)
    const answer = await client.answer()
    assert.deepEqual([answer?.status, (JSON.parse(answer?.body ?? '') as Json).code], [503, 'service_unavailable'])
  })

  test('links and locations that lead back through it, and no others', async () => {
    const sent = {
      link: '</stats?a=1>; rel="next", </stats>; rel="first", <//x/y>; rel="a", <http://x/y>; rel="b"',
      connection: 'x-a',
      'x-a': '1',
      'set-cookie': ['a=1', 'b=2'],
    }
    const locations = ['/events/1', '//elsewhere/x', 'http://elsewhere/x']
    const server = createServer((_request, response) => {
      response.writeHead(201, { ...sent, location: locations.shift() ?? '' }).end()
    })
    await using service = await listen(server)
    await using dashboard = await startDashboard(service.address)
    for (const location of ['/storage/events/1', '//elsewhere/x', 'http://elsewhere/x']) {
      const { headers } = await fetch(`${dashboard.address}/storage/x`)
      assert.equal(headers.get('location'), location)
      assert.equal(
        headers.get('link'),
        '</storage/stats?a=1>; rel="next", </storage/stats>; rel="first", <//x/y>; rel="a", <http://x/y>; rel="b"',
      )
      assert.deepEqual([headers.get('x-a'), headers.getSetCookie()], [null, ['a=1', 'b=2']])
    }
  })

  test('answers without a body, of every kind', async () => {
    const server = createServer((request, response) => {
      const status = Number(request.url?.slice(1))
      response.writeHead(status, request.method === 'HEAD' ? { 'content-length': '12' } : {}).end()
    })
    await using service = await listen(server)
    await using dashboard = await startDashboard(service.address)
    using client = await RawConnection.open(dashboard.address)
    for (const [method, status] of [
      ['HEAD', 200],
      ['GET', 204],
      ['GET', 304],
      ['HEAD', 404],
      ['DELETE', 200],
      ['OPTIONS', 204],
    ] as const) {
      client.send(`${method} /storage/${status} HTTP/1.1\r\nhost: x\r\n\r\n`)
      const answer = await client.answer(method)
      assert.deepEqual([answer?.status, answer?.body], [status, ''], `${method} ${status}`)
    }
  })
})

describe('The dashboard bounds', () => {
  let service: Started
  let held: ServerResponse[]
  before(async () => {
    held = []
    const server = createServer((request, response) => {
      held.push(response)
      if (request.url === '/stream') response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    })
    service = await listen(server)
  })
  after(() => service?.[Symbol.asyncDispose]())

  for (const [what, path, max] of [
    ['the requests that it has under way', '/storage/x', UNDER_WAY_MAX],
    ['the streams of events', '/storage/stream', STREAMS_MAX],
  ] as const) {
    test(`${what}, and takes others when one is done`, async () => {
      held.length = 0
      await using dashboard = await startDashboard(service.address)
      using clients = new DisposableStack()
      const bytes = `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`
      for (let n = 0; n < max; n++) {
        const client = clients.use(await RawConnection.open(dashboard.address))
        client.send(bytes)
      }
      await waitFor(async () => held.length === max)
      using refused = await RawConnection.open(dashboard.address)
      refused.send(bytes)
      const answer = await refused.answer()
      assert.deepEqual([answer?.status, (JSON.parse(answer?.body ?? '') as Json).code], [503, 'overloaded'])
      assert.equal(answer?.headers['retry-after'], '1')
      // One that was one too many is not left with the service.
      await waitFor(async () => held.length === max || held.at(-1)?.destroyed)
      held[0]?.end()
      await waitFor(async () => {
        using next = await RawConnection.open(dashboard.address)
        const before = held.length
        next.send(bytes)
        return await waitFor(async () => held.length > before && held.at(-1)?.destroyed === false, 500)
      })
    })
  }
})
