import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const CHUNK_BYTES = 256 * 1024
const HEAD_BYTES_MAX = 16 * 1024

type Answer = {
  /** From the writing of the request until its last byte came, milliseconds. */
  ms: number
  /** The status line and the header fields. */
  head: string
}

type Asked = { path: string; resolve: (head: string) => void; reject: (error: Error) => void }

/**
 * One reader with one connection, who asks and waits for the whole answer, which must be 200. All bytes go through one
 * buffer and nothing is kept of them: what is measured shares two cores with this process, whose collections of garbage
 * `fetch` and `node:http` would add to it.
 */
export class OneReader implements Disposable {
  readonly #address: URL
  readonly #buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  #socket: Socket | undefined
  #asked: Asked | undefined
  #head = ''
  /** Bytes of the body that have not come; undefined while the head has not come. */
  #left: number | undefined

  constructor(address: string) {
    this.#address = new URL(address)
  }

  /** @param path - with its query */
  async ask(path: string): Promise<Answer> {
    this.#socket ??= await this.#connect()
    const socket = this.#socket
    const started = performance.now()
    const head = await new Promise<string>((resolve, reject) => {
      this.#asked = { path, resolve, reject }
      socket.write(`GET ${path} HTTP/1.1\r\nhost: ${this.#address.host}\r\n\r\n`)
    })
    return { ms: performance.now() - started, head }
  }

  /** How long each of so many answers took, one after the other, milliseconds. */
  async times(path: string, count: number): Promise<number[]> {
    const times: number[] = []
    for (let asked = 0; asked < count; asked++) times.push((await this.ask(path)).ms)
    return times
  }

  [Symbol.dispose](): void {
    this.#socket?.destroy()
  }

  async #connect(): Promise<Socket> {
    const { hostname, port } = this.#address
    const callback = (bytes: number): boolean => {
      this.#take(this.#buffer.subarray(0, bytes))
      return true
    }
    const socket = connect({ host: hostname, port: Number(port), onread: { buffer: this.#buffer, callback } })
    await once(socket, 'connect')
    socket.setNoDelay()
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => {
      // One that nobody waits for was only idle for too long: the next request opens another.
      this.#socket = undefined
      this.#fail(new Error('the connection was closed'))
    })
    return socket
  }

  #take(bytes: Buffer): void {
    let body = bytes.length
    if (this.#left === undefined) {
      const before = this.#head.length
      this.#head += bytes.toString('latin1', 0, Math.min(bytes.length, HEAD_BYTES_MAX))
      const end = this.#head.indexOf('\r\n\r\n')
      if (end === -1 && this.#head.length < HEAD_BYTES_MAX) return
      this.#head = this.#head.slice(0, Math.max(end, 0))
      const length = /^content-length: (\d+)$/im.exec(this.#head)?.[1]
      if (!this.#head.startsWith('HTTP/1.1 200 ') || length === undefined) {
        this.#fail(new Error(`answered ${this.#head.split('\r\n')[0]}, of ${length ?? 'an unknown number of'} bytes`))
        this.#socket?.destroy()
        return
      }
      this.#left = Number(length)
      body -= end + 4 - before
    }
    this.#left -= body
    if (this.#left > 0) return
    const [asked, head] = [this.#asked, this.#head]
    this.#reset()
    asked?.resolve(head)
  }

  #fail(error: Error): void {
    const asked = this.#asked
    this.#reset()
    asked?.reject(new Error(`${this.#address.origin}${asked.path}: ${error.message}`))
  }

  #reset(): void {
    this.#asked = undefined
    this.#head = ''
    this.#left = undefined
  }
}
