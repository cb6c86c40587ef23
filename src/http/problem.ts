import type { FailureCode } from '../errors.ts'

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'

/**
 * Every error that a client can get: the one place where a status is chosen. `docs/errors.md` has a row for each.
 */
export const PROBLEMS = {
  invalid_event: { status: 400, title: 'The event is not valid' },
  invalid_events: { status: 400, title: 'None of the events is valid' },
  invalid_body: { status: 400, title: 'The body is not valid' },
  invalid_json: { status: 400, title: 'The body is not JSON' },
  invalid_encoding: { status: 400, title: 'The body cannot be decompressed' },
  invalid_parameter: { status: 400, title: 'A parameter is not valid' },
  invalid_header: { status: 400, title: 'A header is not valid' },
  invalid_request: { status: 400, title: 'The request is not valid HTTP' },
  key_required: { status: 401, title: 'A key is required' },
  key_unknown: { status: 401, title: 'The key is not known' },
  key_scope: { status: 403, title: 'The key does not allow this' },
  not_found: { status: 404, title: 'Not found' },
  unknown_path: { status: 404, title: 'There is no such path' },
  method_not_allowed: { status: 405, title: 'The path does not take this method' },
  not_acceptable: { status: 406, title: 'No acceptable representation' },
  body_timeout: { status: 408, title: 'The body arrived too slowly' },
  removed: { status: 410, title: 'It has been removed' },
  body_too_large: { status: 413, title: 'The body is too large' },
  event_too_large: { status: 413, title: 'The event is too large' },
  uri_too_long: { status: 414, title: 'The address is too long' },
  unsupported_media_type: { status: 415, title: 'The media type is not supported' },
  unsupported_encoding: { status: 415, title: 'The content encoding is not supported' },
  undecodable: { status: 422, title: 'The record is not an event' },
  header_too_large: { status: 431, title: 'The headers are too large' },
  internal: { status: 500, title: 'Internal error' },
  log_unavailable: { status: 503, title: 'The log is unavailable' },
  log_overloaded: { status: 503, title: 'The log is too slow' },
  overloaded: { status: 503, title: 'Too many requests are in progress' },
  store_unavailable: { status: 503, title: 'The store is unavailable' },
  statistics_unavailable: { status: 503, title: 'The statistics are unavailable' },
  anomalies_unavailable: { status: 503, title: 'The anomalies are unavailable' },
  newer_events: { status: 503, title: 'The service is older than the events' },
  service_unavailable: { status: 503, title: 'A service is unavailable' },
  service_unknown: { status: 503, title: 'The address of the service is not known' },
  page_unavailable: { status: 503, title: 'The page is not built' },
  stopping: { status: 503, title: 'The service is stopping' },
} as const satisfies Record<string, { status: number; title: string }>

export type ProblemCode = keyof typeof PROBLEMS

/** A browser takes an answer for what its type says, and for nothing else. Each answer has it. */
export const NO_SNIFFING = { 'x-content-type-options': 'nosniff' } as const

export type ProblemOptions = {
  errors?: readonly object[]
  /** Further members of the problem document. */
  more?: Record<string, unknown>
  headers?: Record<string, string>
}

/** An answer that is an error, by RFC 9457. `detail` is for the client: never a stack, a query or a secret. */
export class HttpProblem extends Error {
  readonly code: ProblemCode
  readonly status: number
  readonly headers: Record<string, string>
  readonly #options: ProblemOptions

  constructor(code: ProblemCode, detail: string, options: ProblemOptions = {}) {
    super(detail)
    this.name = 'HttpProblem'
    this.code = code
    this.status = PROBLEMS[code].status
    const retry: Record<string, string> = this.status === 503 ? { 'retry-after': '1' } : {}
    this.headers = { ...NO_SNIFFING, ...retry, ...options.headers }
    this.#options = options
  }

  body(): Record<string, unknown> {
    const { title, status } = PROBLEMS[this.code]
    const { errors, more } = this.#options
    const type = `urn:runify:problem:${this.code}`
    return { type, title, status, detail: this.message, code: this.code, ...more, ...(errors && { errors }) }
  }
}

/** How a broken world looks to a client. */
export const PROBLEM_OF_FAILURE: Record<FailureCode, ProblemCode> = {
  log_unavailable: 'log_unavailable',
  log_overloaded: 'log_overloaded',
  record_too_large: 'event_too_large',
  store_unavailable: 'store_unavailable',
  statistics_unavailable: 'statistics_unavailable',
  anomalies_unavailable: 'anomalies_unavailable',
  offset_removed: 'removed',
  position_conflict: 'store_unavailable',
  newer_events: 'newer_events',
  data_folder_in_use: 'internal',
  closed: 'stopping',
}
