import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises'
import { createServer, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { brotliCompressSync } from 'node:zlib'
import undici from 'undici'
import { readConfig, type ServiceName } from '../../config.ts'
import { createTelemetry } from '../../telemetry.ts'
import { createDashboard } from './dashboard.ts'

type Seen = { method: string; url: string; headers: Record<string, unknown>; body: string }

const PAGE = '<!doctype html><title>Runify</title>'
const SCRIPT = 'export const x = 1'
const KEYS = `reader:read:${'a'.repeat(64)}`

describe('The dashboard', () => {
  const opened = new AsyncDisposableStack()
  const seen: Seen[] = []
  const addresses: Partial<Record<ServiceName, string>> = {}
  let address: string
  let streams: ServerResponse[]

  before(async () => {
    const { path: pageFolder } = opened.use(await mkdtempDisposable(join(tmpdir(), 'runify-page-')))
    await mkdir(join(pageFolder, 'assets'))
    await writeFile(join(pageFolder, 'index.html'), PAGE)
    await writeFile(join(pageFolder, 'assets', 'app-1.js'), SCRIPT)
    await writeFile(join(pageFolder, 'assets', 'app-1.js.br'), brotliCompressSync(SCRIPT))
    addresses.storage = await startService()
    const config = readConfig({ RUNIFY_API_KEYS: KEYS })
    const telemetry = createTelemetry('dashboard', 'silent')
    const addressOf = (service: ServiceName) => addresses[service]
    const server = opened.use(await createDashboard({ addressOf, config, telemetry, pageFolder }))
    address = await server.listen(0, 'DASHBOARD_PORT')
  })
  after(() => opened.disposeAsync())

  /** Answers with what it was sent, but for some paths of its own. */
  async function startService(): Promise<string> {
    streams = []
    const server = createServer(async (request, response) => {
      const { method = '', url = '', headers } = request
      if (url === '/stream') {
        streams.push(response)
        response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
        return
      }
      let body = ''
      for await (const chunk of request) body += chunk
      seen.push({ method, url, headers, body })
      if (url === '/cut')
        return void response.writeHead(200, { 'content-length': '100' }).write('half', () => response.destroy())
      const link = '</stats/running?cursor=x>; rel="next"'
      response.writeHead(url === '/refused' ? 400 : 200, { 'content-type': 'application/json', link })
      response.end(JSON.stringify({ got: body.length }))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    opened.defer(() => {
      server.closeAllConnections()
      server.close()
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  describe('serves the page', () => {
    test('at the address of every view, without a key, and lets nothing in from elsewhere', async () => {
      for (const path of [
        '/',
        '/runner',
        '/runner/d290f1ee-6c54-4b01-90e6-d701748f0851',
        '/queue',
        '/send',
        '/event/x',
      ]) {
        const response = await fetch(`${address}${path}`)
        assert.deepEqual([response.status, await response.text()], [200, PAGE], path)
        const policy = response.headers.get('content-security-policy') ?? ''
        assert.match(policy, /default-src 'none'/)
        assert.doesNotMatch(policy, /unsafe|\*|https?:/)
        assert.equal(response.headers.get('cache-control'), 'no-cache')
      }
    })

    test('at an address that ends in a slash, by leading to the one without', async () => {
      for (const [path, expected] of [
        ['/queue/', '/queue'],
        ['/queue/?index=1&at=a/?b', '/queue?index=1&at=a/?b'],
        ['/runner/', '/runner'],
        ['/runner/d290f1ee-6c54-4b01-90e6-d701748f0851/', '/runner/d290f1ee-6c54-4b01-90e6-d701748f0851'],
        ['/event/x/', '/event/x'],
      ] as const) {
        const response = await fetch(`${address}${path}`, { redirect: 'manual' })
        assert.deepEqual([response.status, response.headers.get('location')], [308, expected], path)
      }
    })

    test('to a browser also where there is no such page, with the status that says so', async () => {
      const accept = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
      for (const path of ['/nowhere', '/queue/deeper/still', '/event', '//elsewhere.example/']) {
        const response = await fetch(`${address}${path}`, { headers: { accept }, redirect: 'manual' })
        assert.deepEqual([response.status, await response.text()], [404, PAGE], path)
      }
      const posted = await fetch(`${address}/nowhere`, { method: 'POST', headers: { accept } })
      assert.equal(((await posted.json()) as { code: string }).code, 'unknown_path')
    })

    test('to a browser also at an address that is no valid percent-encoding, or too long for an id', async () => {
      const accept = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
      const long = 'a'.repeat(300)
      for (const [path, status] of [
        ['/runner/%E0%A4', 200],
        ['/%zz', 404],
        ['/queue/%', 404],
        [`/runner/${'a'.repeat(101)}`, 200],
        [`/runner/${long}`, 404],
        [`/event/${long}`, 404],
      ] as const) {
        const response = await fetch(`${address}${path}`, { headers: { accept } })
        assert.deepEqual([response.status, await response.text()], [status, PAGE], path)
      }
      for (const [path, expected] of [
        ['/runner/%E0%A4?year=%20', '/runner/%25E0%25A4?year=%20'],
        ['//elsewhere.example/%zz', '/elsewhere.example/%25zz'],
      ] as const) {
        const response = await fetch(`${address}${path}`, { headers: { accept }, redirect: 'manual' })
        assert.deepEqual([response.status, response.headers.get('location')], [308, expected])
      }
      const asked = await fetch(`${address}/runner/%E0%A4`)
      assert.deepEqual([asked.status, ((await asked.json()) as { code: string }).code], [400, 'invalid_request'])
    })

    test('with its files compressed beforehand, to be kept for ever', async () => {
      const response = await fetch(`${address}/assets/app-1.js`, { headers: { 'accept-encoding': 'gzip, br' } })
      assert.equal(await response.text(), SCRIPT)
      const { headers } = response
      assert.deepEqual(
        [headers.get('content-encoding'), headers.get('cache-control'), headers.get('content-type')],
        ['br', 'public, max-age=31536000, immutable', 'text/javascript; charset=utf-8'],
      )
      const plain = await fetch(`${address}/assets/app-1.js`, { headers: { 'accept-encoding': 'br;q=0, identity' } })
      assert.deepEqual([plain.headers.get('content-encoding'), await plain.text()], [null, SCRIPT])
    })

    test('once, to a browser that has it', async () => {
      const etag = (await fetch(address)).headers.get('etag') ?? ''
      // As browsers ask: `fetch` of Node adds `Cache-Control: no-cache`, which asks for all of it.
      const response = await undici.request(address, { headers: { 'if-none-match': etag } })
      assert.deepEqual([response.statusCode, await response.body.text()], [304, ''])
    })

    test('and nothing beside it', async () => {
      for (const path of ['/assets/none.js', '/assets/..%2f..%2fpackage.json', '/nothing', '/receiver']) {
        const response = await fetch(`${address}${path}`)
        assert.deepEqual(
          [response.status, ((await response.json()) as { code: string }).code],
          [404, 'unknown_path'],
          path,
        )
      }
    })

    test('but its metrics only to those who have a key', async () => {
      assert.equal((await fetch(`${address}/metrics`)).status, 401)
    })
  })

  describe('passes on', () => {
    test('a request as it is, with the key of the browser, and the answer with links that lead back here', async () => {
      const headers = { authorization: 'Bearer k', 'content-type': 'application/x-ndjson' }
      const response = await fetch(`${address}/storage/stats/running?a=%2F&b=c`, {
        method: 'POST',
        headers,
        body: '{}\n{}\n',
      })
      assert.deepEqual(await response.json(), { got: 6 })
      assert.equal(response.headers.get('link'), '</storage/stats/running?cursor=x>; rel="next"')
      const { method, url, body, headers: passed } = seen.at(-1) as Seen
      assert.deepEqual([method, url, body], ['POST', '/stats/running?a=%2F&b=c', '{}\n{}\n'])
      assert.equal(passed.authorization, 'Bearer k')
      assert.equal(passed.host, new URL(addresses.storage as string).host)
    })

    test('an answer that is an error', async () => {
      assert.equal((await fetch(`${address}/storage/refused`)).status, 400)
    })

    test('a body while it is still being sent', async () => {
      const sending = request(`${address}/storage/slow`, { method: 'POST' })
      const answered = once(sending, 'response')
      for (let n = 0; n < 20; n++) sending.write('x'.repeat(100_000))
      sending.end()
      const [response] = await answered
      let text = ''
      for await (const chunk of response) text += chunk
      assert.deepEqual(JSON.parse(text), { got: 2_000_000 })
    })

    test('events of a stream one by one, and its end in both directions', async () => {
      const stop = new AbortController()
      const response = await fetch(`${address}/storage/stream`, { signal: stop.signal })
      const reader = (response.body as ReadableStream<Uint8Array>).getReader()
      const [upstream] = streams as [ServerResponse]
      for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
        upstream.write(event)
        assert.equal(new TextDecoder().decode((await reader.read()).value), event)
      }
      const closed = once(upstream, 'close')
      stop.abort()
      await closed
    })

    test('the end of an answer that was cut off as one that was cut off', async () => {
      await assert.rejects(async () => (await fetch(`${address}/storage/cut`)).text())
    })

    test('to a browser that follows a stream an event and when to come back, where the service is unavailable', async () => {
      const headers = { accept: 'text/event-stream' }
      const response = await fetch(`${address}/anomaly/tail`, { headers })
      assert.equal(response.status, 200)
      assert.match(await response.text(), /^retry: \d+\nevent: unavailable\ndata: \{.*"code":"service_un.*\}\n\n$/)
    })

    test('nothing to a service that is unavailable, or that nobody knows, and says so', async () => {
      const ask = async (path: string) => {
        const response = await fetch(`${address}${path}`)
        const { code } = (await response.json()) as { code: string }
        return [response.status, code, response.headers.get('retry-after')]
      }
      assert.deepEqual(await ask('/processing/stats'), [503, 'service_unknown', '1'])
      assert.deepEqual(await ask('/anomaly/anomalies'), [503, 'service_unknown', '1'])
      addresses.processing = 'http://127.0.0.1:9'
      assert.deepEqual(await ask('/processing/stats'), [503, 'service_unavailable', '1'])
      addresses.processing = addresses.storage as string
      assert.equal((await fetch(`${address}/processing/stats`)).status, 200, 'it is found when it has come')
    })
  })
})

describe('A dashboard whose page is not built', () => {
  test('says how it is built', async () => {
    const config = readConfig({})
    const telemetry = createTelemetry('dashboard', 'silent')
    const pageFolder = join(tmpdir(), 'runify-no-such-folder')
    await using server = await createDashboard({ addressOf: () => undefined, config, telemetry, pageFolder })
    const response = await fetch(await server.listen(0, 'DASHBOARD_PORT'))
    const { code, detail } = (await response.json()) as { code: string; detail: string }
    assert.deepEqual([response.status, code], [503, 'page_unavailable'])
    assert.match(detail, /npm run dashboard:build/)
  })
})
