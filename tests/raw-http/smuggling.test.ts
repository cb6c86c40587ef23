import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { makeRun } from '../../test-support/events.ts'
import { getJson, type Json, post, type Runify, settled, startInProcess } from '../../test-support/harness.ts'
import { type RawAnswer, RawConnection } from './raw-connection.ts'

/**
 * What a visitor sends through the dashboard is one request to the service behind it, whatever its body holds: were it
 * passed on without its framing, the body would be the beginning of the next visitor's request.
 */

const USER = 'd290f1ee-6c54-4b01-90e6-d701748f0851'
/** Eats the first line of the request behind it. */
const DELETE = `DELETE /users/${USER} HTTP/1.1\r\nHost: x\r\nX-Ignore: `
const METHODS = ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'POST', 'PUT', 'PATCH']

/** Ways to send a body along, as a client that means harm writes them. */
const FRAMINGS: Record<string, (body: string) => string> = {
  'in chunks': (body) => `Transfer-Encoding: chunked\r\n\r\n${chunk(body)}`,
  'in chunks that Connection names': (body) =>
    `Transfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n\r\n${chunk(body)}`,
  'with a length': (body) => `Content-Length: ${body.length}\r\n\r\n${body}`,
  'with a length that Connection names': (body) =>
    `Connection: content-length\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  'with a length that Connection names among others': (body) =>
    `Connection: keep-alive, Content-Length , x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  'with a length and an upgrade': (body) =>
    `Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
}

describe('A request in the body of another', () => {
  let runify: Runify
  before(async () => {
    runify = await startInProcess()
    for (let n = 0; n < 3; n++) {
      const { status } = await post(`${runify.addresses.receiver}/stats/running`, makeRun(n, { user_id: USER }))
      assert.equal(status, 201)
    }
    await settled(runify)
  })
  after(() => runify?.[Symbol.asyncDispose]())

  for (const [how, frame] of Object.entries(FRAMINGS)) {
    for (const method of METHODS) {
      test(`${how}, of ${method}, is nobody's`, async () => {
        const head = `${method} /storage/health/live HTTP/1.1\r\nHost: a\r\n`
        const first = await ask(`${head}${frame(DELETE)}`, method)
        assert.ok(first.status < 500, `${first.status} ${first.body}`)
        for (let visitor = 0; visitor < 3; visitor++) {
          const { status, body } = await ask('GET /storage/stats HTTP/1.1\r\nHost: a\r\n\r\n')
          assert.deepEqual([status, JSON.parse(body)], [200, { num_running_stats: 3, num_music_info: 0 }])
        }
      })
    }
  }

  test('has erased nothing', async () => {
    const kept = (await getJson(`${runify.addresses.storage}/stats/running?user_id=${USER}`)) as unknown as Json[]
    assert.equal(kept.length, 3)
  })

  /** On a connection of its own, as each visitor has one. */
  async function ask(bytes: string, method = 'GET'): Promise<RawAnswer> {
    using connection = await RawConnection.open(runify.addresses.dashboard)
    connection.send(bytes)
    const answer = await connection.answer(method)
    assert.ok(answer !== undefined, 'no answer')
    return answer
  }
})

function chunk(body: string): string {
  return `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
}
