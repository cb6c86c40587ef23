import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import type { ServiceName } from '../../src/config.ts'
import type { ProblemCode } from '../../src/http/problem.ts'
import type { Json } from '../../test-support/harness.ts'

/** One request that must be refused, and how. */
export type BadCase = {
  name: string
  /** The Receiver, where nothing is said. */
  service?: ServiceName
  /** POST to the Receiver and GET elsewhere, where nothing is said. */
  method?: string
  path?: string
  headers?: OutgoingHttpHeaders
  body?: string | Buffer
  status: number
  code: ProblemCode
  /** What `errors` must name, in order: a pointer, with the event's index before it where many were sent. */
  at?: readonly string[]
  detail?: RegExp
  /** Headers that the answer must have. */
  answers?: Record<string, string>
}

/** What is not even HTTP, or not all of it: bytes as they go over the wire. */
export type RawCase = Pick<BadCase, 'name' | 'service' | 'status' | 'code'> & { bytes: string | Buffer }

export type Answer = { status: number; headers: Record<string, string | string[] | undefined>; text: string }

const RUNNING = '/stats/running'

export async function send(address: string, bad: BadCase): Promise<Answer> {
  const { service = 'receiver', path = RUNNING, body } = bad
  const { method = service === 'receiver' ? 'POST' : 'GET', headers = isJsonPost(bad) ? JSON_TYPE : {} } = bad
  const { hostname, port } = new URL(address)
  const sending = request({ hostname, port, path, method, headers, agent: false })
  const answered = once(sending, 'response') as Promise<[IncomingMessage]>
  sending.end(body)
  const [response] = await answered
  // Refused before all of it was sent: the answer is what counts.
  sending.on('error', () => {})
  return { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) }
}

export async function sendRaw(address: string, bytes: string | Buffer): Promise<Answer> {
  const { hostname, port } = new URL(address)
  const socket = connect(Number(port), hostname)
  socket.write(bytes)
  const [head, ...rest] = (await text(socket)).split('\r\n\r\n')
  const [statusLine, ...lines] = (head as string).split('\r\n')
  const headers = lines.map((line) => line.split(/: */, 2) as [string, string])
  return {
    status: Number(statusLine?.split(' ')[1]),
    headers: Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value])),
    text: dechunk(rest.join('\r\n\r\n')),
  }
}

/** Every error has this form, whatever went wrong. */
export function checkProblem(answer: Answer, expected: Omit<BadCase, 'name'>): void {
  const { status, code, at, detail, answers = {} } = expected
  assert.deepEqual([answer.status, codeOf(answer)], [status, code], answer.text.slice(0, 1000))
  assert.match(answer.headers['content-type'] as string, /^application\/problem\+json(; charset=utf-8)?$/)
  const problem = JSON.parse(answer.text) as Json
  assert.equal(problem.type, `urn:runify:problem:${code}`)
  assert.equal(problem.status, status)
  for (const member of ['title', 'detail']) {
    assert.ok(typeof problem[member] === 'string' && problem[member] !== '', `${member} is ${problem[member]}`)
  }
  if (at !== undefined) assert.deepEqual(placesOf(problem), at)
  if (detail !== undefined) assert.match(problem.detail as string, detail)
  for (const [name, value] of Object.entries(answers)) assert.equal(answer.headers[name], value, name)
  assert.doesNotMatch(answer.text, INSIDE)
  assert.ok(answer.text.length < ANSWER_CHARACTERS_MAX, `${answer.text.length} characters`)
}

const JSON_TYPE = { 'content-type': 'application/json' }
/** A stack, a file or a query: nothing for a client's eyes. */
const INSIDE =
  /\bat \S+ \(|node:|node_modules|\.[cm]?[jt]s\b|\/(work|tmp|home|usr|src)\/|SELECT |sqlite|fastify|FST_ERR/i
/** An error must not be larger than what a client can be expected to read. */
const ANSWER_CHARACTERS_MAX = 32_768

function isJsonPost({ service = 'receiver', method = 'POST' }: BadCase): boolean {
  return service === 'receiver' && method === 'POST'
}

function codeOf({ text }: Answer): unknown {
  try {
    return (JSON.parse(text) as Json).code
  } catch {
    return undefined
  }
}

function placesOf({ errors }: Json): string[] {
  assert.ok(Array.isArray(errors), 'errors is missing')
  return errors.map(({ index, pointer, detail }: Json) => {
    assert.ok(typeof detail === 'string' && detail !== '', `the detail of ${pointer} is ${detail}`)
    return `${index ?? ''}${pointer}`
  })
}

function dechunk(body: string): string {
  return /^[0-9a-f]+\r\n/i.test(body) ? body.replace(/^[0-9a-f]+\r\n/i, '').replace(/\r\n0\r\n(\r\n)?$/, '') : body
}
