import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { ApiKey } from '../config.ts'
import type { Telemetry } from '../telemetry.ts'
import { checkKey } from './api-keys.ts'
import type { Admission } from './connections/admission.ts'
import { Pipeline } from './connections/pipeline.ts'
import { answerBusy, BUSY_DETAIL } from './connections/raw-answers.ts'
import { checkHead, toOriginForm } from './connections/request-head.ts'
import { HttpProblem, NO_SNIFFING, type ProblemCode } from './problem.ts'
import type { ProblemAnswers } from './problem-answers.ts'

export type PostRoute = {
  summary: string
  description: string
  /** Media type → schema of the body. */
  bodies: Record<string, Record<string, unknown>>
  headers?: Record<string, unknown>
  responses: Record<string, { description: string; schema: Record<string, unknown> }>
  problems: readonly ProblemCode[]
  /** Only Runify's own services use it: it is in no documentation, and its handler checks their key instead of a client's. */
  internal?: true
  /** The body is not read yet. What it throws is answered as a problem. */
  handler: (request: IncomingMessage) => Promise<Answer>
}

/** A status, and the text of a JSON body. */
export type Answer = { status: number; body: string }

const SMALL_BODY_BYTES = 64 * 1024

export type FastPathOptions = {
  apiKeys: readonly ApiKey[]
  admission: Admission
  problems: ProblemAnswers
  telemetry: Pick<Telemetry, 'requestDone'>
}

/**
 * The way of posts round Fastify, which costs as much as all else that is done for a single event. What is no post of a
 * known path, letter for letter, goes on to Fastify.
 */
export class FastPath {
  readonly #options: FastPathOptions
  readonly #admission: Admission
  readonly #posts = new Map<string, PostRoute>()
  readonly #pipeline = new Pipeline()

  constructor(options: FastPathOptions) {
    this.#options = options
    this.#admission = options.admission
  }

  add(path: string, route: PostRoute): void {
    this.#posts.set(path, route)
  }

  get(path: string): PostRoute | undefined {
    return this.#posts.get(path)
  }

  /** Takes a server's requests before those who listen to them now. */
  install(server: Server): void {
    const [toFastify] = server.listeners('request') as [(request: IncomingMessage, response: ServerResponse) => void]
    server.removeAllListeners('request')
    const begin = (request: IncomingMessage, response: ServerResponse, route: PostRoute | undefined) => {
      if (route === undefined) {
        toOriginForm(request)
        toFastify(request, response)
      } else if (this.#admission.begunTooMany() && isSmall(request)) this.#refuse(request, response)
      else void this.serve(request.url as string, route, request, response)
    }
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      // Nothing is switched to, and Node loses what came together with such a request: the rest could not be trusted.
      if (request.headers.upgrade !== undefined) response.shouldKeepAlive = false
      const route = request.method === 'POST' ? this.#posts.get(request.url as string) : undefined
      // It has its socket when the answers before are out. Posts go side by side: the log takes many at a time, and there
      // is little to their answers.
      const mayBegin = response.socket !== null || (route !== undefined && !this.#pipeline.holds(request.socket))
      if (mayBegin) begin(request, response, route)
      else this.#pipeline.hold(request, response, () => begin(request, response, route))
    })
  }

  async serve(path: string, route: PostRoute, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const started = performance.now()
    this.#admission.postsUnderWay++
    try {
      if (this.#admission.postsUnderWay > this.#admission.requestsMax) throw new HttpProblem('overloaded', BUSY_DETAIL)
      checkHead(request)
      if (!route.internal) checkKey(this.#options.apiKeys, 'write', request.headers.authorization)
      writeAnswer(response, await route.handler(request), this.#admission.closing)
    } catch (error) {
      const problem = this.#options.problems.of(error, { method: 'POST', route: path })
      const body = JSON.stringify(problem.body())
      const headers = await this.#options.problems.headers(problem, request)
      // Without its length it would go in chunks, as more packets.
      response.writeHead(problem.status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body)
    }
    this.#admission.postsUnderWay--
    const at = { method: 'POST', route: path, status: response.statusCode }
    this.#options.telemetry.requestDone(at, (performance.now() - started) / 1000)
  }

  #refuse(request: IncomingMessage, response: ServerResponse): void {
    answerBusy(request, response, this.#admission.closing)
    this.#options.telemetry.requestDone({ method: 'POST', route: request.url as string, status: 503 }, 0)
  }
}

/** Whether its body arrives with it, more or less: one that is not read would keep its client from reading the answer. */
function isSmall(request: IncomingMessage): boolean {
  return Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY) <= SMALL_BODY_BYTES
}

const JSON_HEADERS = ['content-type', 'application/json; charset=utf-8', ...Object.entries(NO_SNIFFING).flat()]

/** Writes an answer with as few calls as there can be: this is once for every single event. */
function writeAnswer(response: ServerResponse, { status, body }: Answer, closing: boolean): void {
  const length = Buffer.byteLength(body)
  const headers: (string | number)[] = [...JSON_HEADERS, 'content-length', length]
  if (closing) headers.push('connection', 'close')
  response.writeHead(status, headers)
  // Most answers are ASCII, which needs no encoding.
  response.end(body, length === body.length ? 'latin1' : 'utf8')
}
