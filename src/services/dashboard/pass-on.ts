import { Agent, type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http'
import { Agent as AgentTls, request as requestHttps } from 'node:https'
import { pipeline } from 'node:stream/promises'
import type { FastifyReply } from 'fastify'
import { HttpProblem } from '../../http/problem.ts'

export type Target = {
  /** What the client sees before the service's own path, as `/storage`. */
  prefix: string
  /** For people. */
  title: string
  /** Where the service is, as `http://storage:8090`; undefined where nobody knows. */
  address: string | undefined
}

/** Requests under way at most, of which streams of events may be so many: a browser leaves those open. */
const UNDER_WAY_MAX = 256
const STREAMS_MAX = 64
/** A service that says nothing for so long is taken to be away: those that stream send at least a sign of life. */
const SILENCE_MS_MAX = 60_000
const CONNECT_MS_MAX = 2000

/** They are about one connection, not about the message (RFC 9110, 7.6.1). */
const OF_THE_CONNECTION = [
  'connection',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

/**
 * Hands requests on to the services and their answers back, both as they come: nothing is gathered, so a file of any
 * length and a stream of events pass through the same few buffers.
 */
export class Passage {
  readonly #agents = {
    'http:': new Agent({ keepAlive: true, maxSockets: UNDER_WAY_MAX, maxFreeSockets: 16 }),
    'https:': new AgentTls({ keepAlive: true, maxSockets: UNDER_WAY_MAX, maxFreeSockets: 16 }),
  }
  readonly #streams = new Set<AbortController>()
  #underWay = 0

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
    try {
      const answer = await this.#ask(path, target, request, stop.signal)
      const isStream = String(answer.headers['content-type']).startsWith('text/event-stream')
      if (isStream) this.#admitStream(stop, answer)
      reply.hijack()
      response.writeHead(answer.statusCode as number, answerHeaders(answer.headers, target.prefix))
      // The head alone tells a browser that its stream is open; the first event may be long in coming.
      response.flushHeaders()
      await pipeline(answer, response, { signal: stop.signal }).catch(() => response.destroy())
    } finally {
      response.off('close', gone)
      this.#streams.delete(stop)
      this.#underWay--
    }
  }

  /** Streams of events have no end of their own. */
  endStreams(): void {
    for (const stream of this.#streams) stream.abort()
  }

  close(): void {
    this.endStreams()
    for (const agent of Object.values(this.#agents)) agent.destroy()
  }

  #admitStream(stop: AbortController, answer: IncomingMessage): void {
    if (this.#streams.size >= STREAMS_MAX) {
      answer.destroy()
      throw new HttpProblem('overloaded', `the dashboard passes on ${STREAMS_MAX} streams of events at most`)
    }
    this.#streams.add(stop)
  }

  #ask(path: string, target: Target, request: IncomingMessage, signal: AbortSignal): Promise<IncomingMessage> {
    const away = (why: string) => new HttpProblem('service_unavailable', `${target.title} is away: ${why}`)
    if (target.address === undefined) {
      throw new HttpProblem('service_unknown', `${target.title} is not started here, and no variable says where it is`)
    }
    const url = new URL(target.address)
    const isTls = url.protocol === 'https:'
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const asking = (isTls ? requestHttps : requestHttp)({
      protocol: url.protocol,
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port,
      path: `${url.pathname.replace(/\/$/, '')}${path}`,
      method: request.method as string,
      headers: { ...forwarded(request.headers), host: url.host },
      agent: isTls ? this.#agents['https:'] : this.#agents['http:'],
      signal,
    })
    const deadline = setTimeout(() => asking.destroy(new Error('it takes no connection')), CONNECT_MS_MAX)
    asking.once('socket', (socket) => {
      if (socket.connecting) socket.once('connect', () => clearTimeout(deadline))
      else clearTimeout(deadline)
    })
    asking.setTimeout(SILENCE_MS_MAX, () => asking.destroy(new Error('it does not answer')))
    asking.once('response', resolve)
    // After the answer has begun, an error is one of the stream, which the pipe sees.
    asking.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(deadline)
      request.unpipe(asking)
      reject(away(error.code === 'ECONNREFUSED' ? 'nothing listens there' : (error.code ?? error.message)))
    })
    request.pipe(asking)
    return promise
  }
}

function forwarded(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = String(headers.connection ?? '')
    .toLowerCase()
    .split(/\s*,\s*/)
  const kept = Object.entries(headers).filter(([name]) => !OF_THE_CONNECTION.includes(name) && !named.includes(name))
  return Object.fromEntries(kept)
}

/** A link to the next page starts with the service's own path, and has to lead through here again. */
function answerHeaders(headers: IncomingHttpHeaders, prefix: string): IncomingHttpHeaders {
  const kept = forwarded(headers)
  for (const name of ['link', 'location'] as const) {
    const value = kept[name]
    if (typeof value !== 'string') continue
    kept[name] = name === 'link' ? value.replaceAll('</', `<${prefix}/`) : value.replace(/^\//, `${prefix}/`)
  }
  return kept
}
