import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AuthenticationError, NetworkError, ResponseError, UserError } from '@platformatic/kafka'
import { toFailure } from './failure.ts'

/** As the client throws what went wrong while it connected. */
function connecting(cause: Error): Error {
  return new NetworkError('Connection to broker:9093 failed.', { cause })
}

const [SASL_HANDSHAKE, SASL_AUTHENTICATE] = [17, 36]

/** As a broker that answers with this error says no. */
function refused(api: number, code: number): Error {
  const cause = new ResponseError(api, 1, { '/': [code, null] }, {})
  const message = api === SASL_AUTHENTICATE ? 'SASL authentication failed.' : 'Cannot find a suitable SASL mechanism.'
  return connecting(new AuthenticationError(message, { cause }))
}

describe('A failure while a connection to a broker gets ready', () => {
  const closed = new NetworkError('Connection closed')
  const cases: Record<string, { error: Error; detail: RegExp }> = {
    'names tls=true where the connection broke before authentication': {
      error: connecting(new AuthenticationError('Cannot find a suitable SASL mechanism.', { cause: closed })),
      detail: /^Kafka: Connection closed before authentication, .* tls=true is missing$/,
    },
    'names tls=true where the connection broke before there was TLS': {
      error: connecting(
        new UserError('TLS handshake failed. Please verify the broker supports TLS.', {
          cause: Object.assign(
            new Error('Client network socket disconnected before secure TLS connection was established'),
            { code: 'ECONNRESET' },
          ),
        }),
      ),
      detail: /^Kafka: Client network socket disconnected .* where no TLS is spoken$/,
    },
    'names user and password where the broker refuses them': {
      error: refused(SASL_AUTHENTICATE, 58),
      detail: /^Kafka: SASL authentication failed\. The user or the password is not right$/,
    },
    'names the mechanism where the broker has another': {
      error: refused(SASL_HANDSHAKE, 33),
      detail: /^Kafka: The broker does not support the requested SASL mechanism\.$/,
    },
    'names the port where nobody is asked for a user': {
      error: refused(SASL_HANDSHAKE, 34),
      detail: /^Kafka: the broker asks nobody for a user at this port$/,
    },
    'names tls=true where the broker answers with an alert of TLS': {
      error: new UserError('Broker requires TLS.'),
      detail: /^Kafka: Broker requires TLS\. tls=true is missing$/,
    },
  }
  for (const [what, { error, detail }] of Object.entries(cases)) {
    test(what, () => {
      const { code, message } = toFailure(error)
      assert.equal(code, 'log_unavailable')
      assert.match(message, detail)
    })
  }
})
