import { createHmac } from 'node:crypto'
import { derivedUuid } from '../../../events/trace-id.ts'
import { type Anomaly, toWire } from '../anomaly.ts'

/** What is sent to a webhook: the same id for the same anomalies, however often it is tried. */
export type WebhookMessage = { id: string; body: string }

export function toMessage(webhook: string, anomalies: readonly Anomaly[]): WebhookMessage {
  const id = derivedUuid(`webhook\n${webhook}\n${anomalies.map(({ anomaly_id }) => anomaly_id).join('\n')}`)
  return { id, body: JSON.stringify({ type: 'anomalies.found', data: { anomalies: anomalies.map(toWire) } }) }
}

/**
 * The headers of one try, by the Standard Webhooks specification 1.0 (standardwebhooks.com): the signature is HMAC-SHA256
 * over `id.timestamp.body` with the secret's bytes, in base64 behind `v1,`; of several secrets one each, with spaces between.
 * `now` in epoch milliseconds.
 */
export function signedHeaders(
  message: WebhookMessage,
  secrets: readonly string[],
  now: number,
): Record<string, string> {
  const timestamp = String(Math.floor(now / 1000))
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
    return `v1,${createHmac('sha256', key).update(`${message.id}.${timestamp}.${message.body}`).digest('base64')}`
  })
  return {
    'content-type': 'application/json',
    'user-agent': 'Runify',
    'webhook-id': message.id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  }
}
