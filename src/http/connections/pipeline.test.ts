import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createTelemetry } from '../../telemetry.ts'
import { HttpServer } from '../server.ts'

const GET = (n: number) => `GET /numbers/${n} HTTP/1.1\r\nhost: x\r\n\r\n`
const POST = 'POST /things HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}'

describe('Requests that come before the answers to earlier ones', () => {
  test('are begun one after the other, and answered in their order', async () => {
    await using server = await startServer()
    const answers = await exchange(server.address, Array.from({ length: 3000 }, (_, n) => GET(n)).join(''), 3000)
    assert.deepEqual(
      answers,
      Array.from({ length: 3000 }, (_, n) => String(n)),
    )
    assert.equal(server.mostAtOnce(), 1)
  })

  test('wait for their turn on each connection for itself', async () => {
    await using server = await startServer()
    const text = Array.from({ length: 20 }, (_, n) => GET(n)).join('')
    await Promise.all(Array.from({ length: 5 }, () => exchange(server.address, text, 20)))
    assert.equal(server.mostAtOnce(), 5)
  })

  test('may be posts between others: each is answered in its place, with its body', async () => {
    await using server = await startServer()
    const text = Array.from({ length: 200 }, (_, n) => (n % 3 === 0 ? GET(n) : POST)).join('')
    const answers = await exchange(server.address, text, 200)
    assert.deepEqual(
      answers,
      Array.from({ length: 200 }, (_, n) => (n % 3 === 0 ? String(n) : '{"got":"{}"}')),
    )
  })

  test('may be posts alone, which go side by side', async () => {
    await using server = await startServer()
    const answers = await exchange(server.address, POST.repeat(100), 100)
    assert.deepEqual(answers, Array(100).fill('{"got":"{}"}'))
    assert.ok(server.mostPostsAtOnce() > 1)
  })

  test('are forgotten with their connection', async () => {
    await using server = await startServer()
    const { hostname, port } = new URL(server.address)
    for (let n = 0; n < 20; n++) {
      const socket = connect(Number(port), hostname)
      socket.write(GET(1).repeat(1000))
      await once(socket, 'data')
      socket.destroy()
    }
    assert.deepEqual(await exchange(server.address, GET(1).repeat(2), 2), ['1', '1'])
  })
})

async function startServer() {
  const server = await HttpServer.create({
    service: 'receiver',
    description: 'A service for tests.',
    config: { host: '127.0.0.1', apiKeys: [], requestsMax: 2048, connectionsMax: 100, answerBytesMax: 1024 * 1024 },
    telemetry: createTelemetry('receiver', 'silent'),
    checkReady: async () => {},
  })
  const numbers = { atOnce: 0, most: 0 }
  const posts = { atOnce: 0, most: 0 }
  const count = async (of: typeof numbers) => {
    of.most = Math.max(of.most, ++of.atOnce)
    await turn()
    of.atOnce--
  }
  server.get('/numbers/:n', {
    summary: 'A number',
    parameters: { n: { kind: 'integer', min: 0, max: 10_000, required: true, description: 'Which' } },
    response: { type: 'integer' },
    handler: async ({ values, reply }) => {
      await count(numbers)
      return reply.send(String(values.n))
    },
  })
  server.post('/things', {
    summary: 'Take',
    description: 'Takes a thing',
    bodies: {},
    responses: {},
    problems: [],
    handler: async (request) => {
      let got = ''
      for await (const chunk of request) got += chunk
      await count(posts)
      return { status: 201, body: JSON.stringify({ got }) }
    },
  })
  const address = await server.listen(0, 'RECEIVER_PORT')
  return {
    address,
    mostAtOnce: () => numbers.most,
    mostPostsAtOnce: () => posts.most,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** Sends all at once on one connection; the bodies of the answers, in the order in which they came. */
async function exchange(address: string, text: string, count: number): Promise<string[]> {
  const { hostname, port } = new URL(address)
  const socket = connect(Number(port), hostname)
  socket.write(text)
  let received = ''
  for await (const chunk of socket.setEncoding('latin1')) {
    received += chunk
    if (received.split('HTTP/1.1 ').length > count && received.endsWith(lastBody(received))) break
  }
  socket.destroy()
  return received
    .split('HTTP/1.1 ')
    .slice(1)
    .map((answer) => answer.split('\r\n\r\n')[1] as string)
}

/** What the last answer is to end with, as far as its head has come. */
function lastBody(received: string): string {
  const answer = received.slice(received.lastIndexOf('HTTP/1.1 '))
  const [head, body] = answer.split('\r\n\r\n') as [string, string | undefined]
  const length = Number(/content-length: (\d+)/i.exec(head)?.[1])
  return body !== undefined && body.length === length ? body : '\0'
}
