import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { createTelemetry } from '../../telemetry.ts'
import { BodyBudget, readBody } from '../body.ts'
import type { ProblemCode } from '../problem.ts'
import { HttpServer } from '../server.ts'

const BODY_BYTES = 60_000_000
const CHUNK = Buffer.alloc(1_000_000, ' ')
const JSON_TYPE = 'content-type: application/json\r\n'

describe('A client that writes 60 MB before it reads sees', () => {
  const cases: [what: string, path: string, headers: string, status: number, code: ProblemCode][] = [
    ['that its body is too large', '/things', JSON_TYPE, 413, 'body_too_large'],
    ['that an order is too large', '/orders', JSON_TYPE, 413, 'body_too_large'],
    ['that its media type is not known', '/orders', 'content-type: text/plain\r\n', 415, 'unsupported_media_type'],
    ['that its encoding is not known', '/things', `${JSON_TYPE}content-encoding: br\r\n`, 415, 'unsupported_encoding'],
    ['that there is no such path', '/nothing', JSON_TYPE, 404, 'unknown_path'],
    ['that it needs a key', '/things', `${JSON_TYPE}authorization: Bearer x\r\n`, 401, 'key_unknown'],
    ['that its headers are too large', '/things', `x: ${'x'.repeat(20_000)}\r\n`, 431, 'header_too_large'],
    ['that too much is under way', '/things', JSON_TYPE, 503, 'overloaded'],
    ['that there are too many connections', '/things', JSON_TYPE, 503, 'overloaded'],
  ]
  for (const [what, path, headers, status, code] of cases) {
    test(`${what}: ${status}`, async () => {
      const limits = {
        requestsMax: what.includes('under way') ? 0 : 2048,
        connectionsMax: what.includes('connections') ? 0 : 8000,
      }
      await using server = await startServer(limits, code.startsWith('key') ? 'a key' : undefined)
      const answer = await writeThenRead(server.address, `POST ${path} HTTP/1.1\r\nhost: x\r\n${headers}`)
      assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `))
      assert.match(answer, new RegExp(`"code":"${code}"`))
      assert.match(answer, /\r\nconnection: close\r\n/i)
    })
  }
})

async function startServer(limits: { requestsMax: number; connectionsMax: number }, key: string | undefined) {
  const apiKeys = key === undefined ? [] : [{ name: 'a', scope: 'write' as const, sha256: hash('sha256', key) }]
  const server = await HttpServer.create({
    service: 'receiver',
    description: 'A service for tests.',
    config: { host: '127.0.0.1', apiKeys, answerBytesMax: 1024 * 1024, ...limits },
    telemetry: createTelemetry('receiver', 'silent'),
    checkReady: async () => {},
  })
  const budget = new BodyBudget(BODY_BYTES)
  const said = { summary: 'Take', description: 'Takes a thing', problems: [] }
  server.post('/things', {
    ...said,
    bodies: {},
    responses: {},
    handler: async (request) => {
      await readBody(request, { bytesMax: 1000, budget })
      return { status: 201, body: '{}' }
    },
  })
  server.command('/orders', { ...said, body: {}, check: (value) => value, response: {}, handler: () => ({}) })
  const address = await server.listen(0, 'RECEIVER_PORT')
  return { address, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

/** What comes back on a connection where nothing is read before all is written, as Python's http.client does. */
async function writeThenRead(address: string, head: string): Promise<string> {
  const { hostname, port } = new URL(address)
  const socket = connect(Number(port), hostname).pause()
  await once(socket, 'connect')
  socket.write(`${head}content-length: ${BODY_BYTES}\r\n\r\n`)
  for (let sent = 0; sent < BODY_BYTES; sent += CHUNK.length) {
    await new Promise<void>((resolve, reject) => socket.write(CHUNK, (error) => (error ? reject(error) : resolve())))
  }
  let answer = ''
  for await (const chunk of socket.setEncoding('latin1')) answer += chunk
  return answer
}
