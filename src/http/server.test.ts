import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { text as textOf } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiKey } from '../config.ts'
import { Failure, StartError } from '../errors.ts'
import { createTelemetry } from '../telemetry.ts'
import { PROBLEMS, type ProblemCode } from './problem.ts'
import { HttpServer, type ServerOptions } from './server.ts'

const READ_KEY = 'read-me-9f3b1c'
const WRITE_KEY = 'write-me-77ad20'
const KEYS: ApiKey[] = [
  { name: 'watch', scope: 'write', sha256: hash('sha256', WRITE_KEY, 'hex') },
  { name: 'page', scope: 'read', sha256: hash('sha256', READ_KEY, 'hex') },
]
const SECRET = 'hunter2 in select * from users'

describe('Too much at once', () => {
  test('a request that is one too many is told so at once, and others are taken when one is done', async () => {
    await using server = await startServer({ requestsMax: 2 })
    const small = { 'content-length': '0' }
    const held = [server.ask('POST', '/held', small), server.ask('POST', '/held', small)]
    await untilTrue(() => server.held.length === 2)
    for (const headers of [small, { 'transfer-encoding': 'chunked' }]) {
      const refused = await server.ask('POST', '/held', headers)
      assert.equal(refused.status, 503)
      assert.equal(refused.headers['retry-after'], '1')
      assert.equal(refused.problem().code, 'overloaded')
    }
    assert.equal((await server.ask('GET', '/things')).status, 200, 'those that ask are not those that are too many')
    for (const release of server.held) release()
    for (const answer of held) assert.equal((await answer).status, 201)
    assert.equal((await server.ask('POST', '/things', small)).status, 201)
    const metrics = (await server.ask('GET', '/metrics')).body
    assert.match(metrics, /runify_http_request_seconds_count\{[^}]*status="503"[^}]*\} 2/)
  })

  test('of more requests than there is time for in a turn of the event loop, the rest is told so, and the next ones are taken', async () => {
    await using server = await startServer()
    const { hostname, port } = new URL(server.address)
    const sent = 3000
    const socket = connect(Number(port), hostname)
    socket.write('POST /long HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n'.repeat(sent))
    let received = ''
    const statuses = () => [...received.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)
    socket.setEncoding('latin1').on('data', (text) => (received += text))
    await untilTrue(() => statuses().length === sent)
    socket.destroy()
    const taken = statuses().filter((status) => status === '201').length
    const refused = statuses().filter((status) => status === '503').length
    assert.equal(taken + refused, sent)
    assert.ok(taken >= 256 && refused > 0, `${taken} taken, ${refused} refused`)
    assert.equal((await server.ask('POST', '/things', { 'content-length': '0' })).status, 201)
  })

  test('a problem has its length, so that it is one packet', async () => {
    await using server = await startServer()
    const { status, headers, body } = await server.ask('POST', '/broken', { 'content-length': '0' })
    assert.equal(status, 500)
    assert.equal(headers['content-length'], String(Buffer.byteLength(body)))
  })

  test('a connection that is one too many is answered and closed, and others are taken when one is gone', async () => {
    await using server = await startServer({ connectionsMax: 2 })
    const { hostname, port } = new URL(server.address)
    await using idle = new AsyncDisposableStack()
    for (let n = 0; n < 2; n++) {
      const socket = idle.adopt(connect(Number(port), hostname), (it) => void it.destroy())
      await once(socket, 'connect')
    }
    await untilTrue(async () => (await server.ask('GET', '/things').catch(() => undefined))?.status === 503)
    const refused = await server.ask('POST', '/things', { 'content-length': '0' })
    assert.equal(refused.status, 503)
    assert.equal(refused.headers.connection, 'close')
    assert.equal(refused.headers['retry-after'], '1')
    assert.equal(refused.problem().code, 'overloaded')
    await idle.disposeAsync()
    await untilTrue(async () => (await server.ask('GET', '/things')).status === 200)
    assert.match((await server.ask('GET', '/metrics')).body, /runify_connections_refused_total\S* [1-9]/)
  })
})

describe('With API keys', () => {
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

  test('a path that reads takes a key of scope read, and one that writes a key of scope write', async () => {
    await using server = await startServer({ keys: KEYS })
    assert.equal((await server.ask('GET', '/things', bearer(READ_KEY))).status, 200)
    assert.equal((await server.ask('HEAD', '/things', bearer(READ_KEY))).status, 200)
    assert.equal((await server.ask('POST', '/things', bearer(WRITE_KEY))).status, 201)
    assert.equal((await server.ask('POST', '/things?', bearer(WRITE_KEY))).status, 201)
    assert.equal((await server.ask('GET', '/metrics', bearer(READ_KEY))).status, 200)
    assert.equal((await server.ask('GET', '/things', { authorization: `bearer   ${READ_KEY}` })).status, 200)
  })

  test('what operates takes a key of scope operate, which reads too and sends nothing', async () => {
    const keys: ApiKey[] = [...KEYS, { name: 'me', scope: 'operate', sha256: hash('sha256', 'operator', 'hex') }]
    await using server = await startServer({ keys })
    const cases = [
      ['DELETE', '/gone', 'operator', 200],
      ['POST', '/orders', 'operator', 415],
      ['GET', '/things', 'operator', 200],
      ['POST', '/things', 'operator', 403],
      ['DELETE', '/gone', WRITE_KEY, 403],
      ['DELETE', '/%67one', WRITE_KEY, 403],
      ['POST', '/orders', WRITE_KEY, 403],
      ['POST', '/%6frders', WRITE_KEY, 403],
      ['DELETE', '/gone', READ_KEY, 403],
      ['POST', '/orders', READ_KEY, 403],
    ] as const
    for (const [method, path, key, status] of cases) {
      const answer = await server.ask(method, path, bearer(key))
      assert.equal(answer.status, status, `${method} ${path} ${key}: ${answer.body}`)
      if (status === 403) assert.equal(JSON.parse(answer.body).code, 'key_scope')
    }
    const { detail } = JSON.parse((await server.ask('DELETE', '/gone', bearer(WRITE_KEY))).body)
    assert.equal(detail, 'this needs a key of scope operate, and watch has write')
  })

  test('one key may be listed for both scopes, in either order', async () => {
    const sha256 = hash('sha256', READ_KEY, 'hex')
    const both: ApiKey[] = [
      { name: 'a', scope: 'read', sha256 },
      { name: 'b', scope: 'write', sha256 },
    ]
    for (const keys of [both, [...both].reverse()]) {
      await using server = await startServer({ keys })
      assert.equal((await server.ask('GET', '/things', bearer(READ_KEY))).status, 200)
      assert.equal((await server.ask('POST', '/things', bearer(READ_KEY))).status, 201)
    }
  })

  test('no key, no known key, and a key of the other scope are told apart', async () => {
    await using server = await startServer({ keys: KEYS })
    const cases: [method: string, path: string, headers: Record<string, string>, status: number, code: ProblemCode][] =
      [
        ['GET', '/things', {}, 401, 'key_required'],
        ['HEAD', '/metrics', {}, 401, 'key_required'],
        ['POST', '/things', {}, 401, 'key_required'],
        ['POST', '/things?x=1', {}, 401, 'key_required'],
        ['POST', '/%74hings', {}, 401, 'key_required'],
        ['PUT', '/things', {}, 401, 'key_required'],
        ['GET', '/no-such-path', {}, 401, 'key_required'],
        ['GET', '/things', bearer('another'), 401, 'key_unknown'],
        ['POST', '/things', bearer('another'), 401, 'key_unknown'],
        ['GET', '/things', bearer(KEYS[1]?.sha256 as string), 401, 'key_unknown'],
        ['GET', '/things', { authorization: `Basic ${READ_KEY}` }, 401, 'key_unknown'],
        ['GET', '/things', { authorization: READ_KEY }, 401, 'key_unknown'],
        ['GET', '/things', { authorization: '' }, 401, 'key_unknown'],
        ['GET', '/things', { 'x-api-key': READ_KEY }, 401, 'key_required'],
        ['GET', `/things?key=${READ_KEY}`, {}, 401, 'key_required'],
        ['GET', '/things', bearer(WRITE_KEY), 403, 'key_scope'],
        ['POST', '/things', bearer(READ_KEY), 403, 'key_scope'],
        ['DELETE', '/things', bearer(READ_KEY), 403, 'key_scope'],
      ]
    for (const [method, path, headers, status, code] of cases) {
      const answer = await server.ask(method, path, headers)
      const what = `${method} ${path} ${JSON.stringify(headers)}`
      assert.equal(answer.status, status, what)
      assert.equal(answer.headers['www-authenticate'] !== undefined, status === 401, what)
      if (method !== 'HEAD') assert.equal(answer.problem().code, code, what)
    }
  })

  test('health, API page and OpenAPI are open, and open nothing else', async () => {
    await using server = await startServer({ keys: KEYS })
    for (const path of [
      '/health/live',
      '/health/ready',
      '/docs',
      '/docs/',
      '/docs/static/swagger-ui.css',
      '/openapi.json',
    ]) {
      assert.equal((await server.ask('GET', path)).status, 200, path)
    }
    const roundabout = [
      '/docs/../things',
      '/health/../things',
      '/health/%2e%2e/things',
      '/openapi.json/../things',
      '/docs//things',
    ]
    for (const path of [
      ...roundabout,
      '//things',
      '/./things',
      '/docs?/../things',
      '/docs;/../things',
      '/docs%2f..%2fthings',
    ]) {
      const { body } = await server.ask('GET', path)
      assert.ok(!body.includes('a thing'), `${path}: ${body}`)
    }
  })

  test('no answer holds a key or its hash', async () => {
    await using server = await startServer({ keys: KEYS })
    const paths = [
      '/things',
      '/no-such-path',
      '/broken',
      '/metrics',
      '/openapi.json',
      '/docs',
      '/docs/static/swagger-initializer.js',
    ]
    for (const path of paths) {
      for (const method of ['GET', 'POST']) {
        for (const key of [READ_KEY, WRITE_KEY, `${READ_KEY}x`]) {
          const { body, headers } = await server.ask(method, path, bearer(key))
          const answer = `${JSON.stringify(headers)} ${body}`
          for (const secret of [READ_KEY, WRITE_KEY, ...KEYS.map(({ sha256 }) => sha256)]) {
            assert.ok(!answer.includes(secret), `${method} ${path} shows ${secret}`)
          }
        }
      }
    }
  })

  test('that are not configured, nobody is asked for one', async () => {
    await using server = await startServer()
    assert.equal((await server.ask('GET', '/things')).status, 200)
    assert.equal((await server.ask('POST', '/things', bearer('whatever'))).status, 201)
  })
})

describe('Health', () => {
  test('is 503 with the reason while a dependency is unavailable, and 200 again when it is back; alive all the time', async () => {
    let away: Error | undefined
    await using server = await startServer({
      checkReady: async () => {
        if (away !== undefined) throw away
      },
    })
    const ready = async () => (await server.ask('GET', '/health/ready')).status
    assert.equal(await ready(), 200)

    const codes = [
      'store_unavailable',
      'log_unavailable',
      'statistics_unavailable',
      'position_conflict',
      'closed',
    ] as const
    for (const code of codes) {
      away = new Failure(code, `gone because of ${code}`, { retryable: true, cause: new Error(SECRET) })
      const answer = await server.ask('GET', '/health/ready')
      assert.deepEqual([answer.status, answer.headers['retry-after']], [503, '1'])
      assert.equal(answer.problem().detail, `gone because of ${code}`)
      assert.ok(!answer.body.includes(SECRET))
      assert.equal((await server.ask('HEAD', '/health/ready')).status, 503)
      assert.deepEqual(JSON.parse((await server.ask('GET', '/health/live')).body), { status: 'live' })
    }
    away = undefined
    assert.deepEqual(JSON.parse((await server.ask('GET', '/health/ready')).body), { status: 'ready' })
  })
})

describe('An error that nobody foresaw', () => {
  test('is 500 without a word of it, and is told to the operator whole', async () => {
    const told: unknown[] = []
    await using server = await startServer({ requestFailed: (error) => told.push((error as Error).message) })
    for (const [method, path] of [
      ['GET', '/broken'],
      ['POST', '/broken'],
      ['POST', '/broken?'],
    ] as const) {
      const answer = await server.ask(method, path)
      assert.equal(answer.status, 500)
      assert.deepEqual(answer.problem(), {
        type: 'urn:runify:problem:internal',
        title: PROBLEMS.internal.title,
        status: 500,
        detail: 'this is our fault and has been logged',
        code: 'internal',
      })
      assert.ok(!`${JSON.stringify(answer.headers)} ${answer.body}`.includes('hunter2'))
    }
    assert.deepEqual(told, [SECRET, SECRET, SECRET])
  })

  test('is a problem of its own kind where it is a failure that we know', async () => {
    await using server = await startServer()
    const answer = await server.ask('GET', '/failing')
    assert.deepEqual([answer.status, answer.problem().code], [503, 'log_unavailable'])
    assert.ok(!answer.body.includes('hunter2'), 'the cause is for the log only')
  })
})

describe('GET /metrics', () => {
  test('is the Prometheus text format, with a type for every sample and the requests in it', async () => {
    await using server = await startServer()
    await server.ask('GET', '/things?x=1')
    await server.ask('GET', '/no/such/path')
    await server.ask('POST', '/things')
    const { status, headers, body } = await server.ask('GET', '/metrics')
    assert.equal(status, 200)
    assert.match(headers['content-type'] as string, /^text\/plain; version=0\.0\.4/)
    const samples = parseMetrics(body)
    const requests = (method: string, route: string, code: string) =>
      samples.find(
        ({ name, labels }) =>
          name === 'runify_http_request_seconds_count' &&
          labels.method === method &&
          labels.route === route &&
          labels.status === code,
      )?.value
    assert.equal(requests('GET', '/things', '400'), 1)
    assert.equal(requests('POST', '/things', '201'), 1)
    assert.equal(requests('GET', 'none', '404'), 1, 'a path that is not there is no label of its own')
    assert.ok(samples.every(({ labels }) => labels.service === 'receiver'))
  })
})

describe('GET /openapi.json', () => {
  test('is an OpenAPI 3.1 document of the paths that there are', async () => {
    await using server = await startServer()
    const { status, headers, body } = await server.ask('GET', '/openapi.json')
    assert.deepEqual([status, headers['content-type']], [200, 'application/json; charset=utf-8'])
    const document = JSON.parse(body) as Record<string, unknown> & { paths: Record<string, Record<string, Operation>> }
    assert.equal(document.openapi, '3.1.0')
    assert.deepEqual(Object.keys(document.info as object).sort(), ['description', 'license', 'title', 'version'])
    const own = ['/broken', '/failing', '/gone', '/held', '/long', '/orders', '/things', '/things/{id}']
    const paths = [...own, '/health/live', '/health/ready', '/metrics'].sort()
    assert.deepEqual(Object.keys(document.paths).sort(), paths)
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        const what = `${method} ${path}`
        assert.ok(['get', 'post', 'delete'].includes(method), what)
        assert.ok(operation.summary.length > 0, what)
        assert.ok(Object.keys(operation.responses).length > 0, what)
        assert.ok(
          Object.keys(operation.responses).every((code) => /^[1-5]\d\d$/.test(code)),
          what,
        )
        const inPath = [...path.matchAll(/{(\w+)}/g)].map(([, name]) => name)
        const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path')
        assert.deepEqual(
          declared.map(({ name, required }) => [name, required]),
          inPath.map((name) => [name, true]),
          what,
        )
      }
    }
    for (const [, reference] of body.matchAll(/"\$ref":"([^"]+)"/g)) {
      const target = (reference as string)
        .slice(2)
        .split('/')
        .reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], document)
      assert.ok(target !== undefined, `${reference} leads nowhere`)
    }
  })
})

describe('GET /docs', () => {
  test('is a page that needs no other host', async () => {
    await using server = await startServer()
    const page = await server.ask('GET', '/docs')
    assert.deepEqual([page.status, page.headers['content-type']], [200, 'text/html; charset=utf-8'])
    assert.doesNotMatch(page.body, /\/\/|@import/, 'no address with a host')
    const parts = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path as string)
    assert.ok(parts.some((path) => path.endsWith('.js')) && parts.some((path) => path.endsWith('.css')))
    for (const path of parts) {
      const part = await server.ask('GET', path)
      assert.equal(part.status, 200, path)
      if (path.endsWith('.css')) assert.doesNotMatch(part.body, /@import|url\(\s*['"]?(?:https?:)?\/\//, path)
    }
    const start = await server.ask('GET', '/docs/static/swagger-initializer.js')
    assert.match(start.body, /validatorUrl: null/, 'no other host is asked to validate')
    assert.deepEqual(
      JSON.parse((await server.ask('GET', '/docs/json')).body),
      JSON.parse((await server.ask('GET', '/openapi.json')).body),
    )
  })

  test('lets the browser load from this host only, by HTTP where it is served by HTTP', async () => {
    await using server = await startServer()
    const policy = (await server.ask('GET', '/docs')).headers['content-security-policy'] as string
    const sources = policy.split(';').flatMap((directive) => directive.trim().split(/\s+/).slice(1))
    for (const source of sources) assert.ok(["'self'", "'none'", 'data:'].includes(source), `${source} in ${policy}`)
    assert.doesNotMatch(policy, /upgrade-insecure-requests/)
  })
})

describe('Listening', () => {
  test('on a port that is taken is refused in a line that names its variable', async () => {
    await using server = await startServer()
    const port = Number(new URL(server.address).port)
    await using other = await HttpServer.create(options())
    await assert.rejects(other.listen(port, 'STORAGE_PORT'), (error) => {
      assert.ok(error instanceof StartError)
      assert.equal(error.message, `STORAGE_PORT: cannot listen on 127.0.0.1:${port}: something else listens there`)
      return true
    })
  })

  test('on an address that this machine does not have is refused in a line that names RUNIFY_HOST', async () => {
    // For documentation (RFC 5737): no machine has it.
    const host = '192.0.2.1'
    await using server = await HttpServer.create(options({ host }))
    await assert.rejects(server.listen(0, 'STORAGE_PORT'), (error) => {
      assert.ok(error instanceof StartError)
      assert.match(error.message, /^RUNIFY_HOST: cannot listen on 192\.0\.2\.1:0: [^\n]+$/)
      return true
    })
  })
})

type Operation = {
  summary: string
  responses: Record<string, unknown>
  parameters?: { in: string; name: string; required?: boolean }[]
}

type Choice = {
  keys?: ApiKey[]
  host?: string
  checkReady?: () => Promise<void>
  requestFailed?: (error: unknown) => void
  requestsMax?: number
  connectionsMax?: number
}

function options({
  keys = [],
  host = '127.0.0.1',
  checkReady = async () => {},
  requestFailed,
  requestsMax = 2048,
  connectionsMax = 8000,
}: Choice = {}): ServerOptions {
  const telemetry = createTelemetry('receiver', 'silent')
  return {
    service: 'receiver',
    description: 'A service for tests.',
    config: { host, apiKeys: keys, requestsMax, connectionsMax, answerBytesMax: 32 * 1024 * 1024 },
    telemetry: { ...telemetry, ...(requestFailed && { requestFailed }) },
    checkReady,
  }
}

/** A server with a few paths of each kind. */
async function startServer(choice: Choice = {}) {
  const server = await HttpServer.create(options(choice))
  const thing = { type: 'object', properties: { name: { type: 'string' } } }
  server.get('/things', { summary: 'Things', response: thing, handler: () => ({ name: 'a thing' }) })
  server.get('/things/:id', {
    summary: 'A thing',
    parameters: { id: { kind: 'uuid', required: true, description: 'Which' } },
    response: thing,
    problems: ['not_found'],
    handler: ({ values }) => ({ name: values.id }),
  })
  const fail = (error: Error) => () => {
    throw error
  }
  const away = new Failure('log_unavailable', 'the log is unavailable', { retryable: true, cause: new Error(SECRET) })
  server.get('/broken', { summary: 'Broken', response: thing, handler: fail(new Error(SECRET)) })
  server.get('/failing', { summary: 'Failing', response: thing, problems: ['log_unavailable'], handler: fail(away) })
  const post = {
    description: 'Takes a thing',
    bodies: { 'application/json': thing },
    responses: { 201: { description: 'Taken', schema: thing } },
    problems: ['invalid_json'] as const,
  }
  server.post('/things', {
    ...post,
    summary: 'Take',
    handler: async () => ({ status: 201, body: '{"name":"a thing"}' }),
  })
  server.post('/long', {
    ...post,
    summary: 'Take long',
    handler: async () => {
      for (const began = performance.now(); performance.now() - began < 1; );
      return { status: 201, body: '{}' }
    },
  })
  const held: (() => void)[] = []
  server.post('/held', {
    ...post,
    summary: 'Hold',
    handler: async (request) => {
      request.resume()
      await new Promise<void>((resolve) => held.push(resolve))
      return { status: 201, body: '{}' }
    },
  })
  server.post('/broken', { ...post, summary: 'Break', handler: async () => fail(new Error(SECRET))() })
  server.delete('/gone', { summary: 'Remove', response: thing, handler: () => ({}) })
  server.command('/orders', {
    summary: 'Order',
    description: 'Does a thing',
    body: thing,
    check: (value) => value,
    response: thing,
    problems: [],
    handler: () => ({}),
  })
  const address = await server.listen(0, 'RECEIVER_PORT')
  return {
    address,
    /** The requests that `/held` holds. */
    held,
    ask: (method: string, path: string, headers: Record<string, string> = {}) => ask(address, method, path, headers),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

async function untilTrue(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(5)
}

/** One request, with the path as it is: `fetch` would tidy it up. */
async function ask(address: string, method: string, path: string, headers: Record<string, string>) {
  const { hostname, port } = new URL(address)
  const request = httpRequest({ hostname, port, method, path, headers, agent: false }).end()
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const body = await textOf(response)
  assert.equal(response.headers['x-content-type-options'], 'nosniff', `${method} ${path}`)
  const problem = () => {
    assert.equal(response.headers['content-type'], 'application/problem+json; charset=utf-8')
    return JSON.parse(body) as { code: string; detail: string }
  }
  return { status: response.statusCode as number, headers: response.headers, body, problem }
}

// The client library writes NaN as Nan; Prometheus, which is written in Go, takes it in any case.
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (Na[nN]|[+-]Inf|-?\d+(?:\.\d+)?(?:e[+-]\d+)?)$/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)/y

/** The text format 0.0.4, strictly. */
function parseMetrics(text: string): { name: string; labels: Record<string, string>; value: number }[] {
  assert.ok(text.endsWith('\n'))
  const types = new Map<string, string>()
  const samples = []
  for (const line of text.split('\n').filter((line) => line !== '')) {
    const described = /^# (?:HELP (\S+) .+|TYPE (\S+) (counter|gauge|histogram|summary|untyped))$/.exec(line)
    if (described !== null) {
      if (described[2] !== undefined) types.set(described[2], described[3] as string)
      continue
    }
    const [, name, inBraces = '', value] = SAMPLE.exec(line) ?? assert.fail(`not a sample: ${line}`)
    const family = (name as string).replace(/_(?:bucket|sum|count)$/, '')
    assert.ok(types.has(name as string) || types.has(family), `${name} has no type`)
    const labels: Record<string, string> = {}
    for (LABEL.lastIndex = 0; LABEL.lastIndex < inBraces.length; ) {
      const [, label, content] = LABEL.exec(inBraces) ?? assert.fail(`not labels: ${line}`)
      labels[label as string] = content as string
    }
    samples.push({ name: name as string, labels, value: Number((value as string).replace('Inf', 'Infinity')) })
  }
  return samples
}
