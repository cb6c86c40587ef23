import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { type Json, waitFor } from '../../test-support/harness.ts'
import { listen, startDashboard, startRaw, startRecorder } from './proxied.ts'
import { RawConnection } from './raw-connection.ts'

/** What ends before it should, on either side of the dashboard, ends on the other, and nothing of it is left for the next. */

const GET = 'GET /storage/x HTTP/1.1\r\nhost: x\r\n\r\n'
const POST_HEAD = 'POST /storage/x HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

describe('An answer that comes before the body is all there', () => {
  for (const [what, bytes] of [
    ['is passed on', 'HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\nearly'],
    ['in chunks is passed on', 'HTTP/1.1 400 Bad Request\r\ntransfer-encoding: chunked\r\n\r\n5\r\nearly\r\n0\r\n\r\n'],
    ['and ends the connection is passed on', 'HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\nearly'],
  ] as const) {
    test(`${what}, and the rest of the body is no request`, async () => {
      const connections: { socket: Socket; text: string }[] = []
      await using service = await startRaw((socket) => {
        const connection = { socket, text: '' }
        connections.push(connection)
        socket.setEncoding('latin1').on('data', (text: string) => {
          const isFirst = connection.text === ''
          connection.text += text
          if (text.startsWith('GET')) socket.write(OK)
          else if (isFirst) socket.write(bytes, () => void (bytes.includes('close') && socket.end()))
        })
      })
      await using dashboard = await startDashboard(service.address)
      using client = await RawConnection.open(dashboard.address)
      const rest = GET.padEnd(1_000_000 - 4, 'x')
      client.send(`${POST_HEAD}body`)
      const answer = await client.answer()
      assert.deepEqual([answer?.status, answer?.body], [400, 'early'])
      client.send(rest)
      client.send(GET)
      assert.deepEqual((await client.answer())?.body, 'ok', 'the connection goes on behind the body')
      const gets = connections.filter(({ text }) => text.startsWith('GET'))
      assert.equal(gets.length, 1, 'the next request is on a connection of its own')
      assert.equal(gets[0]?.text.match(/ HTTP\/1\.1/g)?.length, 1)
    })
  }
})

describe('A client that goes away', () => {
  for (const [what, bytes] of [
    ['before it has an answer', GET],
    ['in the middle of its body', `${POST_HEAD}half`],
    ['in the middle of a chunk', 'POST /storage/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf'],
  ] as const) {
    test(`${what} ends the work of the service`, async () => {
      const sockets: Socket[] = []
      await using service = await startRaw((socket) => void sockets.push(socket.resume()))
      await using dashboard = await startDashboard(service.address)
      using client = await RawConnection.open(dashboard.address)
      client.send(bytes)
      await waitFor(async () => sockets[0] !== undefined && sockets[0].bytesRead > 0)
      client.reset()
      await waitFor(async () => sockets[0]?.destroyed, 5000)
      assert.equal(sockets.length, 1)
    })
  }

  test('leaves nothing of its body to the next', async () => {
    await using service = await startRecorder()
    await using dashboard = await startDashboard(service.address)
    for (let n = 0; n < 20; n++) {
      using client = await RawConnection.open(dashboard.address)
      client.send(`${POST_HEAD}GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n`)
      client.reset()
      using next = await RawConnection.open(dashboard.address)
      next.send(GET)
      assert.equal((await next.answer())?.status, 200)
    }
    assert.deepEqual([...new Set(service.seen.map(({ method, url }) => `${method} ${url}`))], ['GET /x'])
    assert.equal(service.seen.length, 20)
  })
})

describe('A service', () => {
  test('that says more than it was asked for is not heard by the next visitor', async () => {
    const stray = 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstray'
    for (const late of [false, true]) {
      let connections = 0
      await using service = await startRaw((socket) => {
        connections++
        socket.on('data', () => {
          socket.write(OK + (late ? '' : stray))
          if (late) setImmediate(() => socket.write(stray))
        })
      })
      await using dashboard = await startDashboard(service.address)
      for (let n = 0; n < 10; n++) {
        using visitor = await RawConnection.open(dashboard.address)
        visitor.send(GET)
        assert.equal((await visitor.answer())?.body, 'ok')
      }
      assert.ok(connections > 1, 'the connection with the stray answer was used again')
    }
  })

  for (const [what, bytes] of [
    ['is cut off', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf'],
    ['is cut off in a chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf'],
    ['has no last chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
  ] as const) {
    test(`whose answer ${what} looks like that to the client`, async () => {
      await using service = await startRaw((socket) => socket.once('data', () => socket.end(bytes)))
      await using dashboard = await startDashboard(service.address)
      using client = await RawConnection.open(dashboard.address)
      client.send(GET)
      assert.equal(await client.answer(), undefined)
    })
  }

  for (const [what, bytes, why] of [
    ['closes without an answer', '', 'the connection was cut off'],
    ['does not speak HTTP', 'SSH-2.0-x\r\n', 'not valid HTTP'],
    [
      'frames its answer twice',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      'not valid HTTP',
    ],
    ['splits its answer', 'HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 0\r\n\r\n', 'not valid HTTP'],
    ['has headers without an end', `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(40_000)}`, 'not valid HTTP'],
  ] as const) {
    test(`that ${what} is unavailable`, async () => {
      await using service = await startRaw((socket) => socket.once('data', () => socket.end(bytes)))
      await using dashboard = await startDashboard(service.address)
      using client = await RawConnection.open(dashboard.address)
      client.send(GET)
      const problem = await readProblem(client)
      assert.deepEqual([problem.status, problem.code, problem.retry], [503, 'service_unavailable', '1'])
      assert.ok(String(problem.detail).includes(why), String(problem.detail))
    })
  }

  test('that says nothing is unavailable after the deadline, which whoever moves puts off', async () => {
    const deadlines = { connectMs: 2000, silenceMs: 400 }
    const silent = createServer((request) => void request.resume())
    await using service = await listen(silent)
    await using dashboard = await startDashboard(service.address, deadlines)
    using client = await RawConnection.open(dashboard.address)
    const began = performance.now()
    client.send(GET)
    const { status, code, detail } = await readProblem(client)
    assert.deepEqual([status, code], [503, 'service_unavailable'])
    assert.match(String(detail), /does not answer/)
    assert.ok(performance.now() - began >= 400)

    await using recorder = await startRecorder()
    await using patient = await startDashboard(recorder.address, deadlines)
    using slow = await RawConnection.open(patient.address)
    slow.send('POST /storage/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n')
    for (const until = performance.now() + 1200; performance.now() < until; ) {
      slow.send('1\r\nx\r\n')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    slow.send('0\r\n\r\n')
    assert.equal((await slow.answer())?.status, 200)
  })

  test('that takes no connection is unavailable after the deadline', async () => {
    await using full = await startFull()
    await using dashboard = await startDashboard(full.address, { connectMs: 500, silenceMs: 20_000 })
    using client = await RawConnection.open(dashboard.address)
    client.send(GET)
    const { status, code, detail } = await readProblem(client)
    assert.deepEqual([status, code], [503, 'service_unavailable'])
    assert.match(String(detail), /takes no connection/)
  })
})

async function readProblem(client: RawConnection): Promise<Json> {
  const answer = await client.answer()
  assert.ok(answer !== undefined, 'no answer')
  assert.match(String(answer.headers['content-type']), /^application\/problem\+json/)
  return { ...(JSON.parse(answer.body) as Json), retry: answer.headers['retry-after'] }
}

/** A port whose queue of connections is full: whoever accepts them is stopped. */
async function startFull(): Promise<AsyncDisposable & { address: string }> {
  const code = `
    const { parentPort } = require('node:worker_threads')
    const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      parentPort.postMessage(server.address().port)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    })`
  const worker = new Worker(code, { eval: true })
  const [port] = (await once(worker, 'message')) as [number]
  const address = `http://127.0.0.1:${port}`
  const waiting: RawConnection[] = []
  // The kernel takes one more than its queue is long.
  for (let n = 0; n < 2; n++) waiting.push(await RawConnection.open(address))
  return {
    address,
    [Symbol.asyncDispose]: async () => {
      for (const connection of waiting) connection[Symbol.dispose]()
      await worker.terminate()
    },
  }
}
