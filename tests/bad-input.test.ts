import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { SERVICES } from '../src/config.ts'
import { CATALOGUE } from '../src/events/catalogue.ts'
import { getJson, type Json, post, type Runify, settled, startInProcess, waitFor } from '../test-support/harness.ts'
import { BAD_ADDRESSES } from './bad-input/addresses.ts'
import { checkProblem, send, sendRaw } from './bad-input/bad-case.ts'
import { BAD_BODIES } from './bad-input/bodies.ts'
import { BAD_ORDERS } from './bad-input/orders.ts'
import { BAD_REQUESTS, RAW_REQUESTS } from './bad-input/requests.ts'

/** Whatever comes in, it is refused with a reason, nothing of it is kept, and the services go on. */

const RUN = CATALOGUE.running_stats.example
const SONG = CATALOGUE.music_info.example
const ASTRAL = '𝄞'
const JSON_HEADER = 'content-type: application/json'

describe('bad input', () => {
  let runify: Runify
  /** A body that comes too slowly takes its time; the other tests run meanwhile. */
  let slow: ReturnType<typeof sendRaw>
  before(async () => {
    runify = await startInProcess()
    slow = sendRaw(runify.addresses.receiver, postHead(`${JSON_HEADER}\r\ncontent-length: 9`, '{'))
  })
  after(() => runify?.[Symbol.asyncDispose]())

  for (const [what, cases] of Object.entries({ ...BAD_BODIES, ...BAD_REQUESTS, ...BAD_ADDRESSES, ...BAD_ORDERS })) {
    describe(`refuses ${what}`, () => {
      for (const bad of cases) {
        test(bad.name, async () => {
          checkProblem(await send(runify.addresses[bad.service ?? 'receiver'], bad), bad)
        })
      }
    })
  }

  describe('refuses what is hardly HTTP', () => {
    for (const { name, service = 'receiver', bytes, ...expected } of RAW_REQUESTS) {
      test(name, async () => {
        checkProblem(await sendRaw(runify.addresses[service], bytes), expected)
      })
    }
  })

  describe('is not mixed up with the request that comes behind it', () => {
    const next = Buffer.from('GET /health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
    for (const [name, line, headers, body] of [
      ['an event', 'POST /stats/running', JSON_HEADER, '{}'],
      ['lines', 'POST /stats/running', 'content-type: application/x-ndjson', '{}\n'.repeat(100_000)],
      ['a body that is too large', 'POST /stats/running', JSON_HEADER, next.toString().repeat(100_000)],
      ['a body of no known type', 'POST /stats/running', 'content-type: text/http', next],
      [
        'what is no gzip',
        'POST /stats/running',
        `${JSON_HEADER}\r\ncontent-encoding: gzip`,
        next.toString().repeat(1000),
      ],
      ['a key that is not valid', 'POST /stats/running', `${JSON_HEADER}\r\nidempotency-key:`, next],
      ['an unknown path', 'POST /nowhere', JSON_HEADER, next],
      ['a parameter', 'POST /stats/running?a=b', JSON_HEADER, next],
      ['a wrong method', 'PUT /stats/running', JSON_HEADER, next],
      ['a path that cannot be read', 'POST /%zz', JSON_HEADER, next],
    ] as const) {
      test(name, async () => {
        const bytes = Buffer.from(body)
        const head = `${line} HTTP/1.1\r\nhost: a\r\n${headers}\r\ncontent-length: ${bytes.byteLength}\r\n\r\n`
        const { status, text } = await sendRaw(
          runify.addresses.receiver,
          Buffer.concat([Buffer.from(head), bytes, next]),
        )
        assert.ok(status >= 400 && status < 500, `${status}`)
        const behind = [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code]) => code)
        assert.deepEqual(behind, ['200'])
      })
    }
  })

  describe('outlives a client that goes away', () => {
    const tooMuch = gzipSync(Buffer.alloc(8 * 1024 * 1024))
    for (const [name, head, body] of [
      ['in the middle of an event', 'content-type: application/json', '{"user_id"'],
      ['in the middle of a line', 'content-type: application/x-ndjson', `${JSON.stringify({})}\n{"user`],
      ['in the middle of gzip', 'content-type: application/json\r\ncontent-encoding: gzip', tooMuch.subarray(0, 1000)],
      ['after gzip that was too much', 'content-type: application/json\r\ncontent-encoding: gzip', tooMuch],
      ['after what is no gzip', 'content-type: application/json\r\ncontent-encoding: gzip', '{"user_id"'],
      ['in the middle of zstd lines', 'content-type: application/x-ndjson\r\ncontent-encoding: zstd', '('],
    ] as const) {
      test(name, async () => {
        const { receiver } = runify.addresses
        const refused = await countRefused(receiver)
        const { hostname, port } = new URL(receiver)
        const socket = connect(Number(port), hostname)
        await once(socket, 'connect')
        await new Promise((done) => socket.write(postHead(`${head}\r\ncontent-length: 1000000`, body), done))
        socket.destroy()
        await waitFor(async () => (await countRefused(receiver)) === refused + 1)
      })
    }
  })

  test('refuses a body that comes too slowly', async () => {
    checkProblem(await slow, { status: 408, code: 'body_timeout' })
  })

  describe('leaves no trace', () => {
    test('in the log', async () => {
      const { num_running_stats, num_music_info } = await getJson(`${runify.addresses.analyzer}/stats`)
      assert.deepEqual([num_running_stats, num_music_info], [0, 0])
    })

    test('in Storage and Processing', async () => {
      const none = { num_running_stats: 0, num_music_info: 0 }
      assert.deepEqual(await getJson(`${runify.addresses.storage}/stats`), none)
      const { behind, last_updated } = await getJson(`${runify.addresses.processing}/stats`)
      assert.deepEqual([behind, last_updated], [0, null])
    })

    for (const service of SERVICES) {
      test(`as a fault of the ${service}`, async () => {
        const faults = (await requestsOf(runify.addresses[service])).filter(({ status }) => status.startsWith('5'))
        assert.deepEqual(faults, [])
      })
    }
  })

  describe('does not keep good input out', () => {
    const good: [name: string, path: string, event: Json][] = [
      ['512 astral characters', '/stats/music', { ...SONG, song_name: ASTRAL.repeat(512), artist: ASTRAL.repeat(512) }],
      ['128 astral characters', '/stats/music', { ...SONG, event_id: ASTRAL.repeat(128) }],
      ['text of all sorts', '/stats/music', { ...SONG, song_name: '\0 \n"\\/', artist: '\u202e\ufeff\uffff' }],
      ['the least', '/stats/running', { ...RUN, duration: 0, distance: 5e-324, timestamp: '0000-01-01T00:00:00.000Z' }],
      [
        'the most',
        '/stats/running',
        { ...RUN, duration: 31_536_000, distance: 1e7, timestamp: '9999-12-31T23:59:59.999Z' },
      ],
      ['a leap day', '/stats/running', { ...RUN, timestamp: '2024-02-29T23:59:59.999Z' }],
    ]
    for (const [name, path, event] of good) {
      test(name, async () => {
        const { status, body } = await post(`${runify.addresses.receiver}${path}`, event)
        assert.equal(status, 201, JSON.stringify(body))
        await settled(runify)
        const stored = await getJson(`${runify.addresses.storage}/events/${body.trace_id}`)
        const { type: _, trace_id: __, date_created: ___, partition: ____, offset: _____, ...fields } = stored
        assert.deepEqual(fields, event)
      })
    }

    for (const type of ['application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"', 'application/json;']) {
      test(`as ${type}`, async () => {
        const { status } = await post(`${runify.addresses.receiver}/stats/running`, RUN, { 'content-type': type })
        assert.equal(status, 201)
      })
    }
  })
})

function postHead(headers: string, body: string | Uint8Array): Buffer {
  return Buffer.concat([
    Buffer.from(`POST /stats/running HTTP/1.1\r\nhost: a\r\n${headers}\r\n\r\n`),
    Buffer.from(body),
  ])
}

/** How many requests a service has answered, by status, as it counts them itself. */
async function requestsOf(address: string): Promise<{ status: string; count: number }[]> {
  const metrics = await (await fetch(`${address}/metrics`)).text()
  const lines = metrics.matchAll(/^runify_http_request_seconds_count\{(.*)\} (\d+)$/gm)
  return [...lines].map(([, labels, count]) => ({
    status: /status="(\d+)"/.exec(labels as string)?.[1] ?? '',
    count: Number(count),
  }))
}

/** Without 408: the body that comes too slowly is told whenever it is. */
async function countRefused(address: string): Promise<number> {
  const refused = (await requestsOf(address)).filter(({ status }) => status.startsWith('4') && status !== '408')
  return refused.reduce((sum, { count }) => sum + count, 0)
}
