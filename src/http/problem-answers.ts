import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isFailure } from '../errors.ts'
import type { Telemetry } from '../telemetry.ts'
import { discardBody } from './body.ts'
import type { Admission } from './connections/admission.ts'
import { lingerWhenAnswered } from './connections/lingering-close.ts'
import { EVENT_STREAM, unavailableEvent, wantsEventStream } from './event-stream.ts'
import { HttpProblem, PROBLEM_OF_FAILURE, PROBLEM_TYPE } from './problem.ts'

/** Fastify's code of a path that is no valid percent-encoding. */
export const BAD_PATH = 'FST_ERR_BAD_URL'

type ProblemAnswersDeps = { admission: Admission; telemetry: Pick<Telemetry, 'requestFailed'> }

/** Whatever a handler throws → what the client is told of it. */
export class ProblemAnswers {
  readonly #deps: ProblemAnswersDeps

  constructor(deps: ProblemAnswersDeps) {
    this.#deps = deps
  }

  /** Answers a request that goes through Fastify. */
  async send(error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const problem = this.of(error, { method: request.method, route: request.routeOptions.url ?? 'none' })
    const headers = await this.headers(problem, request.raw)
    if (problem.status === 503 && request.method === 'GET' && wantsEventStream(request.raw)) {
      const stream = { ...headers, 'content-type': `${EVENT_STREAM}; charset=utf-8`, 'cache-control': 'no-store' }
      return reply.code(200).headers(stream).send(unavailableEvent(problem))
    }
    return reply.code(problem.status).headers(headers).send(JSON.stringify(problem.body()))
  }

  /** What is nobody's problem but ours is logged. */
  of(error: unknown, at: { method: string; route: string }): HttpProblem {
    const problem = toProblem(error)
    if (problem.status === 500) this.#deps.telemetry.requestFailed(error, at)
    return problem
  }

  /**
   * Throws away what is left of the body first: a client that is still sending would have its connection reset before
   * it reads the answer, and what is left would be taken for the next request. What is more than can be waited for comes
   * after the answer; when the server stops, all of it.
   */
  async headers(problem: HttpProblem, request: IncomingMessage): Promise<Record<string, string>> {
    const headers = { 'content-type': PROBLEM_TYPE, ...problem.headers }
    const isWhole = (request.complete || !this.#deps.admission.closing) && (await discardBody(request))
    if (!isWhole) lingerWhenAnswered(request.socket)
    return isWhole && !this.#deps.admission.closing ? headers : { ...headers, connection: 'close' }
  }
}

function toProblem(error: unknown): HttpProblem {
  if (error instanceof HttpProblem) return error
  if (isFailure(error)) return new HttpProblem(PROBLEM_OF_FAILURE[error.code], error.message)
  const { code, statusCode } = error as { code?: string; statusCode?: number }
  if (code === BAD_PATH) return new HttpProblem('invalid_request', 'the path is not valid percent-encoding')
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new HttpProblem('unsupported_media_type', 'the Content-Type header is not a media type')
  }
  if (code === 'FST_ERR_MAX_PARAM_LENGTH' || statusCode === 414)
    return new HttpProblem('uri_too_long', 'the path is too long')
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new HttpProblem('invalid_request', 'the request cannot be understood')
  }
  return new HttpProblem('internal', 'this is our fault and has been logged')
}
