/** The few ways in which the world around Runify breaks that callers tell apart. */
export type FailureCode =
  | 'log_unavailable'
  | 'log_overloaded'
  | 'record_too_large'
  | 'store_unavailable'
  | 'statistics_unavailable'
  | 'anomalies_unavailable'
  | 'offset_removed'
  | 'position_conflict'
  | 'newer_events'
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

/** Some records of an append can never be taken as the log is set up. All its other records are durable. */
export class RecordsTooLarge extends Failure {
  /** Which of the append's records, from 0, in order. */
  readonly indexes: readonly number[]
  /** What a record may have, with its key and all that goes around it. */
  readonly bytesMax: number

  constructor(indexes: readonly number[], bytesMax: number) {
    super('record_too_large', `the log takes records of at most ${bytesMax} bytes`, { retryable: false })
    this.indexes = indexes
    this.bytesMax = bytesMax
  }

  /** The same for the records from `start` on and before `end` alone; undefined where none of them is too large. */
  within(start: number, end: number): RecordsTooLarge | undefined {
    const indexes = this.indexes.filter((index) => index >= start && index < end).map((index) => index - start)
    return indexes.length === 0 ? undefined : new RecordsTooLarge(indexes, this.bytesMax)
  }
}

/** A record holds an event of a later version than this service; nothing may go on behind it. */
export class NewerEvent extends Failure {
  /** Of the record. */
  readonly offset: number

  constructor(message: string, offset: number) {
    super('newer_events', message, { retryable: false })
    this.offset = offset
  }
}

/** Something a person must put right before Runify can start: shown as one line, without a stack. */
export class StartError extends Error {
  override name = 'StartError'
}

export function isFailure(error: unknown, code?: FailureCode): error is Failure {
  return error instanceof Failure && (code === undefined || error.code === code)
}
