import type { IncomingMessage, ServerResponse } from 'node:http'
import { PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FastifyReply } from 'fastify'
import { Agent, type Dispatcher } from 'undici'
import { discardBody, hasBody } from '../../http/body.ts'
import { HttpProblem } from '../../http/problem.ts'
import { answerHeaders, requestHeaders } from './forwarded.ts'

export type Target = {
  /** What the client sees before the service's own path, as `/storage`. */
  prefix: string
  /** For people. */
  title: string
  /** Where the service is, as `http://storage:8090`; undefined where nobody knows. */
  address: string | undefined
}

export type Deadlines = {
  /** Until a service takes a connection; undici looks at it every half second. */
  connectMs: number
  /** Neither side says anything: the service is taken to be unavailable. Those that stream send at least a sign of life. */
  silenceMs: number
}

/** Requests under way at most, of which streams of events may be so many: a browser leaves those open. */
const UNDER_WAY_MAX = 256
const STREAMS_MAX = 64
/** Silence ends before the server's own `connectionTimeout`, which would end the connection without an answer. */
const DEADLINES: Deadlines = { connectMs: 2000, silenceMs: 55_000 }

/** What is said of the network's errors. */
const REASONS: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was cut off',
  UND_ERR_SOCKET: 'the connection was cut off',
  UND_ERR_CONNECT_TIMEOUT: 'it takes no connection',
  UND_ERR_HEADERS_OVERFLOW: 'its answer is not valid HTTP',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'its answer is not valid HTTP',
  HTTPParserError: 'its answer is not valid HTTP',
}

/**
 * Hands requests on to the services and their answers back, both as they come: nothing is gathered, so a file of any
 * length and a stream of events pass through the same few buffers. undici frames each request by itself: a connection
 * whose request or answer did not end where it should is closed, and carries nothing of another visitor.
 */
export class ServiceProxy {
  readonly #agent: Agent
  readonly #silenceMs: number
  readonly #streams = new Set<AbortController>()
  #underWay = 0

  constructor({ connectMs, silenceMs }: Deadlines = DEADLINES) {
    this.#silenceMs = silenceMs
    this.#agent = new Agent({
      connections: UNDER_WAY_MAX,
      pipelining: 1,
      allowH2: false,
      strictContentLength: true,
      connect: { timeout: connectMs },
      // These count one direction only; `Silence` counts both.
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  /** `path` is the service's own, with its query. Throws a problem as long as nothing has been answered. */
  async pass(path: string, target: Target, reply: FastifyReply): Promise<void> {
    if (this.#underWay >= UNDER_WAY_MAX) throw new HttpProblem('overloaded', 'the dashboard has too much under way')
    this.#underWay++
    const { raw: request } = reply.request
    const { raw: response } = reply
    const stop = new AbortController()
    // A client that goes away must not leave the service working for nobody.
    const gone = () => stop.abort()
    response.once('close', gone)
    using silence = new Silence(this.#silenceMs, stop)
    const body = hasBody(request) ? silence.watch(request).pipe(new PassThrough()) : null
    try {
      const answer = await this.#ask(path, target, { request, body, stop })
      if (String(answer.headers['content-type']).startsWith('text/event-stream')) this.#admitStream(stop, answer)
      reply.hijack()
      await this.#answer(answer, { response, silence, stop, prefix: target.prefix })
    } finally {
      response.off('close', gone)
      this.#streams.delete(stop)
      this.#underWay--
      if (body !== null) void endBody(request, body)
    }
  }

  /** Streams of events have no end of their own. */
  endStreams(): void {
    for (const stream of this.#streams) stream.abort()
  }

  async close(): Promise<void> {
    this.endStreams()
    await this.#agent.destroy()
  }

  #admitStream(stop: AbortController, answer: Dispatcher.ResponseData): void {
    if (this.#streams.size >= STREAMS_MAX) {
      stop.abort()
      answer.body.destroy()
      throw new HttpProblem('overloaded', `the dashboard passes on ${STREAMS_MAX} streams of events at most`)
    }
    this.#streams.add(stop)
  }

  async #ask(
    path: string,
    { title, address }: Target,
    { request, body, stop }: { request: IncomingMessage; body: PassThrough | null; stop: AbortController },
  ): Promise<Dispatcher.ResponseData> {
    if (address === undefined) {
      throw new HttpProblem('service_unknown', `${title} is not started here, and no variable says where it is`)
    }
    const { origin, host, pathname } = new URL(address)
    try {
      return await this.#agent.request({
        origin,
        path: `${pathname.replace(/\/$/, '')}${path}`,
        method: request.method as Dispatcher.HttpMethod,
        headers: requestHeaders(request, host),
        body,
        signal: stop.signal,
      })
    } catch (error) {
      throw toProblem(error, title)
    }
  }

  async #answer(
    answer: Dispatcher.ResponseData,
    {
      response,
      silence,
      stop,
      prefix,
    }: { response: ServerResponse; silence: Silence; stop: AbortController; prefix: string },
  ): Promise<void> {
    try {
      response.writeHead(answer.statusCode, answerHeaders(answer.headers, prefix))
      // The head alone tells a browser that its stream is open; the first event may be long in coming.
      response.flushHeaders()
      await pipeline(silence.watch(answer.body), response, { signal: stop.signal })
    } catch {
      // An answer that was cut off must not look like a whole one.
      response.destroy()
    }
  }
}

/** Aborts when nothing has moved for `ms` in any of the streams that it watches. */
class Silence implements Disposable {
  readonly #timer: NodeJS.Timeout

  constructor(ms: number, stop: AbortController) {
    this.#timer = setTimeout(() => stop.abort(new Error('it does not answer')), ms)
  }

  watch<S extends NodeJS.ReadableStream>(stream: S): S {
    stream.on('data', () => this.#timer.refresh())
    return stream
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
  }
}

/** The service may have answered before all of the body was there: the rest must not be taken for the next request. */
async function endBody(request: IncomingMessage, body: PassThrough): Promise<void> {
  request.unpipe(body)
  body.destroy()
  if (!(await discardBody(request))) request.destroy()
}

function toProblem(error: unknown, title: string): HttpProblem {
  const { name, code = '', message } = error as { name: string; code?: string; message: string }
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') {
    return new HttpProblem('invalid_request', 'the request cannot be passed on')
  }
  // Nobody is there to read it; it keeps a client that goes away from looking like a fault of the service.
  if (name === 'AbortError') return new HttpProblem('invalid_request', 'the connection ended before the answer')
  return new HttpProblem(
    'service_unavailable',
    `${title} is unavailable: ${REASONS[code] ?? REASONS[name] ?? (code || message)}`,
  )
}
