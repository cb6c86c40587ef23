import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Parameters, ParameterValues } from './parameter.ts'
import { HttpProblem, type ProblemCode } from './problem.ts'

export const JSON_TYPE = 'application/json'

/** A path that reads or removes something. */
export type Route<P extends Parameters> = {
  summary: string
  description?: string
  parameters?: P
  /** The media types that it can answer with, the preferred first. */
  produces?: readonly string[]
  /** What 200 holds: JSON Schema. */
  response: Record<string, unknown>
  /** The problems it can answer with, beside those that every path has. */
  problems?: readonly ProblemCode[]
  /** Where it has a parameter `limit`: what one row takes in memory at most until it is sent. */
  rowBytesMax?: number
  handler: (at: {
    values: ParameterValues<P>
    request: FastifyRequest
    reply: FastifyReply
    mediaType: string
  }) => unknown
}

/** Of the address and its path together; one that is in both is given twice, as in an address that repeats it. */
export function sentParameters({ query, params }: FastifyRequest): Record<string, unknown> {
  const sent = { ...(query as Record<string, unknown>) }
  for (const [name, value] of Object.entries(params as object)) {
    sent[name] = Object.hasOwn(sent, name) ? [sent[name], value] : value
  }
  return sent
}

/** What the client prefers of what the path can answer with. */
export function chooseType(request: FastifyRequest, produces: readonly string[]): string {
  const chosen = request.accepts().type([...produces])
  if (typeof chosen === 'string') return chosen
  throw new HttpProblem('not_acceptable', `this path answers with ${produces.join(', ')}`)
}
