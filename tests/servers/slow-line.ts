import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { Transform } from 'node:stream'

export type SlowLine = AsyncDisposable & {
  /** How long each piece of an answer takes from now on, milliseconds. */
  delayMs: number
}

/** A TCP line from `from` to `to` on this machine, which can be made slow. */
export async function openSlowLine({ from, to }: { from: number; to: number }): Promise<SlowLine> {
  const sockets = new Set<Socket>()
  const line = { delayMs: 0 }
  const server = createServer((client) => {
    const upstream = connect({ port: to, host: '127.0.0.1' })
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => other.destroy()).on('close', () => other.destroy())
    }
    client.pipe(upstream)
    upstream.pipe(delayed(line)).pipe(client)
  })
  await once(server.listen(from, '127.0.0.1'), 'listening')
  return Object.assign(line, {
    [Symbol.asyncDispose]: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  })
}

function delayed(line: { delayMs: number }): Transform {
  return new Transform({
    transform(chunk, _, done) {
      if (line.delayMs === 0) done(null, chunk)
      else setTimeout(done, line.delayMs, null, chunk)
    },
  })
}
