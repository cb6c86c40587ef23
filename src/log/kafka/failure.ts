import { AuthenticationError, findErrorBy, NetworkError, ResponseError } from '@platformatic/kafka'
import { Failure, isFailure } from '../../errors.ts'

/** The client's errors → ours. The client marks what must not be tried again with `canRetry: false`. */

export function toFailure(error: unknown): Failure {
  if (isFailure(error)) return error
  const detail = error instanceof Error ? inWords(error) : String(error)
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

/** What is wrong, and where the client's words do not say it: which part of `RUNIFY_LOG` it may be. */
function inWords(error: Error): string {
  const last = innermost(error)
  const { message } = last
  const code = 'apiId' in last ? last.apiId : undefined
  if (code === 'SASL_AUTHENTICATION_FAILED') return `${message} The user or the password is not right`
  if (code === 'ILLEGAL_SASL_STATE') return 'the broker asks nobody for a user at this port'
  if (last instanceof NetworkError && isWithin(error, AuthenticationError)) {
    return `${message} before authentication, as where only TLS is spoken and tls=true is missing`
  }
  if (message === 'Broker requires TLS.') return `${message} tls=true is missing`
  if (message.startsWith(NO_TLS)) return `${message}, as with tls=true where no TLS is spoken`
  return message
}

const NO_TLS = 'Client network socket disconnected before secure TLS connection was established'

function isWithin(error: Error, kind: typeof AuthenticationError): boolean {
  return error instanceof kind || (error.cause instanceof Error && isWithin(error.cause, kind))
}

function innermost(error: Error): Error {
  const next = error instanceof AggregateError ? error.errors[0] : error.cause
  return next instanceof Error ? innermost(next) : error
}
