import { CATALOGUE, type EventType } from '../events/catalogue.ts'
import type { FieldError } from '../events/check.ts'
import { bearer, serviceUrl } from './service-request.ts'

export type IndexedError = FieldError & { index: number }

/** What became of so many lines; `errors` may be the first ones only. */
export type Decision = { accepted: number; rejected: number; errors: IndexedError[] }

/** What became of one request. */
export type Answer =
  /** The Receiver has decided about every line. */
  | ({ kind: 'decided' } & Decision)
  /** It refused the request as a whole, and would do so again. */
  | { kind: 'refused'; detail: string }
  /**
   * There is nobody, or not now. `stored` is whether some of the lines may have been stored all the same; `retryable`,
   * whether it may be there later without anybody changing anything. Where `first` is there, the first lines are decided
   * and the others are not stored.
   */
  | {
      kind: 'away'
      detail: string
      stored: 'no' | 'perhaps'
      first?: Decision
      retryAfterMs: number
      retryable: boolean
    }

export type ReceiverOptions = {
  /** The Receiver's address, without the path. */
  to: URL
  key: string | undefined
  /** Whether connections are used again. One that the Receiver closes just then leaves a request unanswered. */
  keepAlive: boolean
}

/** Posts lines of one type. Never throws for what the Receiver or the network does: that is an answer. */
export class SendClient {
  readonly #options: ReceiverOptions

  constructor(options: ReceiverOptions) {
    this.#options = options
  }

  /** For people. */
  get address(): string {
    return this.#options.to.href.replace(/\/$/, '')
  }

  async post(type: EventType, { body, lines }: { body: Buffer; lines: number }): Promise<Answer> {
    const { to, key, keepAlive } = this.#options
    const headers = new Headers({ 'content-type': 'application/x-ndjson', accept: 'application/json', ...bearer(key) })
    if (!keepAlive) headers.set('connection', 'close')
    const url = serviceUrl(to.href, CATALOGUE[type].path)
    const signal = AbortSignal.timeout(ANSWER_MS_MAX)
    try {
      // A redirect is not followed: it could take the key elsewhere.
      const response = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'manual' })
      return readAnswer(response, { text: await response.text(), lines })
    } catch (error) {
      return readFailure(error as Error)
    }
  }
}

/** The contract gives the Receiver 2 s to say that its log is unavailable; this is for one that says nothing. */
const ANSWER_MS_MAX = 30_000

/** The connection was never there, so nothing was sent. */
const NOT_CONNECTED = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** There was one, and it broke. Anything else, a certificate for instance, was wrong from the start. */
const CONNECTION_LOST = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'UND_ERR_SOCKET', 'UND_ERR_BODY_TIMEOUT'])

type Body = { accepted?: unknown; rejected?: unknown; errors?: unknown; detail?: unknown; code?: unknown }

function readAnswer({ status, headers }: Response, { text, lines }: { text: string; lines: number }): Answer {
  const body = parseBody(text)
  if (status === 201 || status === 207) {
    const decision = readDecision(body)
    if (decision !== undefined && linesOf(decision) === lines) return { kind: 'decided', ...decision }
    return { kind: 'refused', detail: `it answered ${status}, but not for each of the ${lines} lines` }
  }
  if (status === 400) {
    const errors = readErrors(body)
    if (errors.length > 0) return { kind: 'decided', accepted: 0, rejected: lines, errors }
  }
  const detail = `it answered ${status}${typeof body.detail === 'string' ? ` (${body.detail})` : ''}`
  // Refused for its rate, a request has not been looked at.
  if (status === 429) return { kind: 'away', detail, stored: 'no', retryAfterMs: retryAfter(headers), retryable: true }
  if (status === 408 || status >= 500) {
    const away = { kind: 'away', detail, retryAfterMs: retryAfter(headers), retryable: true } as const
    // A Receiver that stops has decided about all that it has read.
    const first = body.code === 'stopping' ? readDecision(body) : undefined
    if (first === undefined || linesOf(first) > lines) return { ...away, stored: 'perhaps' }
    return linesOf(first) === lines ? { kind: 'decided', ...first } : { ...away, stored: 'no', first }
  }
  return { kind: 'refused', detail: status === 401 || status === 403 ? `${detail}: see --key` : detail }
}

function readFailure(error: Error): Answer {
  const cause = error.cause as NodeJS.ErrnoException | undefined
  const timedOut = error.name === 'TimeoutError'
  const code = cause?.code ?? ''
  return {
    kind: 'away',
    detail: timedOut ? `no answer within ${ANSWER_MS_MAX / 1000} s` : code || (cause?.message ?? error.message),
    stored: NOT_CONNECTED.has(code) ? 'no' : 'perhaps',
    retryAfterMs: 0,
    retryable: timedOut || CONNECTION_LOST.has(code) || NOT_CONNECTED.has(code),
  }
}

function parseBody(text: string): Body {
  try {
    return Object(JSON.parse(text)) as Body
  } catch {
    return {}
  }
}

function readDecision(body: Body): Decision | undefined {
  const { accepted, rejected } = body
  if (!isCount(accepted) || !isCount(rejected)) return undefined
  return { accepted, rejected, errors: readErrors(body) }
}

function linesOf({ accepted, rejected }: Decision): number {
  return accepted + rejected
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function readErrors({ errors }: Body): IndexedError[] {
  if (!Array.isArray(errors)) return []
  return errors.filter(
    (error: Partial<IndexedError> | null) =>
      typeof error?.index === 'number' && typeof error.pointer === 'string' && typeof error.detail === 'string',
  )
}

/** RFC 9110, 10.2.3: seconds, or a date, for which nobody here has a clock that agrees with the Receiver's. */
function retryAfter(headers: Headers): number {
  const seconds = headers.get('retry-after')
  return seconds !== null && /^\d{1,6}$/.test(seconds) ? Number(seconds) * 1000 : 0
}
