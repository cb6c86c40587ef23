import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { parseJson } from '../events/check.ts'
import { findRepeatedMembers } from '../events/repeated-members.ts'
import { BodyBudget, readBody } from './body.ts'
import { HttpProblem, type ProblemCode } from './problem.ts'

/** A path that takes one small JSON body, for what people and their tools tell a service to do. Events have `PostRoute`. */
export type CommandRoute<T> = {
  summary: string
  description: string
  /** JSON Schema of the body. */
  body: Record<string, unknown>
  /** Reads the parsed body; what is wrong with it is thrown as `invalidBody`. */
  check: (value: unknown) => T
  /** What 200 holds: JSON Schema. */
  response: Record<string, unknown>
  /** The problems it can answer with, beside those of its body. */
  problems: readonly ProblemCode[]
  handler: (at: { order: T; request: FastifyRequest; reply: FastifyReply }) => unknown
}

/** What every such path can answer. */
export const BODY_PROBLEMS: readonly ProblemCode[] = [
  'invalid_json',
  'invalid_body',
  'invalid_parameter',
  'invalid_encoding',
  'body_timeout',
  'body_too_large',
  'unsupported_media_type',
  'unsupported_encoding',
]

const ORDER_BYTES_MAX = 256 * 1024
const ORDERS = new BodyBudget(16 * ORDER_BYTES_MAX)
const MEDIA_TYPE = /^\s*application\/json\s*(?:;\s*charset\s*=\s*"?utf-?8"?\s*)?;?\s*$/i

/** Reads a small JSON body. As everywhere, nothing is coerced, and a member that is sent twice is refused. */
export async function readCommand<T>(request: IncomingMessage, check: (value: unknown) => T): Promise<T> {
  if (!MEDIA_TYPE.test(request.headers['content-type'] ?? '')) {
    throw new HttpProblem('unsupported_media_type', 'Content-Type must be application/json, in UTF-8')
  }
  const advice = 'send less at a time'
  const parsed = parseJson(await readBody(request, { bytesMax: ORDER_BYTES_MAX, budget: ORDERS, advice }))
  if (!parsed.ok) throw new HttpProblem('invalid_json', `the body ${parsed.detail}`)
  const repeated = findRepeatedMembers(parsed.text)
  if (repeated.length > 0) throw invalidBody(repeated)
  return check(parsed.value)
}

export function invalidBody(errors: readonly { pointer: string; detail: string }[]): HttpProblem {
  const detail = errors.map((error) => `${error.pointer.slice(1) || 'the body'} ${error.detail}`).join('; ')
  return new HttpProblem('invalid_body', detail, { errors })
}
