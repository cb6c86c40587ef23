import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { inChunks, type Seen, type Started, startDashboard, startRecorder } from './proxied.ts'
import { type RawAnswer, RawConnection } from './raw-connection.ts'

/** What a service behind the dashboard gets: the request that was sent, whole and alone, in its own framing. */

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
const BODY = 'DELETE /all HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n'
const SECOND = 'GET /storage/second HTTP/1.1\r\nhost: x\r\n\r\n'

describe('Through the dashboard', () => {
  const opened = new AsyncDisposableStack()
  let service: Started & { seen: Seen[] }
  let dashboard: Started
  before(async () => {
    service = opened.use(await startRecorder())
    dashboard = opened.use(await startDashboard(`${service.address}/base/`))
  })
  beforeEach(() => void service.seen.splice(0))
  after(() => opened.disposeAsync())

  /** On one connection, with another request behind it. */
  async function ask(method: string, head: string, body: string): Promise<{ answer: RawAnswer; first: Seen }> {
    using connection = await RawConnection.open(dashboard.address)
    connection.send(`${method} /storage/first?a=%2F HTTP/1.1\r\n${head}\r\n${body}${SECOND}`)
    const answer = await connection.answer(method)
    const second = await connection.answer()
    assert.deepEqual([answer?.status, second?.status], [200, 200])
    // The server begins both at once, so either may come first.
    const first = service.seen.find(({ url }) => url === '/base/first?a=%2F')
    const rest = service.seen.filter((one) => one !== first).map(({ method, url, body }) => [method, url, body])
    assert.deepEqual(rest, [['GET', '/base/second', '']])
    assert.ok(first !== undefined, 'the first did not come')
    return { answer: answer as RawAnswer, first }
  }

  for (const method of METHODS) {
    test(`a body of ${method} stays one`, async () => {
      for (const [head, body] of [
        [`host: x\r\ncontent-length: ${BODY.length}\r\n`, BODY],
        [`host: x\r\nContent-Length: ${BODY.length}\r\nConnection: Content-Length\r\n`, BODY],
        ['host: x\r\ntransfer-encoding: chunked\r\n', inChunks(BODY)],
        ['host: x\r\nTransfer-Encoding: CHUNKED\r\nConnection: close-not, Transfer-Encoding\r\n', inChunks(BODY)],
        ['host: x\r\ntransfer-encoding:\tchunked \r\n', inChunks(BODY)],
        ['host: x\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n', inChunks(BODY).replace(/\r\n$/, 'x: y\r\n\r\n')],
      ] as const) {
        service.seen.splice(0)
        const { first } = await ask(method, head, body)
        assert.deepEqual([first.method, first.url, first.body], [method, '/base/first?a=%2F', BODY], head)
        const framed = ['content-length', 'transfer-encoding'].filter((name) => first.headers[name] !== undefined)
        assert.equal(framed.length, 1, `${head} came as ${JSON.stringify(first.raw)}`)
      }
    })

    test(`no body of ${method} stays none`, async () => {
      for (const [head, body] of [
        ['host: x\r\n', ''],
        ['host: x\r\ncontent-length: 0\r\n', ''],
        ['host: x\r\ntransfer-encoding: chunked\r\n', '0\r\n\r\n'],
      ] as const) {
        service.seen.splice(0)
        const { first } = await ask(method, head, body)
        assert.deepEqual([first.method, first.body], [method, ''], head)
      }
    })
  }

  test('Connection takes away what it names, and neither host nor framing', async () => {
    const named = ['authorization', 'x-forwarded-for', 'x-a', 'cookie', 'accept', 'idempotency-key']
    const kept = 'x-b: 2\r\nx-b: 3\r\nAuthorization: Bearer k\r\n'
    const sent = named.map((name) => `${name}: 1\r\n`).join('')
    const all = [
      ...named,
      'host',
      'content-length',
      'transfer-encoding',
      'connection',
      'keep-alive',
      'x-none',
      '',
    ].join(' ,')
    const length = `host: x\r\ncontent-length: ${BODY.length}\r\n`
    const { first } = await ask('POST', `${length}${sent}connection: ${all}\r\nx-b: 2\r\nx-b: 3\r\n`, BODY)
    for (const name of named) assert.equal(first.headers[name.toLowerCase()], undefined, name)
    assert.deepEqual(
      [first.body, first.headers.host, first.headers['x-b']],
      [BODY, new URL(service.address).host, '2, 3'],
    )
    service.seen.splice(0)
    const { first: other } = await ask('POST', `${length}${kept}connection: x-other\r\n`, BODY)
    assert.equal(other.headers.authorization, 'Bearer k')
  })

  test('what is about the connection ends there', async () => {
    const about = {
      'keep-alive': 'timeout=5',
      'proxy-authorization': 'Basic x',
      'proxy-connection': 'keep-alive',
      te: 'trailers',
      trailer: 'x',
      'http2-settings': 'x',
      expect: '100-continue',
    }
    const sent = Object.entries(about).map(([name, value]) => `${name}: ${value}\r\n`)
    const head = `host: x\r\ncontent-length: ${BODY.length}\r\nconnection: http2-settings\r\n${sent.join('')}`
    const { first } = await ask('POST', head, BODY)
    for (const name of Object.keys(about)) assert.equal(first.headers[name], undefined, name)
    assert.deepEqual([first.body, first.headers.connection], [BODY, 'keep-alive'])
  })

  test('a client that waits to be told to go on is told', async () => {
    using connection = await RawConnection.open(dashboard.address)
    connection.send(
      `POST /storage/x HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: ${BODY.length}\r\n\r\n`,
    )
    await connection.interim()
    connection.send(BODY)
    assert.equal((await connection.answer())?.status, 200)
    assert.equal(service.seen[0]?.body, BODY)
  })

  test('an upgrade is not made, and the connection ends with its answer', async () => {
    for (const [protocol, head, body] of [
      ['websocket', 'GET', ''],
      ['h2c', 'GET', `content-length: ${BODY.length}\r\n\r\n${BODY}`],
      ['TLS/1.0', 'OPTIONS', `transfer-encoding: chunked\r\n\r\n${inChunks(BODY)}`],
    ] as const) {
      service.seen.splice(0)
      using connection = await RawConnection.open(dashboard.address)
      const upgrade = `host: x\r\nconnection: Upgrade\r\nupgrade: ${protocol}\r\n`
      // Together with the head of another request, of which the body, that looks like a third, comes later.
      connection.send(
        `${head} /storage/x HTTP/1.1\r\n${upgrade}${body || '\r\n'}PUT / HTTP/1.1\r\ncontent-length: 99\r\n\r\n`,
      )
      const first = await connection.answer()
      connection.send(SECOND)
      assert.deepEqual([first?.status, first?.headers.connection], [200, 'close'])
      assert.deepEqual(await connection.answersToEnd(), [])
      const came = service.seen.map(({ headers, body }) => [headers.upgrade, headers.connection === 'upgrade', body])
      assert.deepEqual(came, [[undefined, false, body && BODY]])
    }
    using connection = await RawConnection.open(dashboard.address)
    connection.send('CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n')
    assert.deepEqual(await connection.answersToEnd(), [])
  })

  test('bytes of headers are kept as they are', async () => {
    const { first } = await ask('GET', 'host: x\r\nx-a: \xe9\xff "{}"\r\nx-empty:\r\n', '')
    assert.deepEqual([first.headers['x-a'], first.headers['x-empty']], ['\xe9\xff "{}"', ''])
  })
})
