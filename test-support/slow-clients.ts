import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export type SlowClientsOptions = {
  path: string
  /** JSON, in ASCII. */
  body: string
  /** Connections that send nothing. */
  idle: number
  /** Connections that send a request one byte a second. */
  byteASecond: number
  /** Connections that send half of a body, and no more. */
  halfSent: number
}

/** A kernel keeps only so many connections that nobody has accepted yet. */
const CONNECT_AT_ONCE = 200

/** Clients that hold connections, and do little or nothing with them. */
export class SlowClients implements AsyncDisposable {
  readonly count: number
  readonly #sockets: readonly Socket[]
  readonly #halfSent: readonly Socket[]
  readonly #dripping: NodeJS.Timeout

  private constructor(sockets: readonly Socket[], request: string, { byteASecond, halfSent }: SlowClientsOptions) {
    this.count = sockets.length
    this.#sockets = sockets
    this.#halfSent = sockets.slice(0, halfSent)
    for (const socket of this.#halfSent) socket.write(request.slice(0, -Math.floor(request.length / 10)))
    const drips = sockets.slice(halfSent, halfSent + byteASecond)
    let sent = 0
    this.#dripping = setInterval(() => {
      for (const socket of drips) if (socket.writable && sent < request.length) socket.write(request[sent] as string)
      sent++
    }, 1000)
  }

  /** Resolves when all are connected. */
  static async connect(address: string, options: SlowClientsOptions): Promise<SlowClients> {
    const { path, body, idle, byteASecond, halfSent } = options
    const { hostname, port, host } = new URL(address)
    const sockets: Socket[] = []
    while (sockets.length < idle + byteASecond + halfSent) {
      const some = Array.from({ length: CONNECT_AT_ONCE }, () => connect(Number(port), hostname))
      await Promise.all(some.map((socket) => once(socket, 'connect')))
      // They are closed by the other side sooner or later; who wants to know looks for it.
      for (const socket of some) socket.on('error', () => {})
      sockets.push(...some)
    }
    const head = `POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\n`
    return new SlowClients(sockets, `${head}content-length: ${body.length}\r\n\r\n${body}`, options)
  }

  /** The status that the first of those with half a body is answered with. */
  async answerOfHalfSent(): Promise<number> {
    const [socket] = this.#halfSent as [Socket]
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    return Number(chunk.toString('latin1', 9, 12))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#dripping)
    const open = this.#sockets.filter((socket) => !socket.closed)
    for (const socket of open) socket.destroy()
    await Promise.all(open.map((socket) => (socket.closed ? undefined : once(socket, 'close'))))
  }
}
