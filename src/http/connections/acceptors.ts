import { once } from 'node:events'
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net'
import { StartError } from '../../errors.ts'
import { acceptorsMax } from './connection-bounds.ts'

/** What `listen` fails with when it is the address that is wrong, not the port. */
const HOST_ERRORS = ['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL', 'ENOTFOUND', 'EAI_AGAIN']

/**
 * Several sockets may have the port, also those of several workers: without `exclusive`, the process that started them
 * would accept for them, and what it hands to a worker that dies just then never gets an answer.
 */
export const SHARED = { reusePort: true, exclusive: true }

/**
 * More sockets that listen where a server does, whose connections it is given. libuv accepts one connection of a
 * listening socket in a turn of the event loop (since 1.45). Under load a turn serves a thousand requests and takes 50
 * ms, and who connects then would wait for seconds. The kernel shares the connections out between the sockets.
 */
export class Acceptors implements AsyncDisposable {
  readonly #accept: (socket: Socket) => void
  readonly #servers: Server[] = []

  constructor(accept: (socket: Socket) => void) {
    this.#accept = accept
  }

  /** Where the kernel does it. */
  static readonly possible = process.platform === 'linux'

  /** Once the server itself listens, with `SHARED`. */
  async listen(at: ListenOptions): Promise<void> {
    for (let n = 1; n < acceptorsMax(); n++) {
      // As the servers of node:http are made.
      const server = createServer({ allowHalfOpen: true, noDelay: true }, this.#accept)
      this.#servers.push(server)
      await listen(server, { ...at, ...SHARED })
    }
  }

  /** Resolves when the last of their connections is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#servers.map((server) => new Promise((resolve) => server.close(resolve)))
    await Promise.all(closed)
  }
}

/**
 * Resolves to the port, which is another one where 0 is asked for; rejects when something else listens there: with
 * `reusePort`, two Runifys would share the port without a word.
 */
export async function findPort(at: { host: string; port: number }): Promise<number> {
  const probe = createServer()
  await listen(probe, at)
  const { port } = probe.address() as { port: number }
  await once(probe.close(), 'close')
  return port
}

/** Why a port could not be had, named by the variable that a person must change. */
export function listenError(cause: unknown, at: { host: string; port: number }, portVariable: string): StartError {
  const { code } = cause as { code?: string }
  const why = code === 'EADDRINUSE' ? 'something else listens there' : String(cause)
  const named = HOST_ERRORS.includes(code ?? '') ? 'RUNIFY_HOST' : portVariable
  return new StartError(`${named}: cannot listen on ${at.host}:${at.port}: ${why}`, { cause })
}

async function listen(server: Server, at: ListenOptions): Promise<void> {
  const listening = once(server, 'listening')
  server.listen(at)
  await listening
}
