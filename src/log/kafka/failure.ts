import { AuthenticationError, findErrorBy, ResponseError } from '@platformatic/kafka'
import { Failure, isFailure } from '../../errors.ts'

/** The client's errors → ours. The client marks what must not be tried again with `canRetry: false`. */

export function toFailure(error: unknown): Failure {
  if (isFailure(error)) return error
  const detail = error instanceof Error ? innermost(error).message : String(error)
  return new Failure('log_unavailable', `Kafka: ${detail}`, { retryable: isRetryable(error), cause: error })
}

export function isRetryable(error: unknown): boolean {
  if (isFailure(error)) return error.retryable
  return findErrorBy(error as Error, 'canRetry', false) === null
}

/** Whether a broker answered with this error, for instance `NOT_COORDINATOR`, to any part of a request. */
export function hasCode(error: unknown, ...ids: string[]): boolean {
  return ids.some((id) => findErrorBy(error as Error, 'apiId', id) !== null)
}

/**
 * What a broker answered: the client throws where any part of an answer is an error, and with it comes the whole
 * answer, of which the other parts are good.
 */
export async function answerOf<T>(request: Promise<T>): Promise<T> {
  try {
    return await request
  } catch (error) {
    if (error instanceof ResponseError && 'response' in error) return error.response as T
    throw error
  }
}

export function closed(): Failure {
  return new Failure('closed', 'the log is closed', { retryable: false })
}

function innermost(error: Error): Error {
  const next = error instanceof AggregateError ? error.errors[0] : error.cause
  // What comes below an authentication error is the broker's code for it, which says less.
  if (!(next instanceof Error) || error instanceof AuthenticationError) return error
  return innermost(next)
}
