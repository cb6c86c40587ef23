/** The few ways in which the world around Runify breaks that callers tell apart. */
export type FailureCode =
  | 'log_unavailable'
  | 'log_overloaded'
  | 'store_unavailable'
  | 'statistics_unavailable'
  | 'anomalies_unavailable'
  | 'offset_removed'
  | 'position_conflict'
  | 'data_folder_in_use'
  | 'closed'

/**
 * A broken world, told by an adapter in our own words: branch on `code` and `retryable`, never on the text.
 * `cause` is the driver's own error, for the log only.
 */
export class Failure extends Error {
  readonly code: FailureCode
  /** Whether the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean

  constructor(code: FailureCode, message: string, options: { retryable: boolean; cause?: unknown }) {
    super(message, { cause: options.cause })
    this.name = 'Failure'
    this.code = code
    this.retryable = options.retryable
  }
}

/** Something a person must put right before Runify can start: shown as one line, without a stack. */
export class StartError extends Error {
  override name = 'StartError'
}

export function isFailure(error: unknown, code?: FailureCode): error is Failure {
  return error instanceof Failure && (code === undefined || error.code === code)
}
