import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { within } from '../../test-support/harness.ts'

export type RawAnswer = { status: number; headers: Record<string, string>; body: string }

const ANSWER_MS_MAX = 20_000

/** A connection on which bytes go as they are, and what comes back is told apart into answers. */
export class RawConnection implements Disposable {
  readonly #socket: Socket
  #received: Buffer = Buffer.alloc(0)
  #closed = false
  #changed = Promise.withResolvers<void>()

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#tell()
    })
    // Whoever refuses a request may reset the connection: that is an end like any other.
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#closed = true
      this.#tell()
    })
  }

  static async open(address: string): Promise<RawConnection> {
    const { hostname, port } = new URL(address)
    const socket = connect(Number(port), hostname.replace(/^\[|\]$/g, ''))
    await once(socket, 'connect')
    return new RawConnection(socket)
  }

  /** A string is latin1: each character is one byte. */
  send(bytes: string | Uint8Array): void {
    this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** The head of an interim answer, as `100 Continue`, and nothing else. */
  async interim(): Promise<void> {
    while (!this.#received.includes('\r\n\r\n')) {
      await within(ANSWER_MS_MAX, this.#changed.promise, 'an interim answer')
    }
    assert.match(this.#received.toString('latin1'), /^HTTP\/1\.1 1\d\d [^\r]*\r\n\r\n$/)
  }

  /** The next answer to a request of `method`; undefined: the connection was closed without one. */
  async answer(method = 'GET', msMax = ANSWER_MS_MAX): Promise<RawAnswer | undefined> {
    const look = async () => {
      for (;;) {
        const found = takeAnswer(this.#received, { isHead: method === 'HEAD', closed: this.#closed })
        if (found !== undefined) {
          this.#received = found.rest
          return found.answer
        }
        if (this.#closed) return undefined
        await this.#changed.promise
      }
    }
    return within(msMax, look(), 'an answer')
  }

  /** All answers until the connection closes. */
  async answersToEnd(method = 'GET', msMax = ANSWER_MS_MAX): Promise<RawAnswer[]> {
    const answers: RawAnswer[] = []
    for (;;) {
      const answer = await this.answer(method, msMax)
      if (answer === undefined) return answers
      answers.push(answer)
    }
  }

  #tell(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  /** Sends no more; what is on its way back still comes. */
  end(): void {
    this.#socket.end()
  }

  /** Goes away as a client that is killed. */
  reset(): void {
    this.#socket.resetAndDestroy()
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }
}

/** The first answer in what was received, by RFC 9112, 6.3, without interim ones; undefined while it is not all there. */
export function takeAnswer(
  received: Buffer,
  { isHead, closed }: { isHead: boolean; closed: boolean },
): { answer: RawAnswer; rest: Buffer } | undefined {
  const end = received.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const [line = '', ...lines] = received.toString('latin1', 0, end).split('\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1])
  if (Number.isNaN(status)) throw new Error(`this is no answer: ${JSON.stringify(line.slice(0, 200))}`)
  const headers = Object.fromEntries(
    lines.map((header) => {
      const colon = header.indexOf(':')
      return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()]
    }),
  )
  const behind = received.subarray(end + 4)
  if (status < 200) return takeAnswer(behind, { isHead, closed })
  const body = isHead || status === 204 || status === 304 ? { bytes: 0, text: '' } : takeBody(behind, headers, closed)
  if (body === undefined) return undefined
  return { answer: { status, headers, body: body.text }, rest: behind.subarray(body.bytes) }
}

type Body = { bytes: number; text: string }

function takeBody(behind: Buffer, headers: Record<string, string>, closed: boolean): Body | undefined {
  if (headers['transfer-encoding'] === 'chunked') return takeChunks(behind)
  const length = headers['content-length']
  if (length === undefined) return closed ? { bytes: behind.byteLength, text: behind.toString() } : undefined
  const bytes = Number(length)
  return behind.byteLength < bytes ? undefined : { bytes, text: behind.toString('utf8', 0, bytes) }
}

function takeChunks(behind: Buffer): Body | undefined {
  const chunks: Buffer[] = []
  for (let at = 0; ; ) {
    const lineEnd = behind.indexOf('\r\n', at)
    if (lineEnd === -1) return undefined
    const bytes = Number.parseInt(behind.toString('latin1', at, lineEnd), 16)
    const begin = lineEnd + 2
    if (behind.byteLength < begin + bytes + 2) return undefined
    if (bytes === 0) return { bytes: begin + 2, text: Buffer.concat(chunks).toString() }
    chunks.push(behind.subarray(begin, begin + bytes))
    at = begin + bytes + 2
  }
}
