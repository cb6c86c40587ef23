import type { IncomingMessage, ServerResponse } from 'node:http'
import { NO_SNIFFING, type ProblemCode } from './problem.ts'

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

const JSON_HEADERS = ['content-type', 'application/json; charset=utf-8', ...Object.entries(NO_SNIFFING).flat()]

/** Writes an answer with as few calls as there can be: this is once for every single event. */
export function writeAnswer(response: ServerResponse, { status, body }: Answer, closing: boolean): void {
  const length = Buffer.byteLength(body)
  const headers: (string | number)[] = [...JSON_HEADERS, 'content-length', length]
  if (closing) headers.push('connection', 'close')
  response.writeHead(status, headers)
  // Most answers are ASCII, which needs no encoding.
  response.end(body, length === body.length ? 'latin1' : 'utf8')
}
