import { on } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { constants, createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib'
import { HttpProblem } from './problem.ts'

/** How long one body that is held in memory may take to arrive; a stream only has to keep moving. */
const BODY_DEADLINE_MS = 10_000
const DISCARD_BYTES_MAX = 32 * 1024 * 1024
/** What to do about a body that is too large, where nobody says otherwise. */
const ADVICE = 'send more events than that as application/x-ndjson'
/** How long an answer waits for what a client still sends to be thrown away. */
const DISCARD_MS_MAX = 2000
/** A stream may unpack to so much in any case, and beyond that to so many times what was sent. Events come to 10 or 40. */
const EXPANDED_BYTES_MIN = 8 * 1024 * 1024
const EXPANSION_MAX = 200
/** What a decoder keeps of what it has unpacked; no encoder may ask for more (RFC 9659). */
const ZSTD_WINDOW_LOG_MAX = 23
/** Each may hold such a window for as long as its client likes. */
const ZSTD_STREAMS_MAX = 8

/** One timer for all bodies under way: one for each would cost more than reading most of them. */
class Deadlines {
  readonly #ms: number
  readonly #watched = new Set<{ since: number; owner: BodyBudget; expire: (stopping: boolean) => void }>()
  #timer: NodeJS.Timeout | undefined

  constructor(ms: number) {
    this.#ms = ms
  }

  /** Calls `expire` when the deadline passes before it is disposed; late by at most a tenth of it. */
  watch(owner: BodyBudget, expire: (stopping: boolean) => void): Disposable {
    const entry = { since: performance.now(), owner, expire }
    this.#watched.add(entry)
    this.#timer ??= setTimeout(() => this.#sweep(), this.#ms / 10)
    return { [Symbol.dispose]: () => void this.#watched.delete(entry) }
  }

  /** Ends all that `owner` waits for: a signal of its own for each body would cost more than reading most of them. */
  stop(owner: BodyBudget): void {
    for (const entry of this.#watched) {
      if (entry.owner !== owner) continue
      this.#watched.delete(entry)
      entry.expire(true)
    }
  }

  #sweep(): void {
    this.#timer = undefined
    const oldest = performance.now() - this.#ms
    for (const entry of this.#watched) {
      // In the order of their beginning: behind the first that is young enough, all are.
      if (entry.since > oldest) break
      this.#watched.delete(entry)
      entry.expire(false)
    }
    if (this.#watched.size > 0) this.#timer = setTimeout(() => this.#sweep(), this.#ms / 10)
  }
}

const DEADLINES = new Deadlines(BODY_DEADLINE_MS)

/** Bytes that bodies under way hold together, so that many clients cannot fill the memory. */
export class BodyBudget {
  readonly #bytesMax: number
  readonly #stopping = new AbortController()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Aborts when no more of any body is read. */
  get stopping(): AbortSignal {
    return this.#stopping.signal
  }

  /** Has the bodies that are still arriving answered with `stopping`. */
  stop(): void {
    this.#stopping.abort()
    DEADLINES.stop(this)
  }

  take(bytes: number): void {
    if (this.stopping.aborted) throw stopping()
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) {
      throw new HttpProblem('overloaded', 'too many bodies are under way')
    }
    this.#bytes += bytes
  }

  release(bytes: number): void {
    this.#bytes -= bytes
  }
}

/**
 * Reads a whole body, decompressed, of at most `bytesMax` bytes. The limit counts what comes out, so a small body that
 * unpacks to a huge one stops at the limit.
 */
export async function readBody(
  request: IncomingMessage,
  { bytesMax, budget, advice = ADVICE }: { bytesMax: number; budget: BodyBudget; advice?: string },
): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > bytesMax && request.headers['content-encoding'] === undefined) {
    throw tooLarge(bytesMax, advice)
  }
  const body = decodedBody(request)
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>()
  const chunks: Buffer[] = []
  let bytes = 0
  const take = (chunk: Buffer) => {
    try {
      if (bytes + chunk.byteLength > bytesMax) throw tooLarge(bytesMax, advice)
      budget.take(chunk.byteLength)
      bytes += chunk.byteLength
      chunks.push(chunk)
    } catch (error) {
      body.off('data', take).pause()
      reject(error)
    }
  }
  const fail = (error: unknown) => reject(toBodyProblem(error))
  // The body is not destroyed when it is late: with it would go the connection that the answer needs.
  const late = () => new HttpProblem('body_timeout', `the body took over ${BODY_DEADLINE_MS / 1000} s`)
  using _ = DEADLINES.watch(budget, (stopped) => reject(stopped ? stopping() : late()))
  body.on('data', take).once('end', resolve).once('error', fail)
  try {
    await ended
  } finally {
    body.off('data', take).off('end', resolve).off('error', fail)
    budget.release(bytes)
    if (body !== request) body.destroy()
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes)
}

let zstdStreams = 0

/** The chunks of a body that may be of any length, decompressed, as they come; until `stop` it may go on for ever. */
export async function* streamBody(request: IncomingMessage, stop?: AbortSignal): AsyncGenerator<Buffer> {
  const body = decodedBody(request)
  const isZstd = encodingOf(request) === 'zstd'
  if (isZstd && zstdStreams >= ZSTD_STREAMS_MAX) {
    body.destroy()
    throw new HttpProblem('overloaded', `${ZSTD_STREAMS_MAX} streams in zstd are under way`)
  }
  if (isZstd) zstdStreams++
  const events = { close: ['end'], highWaterMark: 1, ...(stop && { signal: stop }) }
  try {
    let bytes = 0
    for await (const [chunk] of on(body, 'data', events) as AsyncIterable<[Buffer]>) {
      bytes += chunk.byteLength
      if (body !== request) checkExpansion(bytes, (body as Gunzip | ZstdDecompress).bytesWritten)
      yield chunk
    }
  } catch (error) {
    throw stop?.aborted && (error as Error).name === 'AbortError' ? stopping() : toBodyProblem(error)
  } finally {
    if (isZstd) zstdStreams--
    if (body !== request) body.destroy()
  }
}

/** Whether a request has a body (RFC 9112, 6.3): that of a GET, too, lies between it and the next request. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

function checkExpansion(bytes: number, sent: number): void {
  if (bytes <= EXPANDED_BYTES_MIN + EXPANSION_MAX * sent) return
  const detail = `what was sent unpacks to over ${EXPANSION_MAX} times its size; send it with less of the same in it, or as it is`
  throw new HttpProblem('body_too_large', detail)
}

/** Throws away what is left of a body, within bounds; tells whether all of it is gone. */
export async function discardBody(request: IncomingMessage): Promise<boolean> {
  if (request.readableEnded || !hasBody(request)) return true
  if (request.destroyed) return false
  request.unpipe()
  const { promise, resolve } = Promise.withResolvers<boolean>()
  let bytes = 0
  const count = (chunk: Buffer) => {
    bytes += chunk.byteLength
    if (bytes > DISCARD_BYTES_MAX) resolve(false)
  }
  const ended = () => resolve(true)
  const broken = () => resolve(false)
  const deadline = setTimeout(broken, DISCARD_MS_MAX)
  request.on('data', count).once('end', ended).once('close', broken).resume()
  const all = await promise
  clearTimeout(deadline)
  request.off('data', count).off('end', ended).off('close', broken)
  return all
}

const ZSTD = { rejectGarbageAfterEnd: true, params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX } }

function encodingOf(request: IncomingMessage): string {
  return request.headers['content-encoding']?.trim().toLowerCase() ?? 'identity'
}

function decodedBody(request: IncomingMessage): Readable {
  const encoding = encodingOf(request)
  if (encoding === 'identity') return request
  if (encoding !== 'gzip' && encoding !== 'x-gzip' && encoding !== 'zstd') {
    throw new HttpProblem('unsupported_encoding', 'bodies may be sent as they are, or as gzip or zstd', {
      headers: { 'accept-encoding': 'gzip, zstd' },
    })
  }
  // Without the option, what follows a zstd frame and is none would be dropped without a word; gzip always refuses it.
  const decoder = encoding === 'zstd' ? createZstdDecompress(ZSTD) : createGunzip()
  // `pipeline` would destroy the request when decoding fails, and with it the connection that the answer needs.
  request.once('close', () => {
    if (!request.readableEnded) decoder.destroy(cutOff())
  })
  // Its reader may have given up by then, and an error that nobody listens for ends the process.
  decoder.on('error', () => {})
  return request.pipe(decoder)
}

function toBodyProblem(error: unknown): unknown {
  const code = (error as { code?: string }).code ?? ''
  if (code === 'ECONNRESET') return cutOff()
  if (!/^(Z_|ZSTD_|ERR_ZSTD|ERR_ZLIB|ERR_TRAILING_JUNK)/.test(code)) return error
  return new HttpProblem('invalid_encoding', 'the body is not what its Content-Encoding says, or is cut off')
}

/** Nobody is there to read it; it keeps a client that goes away from looking like a fault of ours. */
function cutOff(): HttpProblem {
  return new HttpProblem('invalid_request', 'the connection ended before the body did')
}

/** Nothing of the body was taken; who has taken something by then says how much. */
function stopping(): HttpProblem {
  const more = { accepted: 0, rejected: 0 }
  return new HttpProblem('stopping', 'the service is stopping and reads no more of this body', { more })
}

function tooLarge(bytesMax: number, advice: string): HttpProblem {
  const detail = `a JSON body may have ${bytesMax} bytes; ${advice}`
  return new HttpProblem('body_too_large', detail, { more: { limit_bytes: bytesMax } })
}
