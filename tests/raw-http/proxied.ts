import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createRawServer, type Server, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { readConfig } from '../../src/config.ts'
import { createDashboard } from '../../src/services/dashboard/dashboard.ts'
import type { Deadlines } from '../../src/services/dashboard/service-proxy.ts'
import { createTelemetry } from '../../src/telemetry.ts'

/** A dashboard on a free port whose `/storage/` leads to a service of the test. */

export type Started = AsyncDisposable & { address: string }
export type Seen = { method: string; url: string; headers: IncomingMessage['headers']; raw: string[]; body: string }

export async function startDashboard(storage: string, deadlines?: Deadlines): Promise<Started> {
  const server = await createDashboard({
    addressOf: (service) => (service === 'storage' ? storage : undefined),
    config: readConfig({}),
    telemetry: createTelemetry('dashboard', 'silent'),
    ...(deadlines && { deadlines }),
  })
  const address = await server.listen(0, 'DASHBOARD_PORT')
  return { address, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

/** A service that remembers what it was asked, once all of it was there, and answers with its number. */
export async function startRecorder(): Promise<Started & { seen: Seen[] }> {
  const seen: Seen[] = []
  const record = async (request: IncomingMessage, response: ServerResponse) => {
    const { method = '', url = '', headers, rawHeaders: raw } = request
    const body = await text(request)
    seen.push({ method, url, headers, raw, body })
    response.setHeader('content-type', 'text/plain').end(`${seen.length}`)
  }
  // A client that goes away in the middle of its body is nothing to record.
  const server = createServer((request, response) => void record(request, response).catch(() => response.destroy()))
  return { seen, ...(await listen(server)) }
}

/** A service that is nothing but its connections. */
export async function startRaw(serve: (socket: Socket) => void): Promise<Started> {
  const server = createRawServer((socket) => {
    socket.on('error', () => {})
    serve(socket)
  })
  return listen(server)
}

export async function listen(server: Server, scheme = 'http'): Promise<Started> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((closed) => server.close(closed))
    },
  }
}

/** Bytes as one chunk, and the last one. */
export function inChunks(body: string): string {
  return `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
}
