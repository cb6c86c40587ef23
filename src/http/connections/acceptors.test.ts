import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Acceptors, findPort } from './acceptors.ts'

const HOST = '127.0.0.1'
const CLIENTS = 300
/** A socket that listens alone needs as many as there are clients. */
const TURNS_MAX = 100

describe('Acceptors', () => {
  test('take many connections in a turn of the event loop, and hold the port until all of them are closed', async () => {
    const accepted: Socket[] = []
    const server = createServer((socket) => accepted.push(socket))
    const acceptors = new Acceptors((socket) => void server.emit('connection', socket))
    const port = await findPort({ host: HOST, port: 0 })
    await once(server.listen({ host: HOST, port, reusePort: true }), 'listening')
    await acceptors.listen({ host: HOST, port })

    const clients = Array.from({ length: CLIENTS }, () => connect(port, HOST))
    let turns = 0
    for (; accepted.length < CLIENTS && turns < CLIENTS; turns++) {
      busy(2)
      await turn()
    }
    assert.equal(accepted.length, CLIENTS)
    assert.ok(turns <= TURNS_MAX, `${turns} turns`)

    const closed = Promise.all([acceptors[Symbol.asyncDispose](), once(server.close(), 'close')])
    const first = await Promise.race([closed.then(() => 'closed'), turn('open')])
    assert.equal(first, 'open')
    for (const socket of [...clients, ...accepted]) socket.destroy()
    await closed
  })

  test('find no port where others listen, though these would share it', async () => {
    const other = createServer()
    await once(other.listen({ host: HOST, port: 0, reusePort: true }), 'listening')
    const { port } = other.address() as { port: number }
    await assert.rejects(findPort({ host: HOST, port }), { code: 'EADDRINUSE' })
    await once(other.close(), 'close')
  })
})

/** As the work on many requests is. */
function busy(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}
