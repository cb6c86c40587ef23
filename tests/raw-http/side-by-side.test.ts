import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { inChunks, listen, startDashboard } from './proxied.ts'
import { RawConnection } from './raw-connection.ts'

/** Two visitors at the same time, on the same few connections to the service: each gets the answers to what it has asked. */

const REQUESTS = 5000
/** Begun and not yet answered, of one visitor. */
const AT_ONCE = 4
const SMUGGLED = 'GET /other HTTP/1.1\r\nhost: x\r\nx-visitor: nobody\r\n\r\n'

/** What a visitor sends, the n-th: all methods, with bodies and without, framed in all ways, and what would be a request. */
const KINDS: ((at: string) => { method: string; bytes: string; body: string })[] = [
  (at) => ({ method: 'GET', bytes: `GET ${at}\r\n`, body: '' }),
  (at) => ({
    method: 'GET',
    bytes: `GET ${at}transfer-encoding: chunked\r\n\r\n${inChunks(SMUGGLED)}`,
    body: SMUGGLED,
  }),
  (at) => ({
    method: 'DELETE',
    bytes: `DELETE ${at}${length(SMUGGLED)}connection: content-length\r\n\r\n${SMUGGLED}`,
    body: SMUGGLED,
  }),
  (at) => ({ method: 'POST', bytes: `POST ${at}${length(at)}\r\n${at}`, body: at }),
  (at) => ({ method: 'PUT', bytes: `PUT ${at}transfer-encoding: chunked\r\n\r\n${inChunks(at)}`, body: at }),
  (at) => ({ method: 'OPTIONS', bytes: `OPTIONS ${at}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`, body: '' }),
  (at) => ({ method: 'HEAD', bytes: `HEAD ${at}\r\n`, body: '' }),
]

describe('Two visitors side by side', () => {
  test(`get their own answers to ${2 * REQUESTS} requests`, async () => {
    const server = createServer(async (request, response) => {
      const body = await text(request)
      const { method, url, headers } = request
      // So that answers do not come in the order of the requests.
      if (Number(url?.split('/').at(-1)) % 3 === 0) await new Promise((next) => setImmediate(next))
      response.setHeader('x-of', `${headers['x-visitor']} ${url}`)
      response.end(JSON.stringify([headers['x-visitor'], method, url, body]))
    })
    await using service = await listen(server)
    await using dashboard = await startDashboard(service.address)
    const visit = async (visitor: string, part: number) => {
      using connection = await RawConnection.open(dashboard.address)
      for (let n = part; n < REQUESTS; n += AT_ONCE) {
        const kind = KINDS[n % KINDS.length] as (typeof KINDS)[number]
        const path = `/${visitor}/${n}`
        const { method, bytes, body } = kind(`/storage${path} HTTP/1.1\r\nhost: x\r\nx-visitor: ${visitor}\r\n`)
        connection.send(bytes)
        const answer = await connection.answer(method)
        assert.deepEqual([answer?.status, answer?.headers['x-of']], [200, `${visitor} ${path}`])
        if (method !== 'HEAD') assert.deepEqual(JSON.parse(answer?.body ?? ''), [visitor, method, path, body])
      }
    }
    const parts = Array.from({ length: AT_ONCE }, (_, part) => part)
    await Promise.all(['ann', 'bob'].flatMap((visitor) => parts.map((part) => visit(visitor, part))))
  })
})

function length(body: string): string {
  return `content-length: ${body.length}\r\n`
}
