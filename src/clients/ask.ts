import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'

/** What came of a question: an answer of whatever status, or none, and why. */
export type Reply =
  | { kind: 'answer'; status: number; headers: IncomingHttpHeaders; body: Record<string, unknown>; ms: number }
  | { kind: 'none'; why: string }

export type Question = {
  url: string
  method?: 'GET' | 'POST'
  headers?: Record<string, string>
  body?: string
  timeoutMs: number
  /** Ends it earlier. */
  signal?: AbortSignal
}

/** More is not read: no answer that is asked for here has a tenth of it. */
const BODY_BYTES_MAX = 1024 * 1024

/**
 * Asks once, over a connection of its own, as a new client would. Never throws, and always ends within `timeoutMs`. Not by
 * `fetch`, which takes 30 MB of memory where nothing else uses it.
 */
export async function ask({
  url,
  method = 'GET',
  headers = {},
  body,
  timeoutMs,
  signal: stop,
}: Question): Promise<Reply> {
  const began = performance.now()
  const timeout = AbortSignal.timeout(timeoutMs)
  const signal = stop === undefined ? timeout : AbortSignal.any([timeout, stop])
  try {
    const response = await send(url, { method, headers, signal }, body)
    const text = await readText(response)
    const ms = performance.now() - began
    return { kind: 'answer', status: response.statusCode ?? 0, headers: response.headers, body: parse(text), ms }
  } catch (error) {
    if (timeout.aborted) return { kind: 'none', why: `no answer within ${timeoutMs / 1000} s` }
    return { kind: 'none', why: describe(error) }
  }
}

type SendOptions = { method: string; headers: Record<string, string>; signal: AbortSignal }

function send(url: string, options: SendOptions, body: string | undefined): Promise<IncomingMessage> {
  const request = url.startsWith('https:') ? requestHttps : requestHttp
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const headers = { accept: 'application/json', ...length, ...options.headers }
    const sending = request(url, { ...options, headers, agent: false })
    sending.once('response', resolve).once('error', reject).end(body)
  })
}

async function readText(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8')
  let text = ''
  for await (const chunk of response as AsyncIterable<string>) {
    text += chunk
    if (text.length > BODY_BYTES_MAX) throw new Error('the answer is too long')
  }
  return text
}

/** What is not a JSON object says nothing beyond its status. */
function parse(text: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text) as unknown
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

const REASONS: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'there is no such host',
  EHOSTUNREACH: 'the host cannot be reached',
  ECONNRESET: 'the connection was cut off',
}

function describe(error: unknown): string {
  const { code, message } = error as { code?: string; message: string }
  return (code !== undefined && REASONS[code]) || code || message
}
