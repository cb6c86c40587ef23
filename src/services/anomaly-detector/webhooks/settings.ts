import { StartError } from '../../../errors.ts'

/**
 * Where anomalies are delivered. `secrets`: `whsec_` and 24 to 64 bytes in base64, which both sides know; two while one takes
 * the other's place.
 */
export type WebhookChoice = { name: string; url: string; secrets: readonly string[] }

export type WebhookTiming = {
  /** How long it waits for more, to deliver it together. */
  groupMs: number
  /** About how many anomalies are delivered together at most. */
  groupMax: number
  /** How long it waits after the first try that failed, and at most after later ones. */
  retryMs: number
  retryMsMax: number
  /** After so many tries nothing more is sent there until a detector starts anew. */
  triesMax: number
}

type ReadNumber = (name: string, fallback: number, min: number, max: number) => number

export function readWebhookTiming(number: ReadNumber): WebhookTiming {
  return {
    groupMs: number('WEBHOOK_GROUP_MS', 1000, 0, 60_000),
    groupMax: number('WEBHOOK_GROUP_MAX', 100, 1, 1000),
    retryMs: number('WEBHOOK_RETRY_MS', 1000, 10, 60_000),
    retryMsMax: number('WEBHOOK_RETRY_MS_MAX', 300_000, 10, 3_600_000),
    triesMax: number('WEBHOOK_TRIES_MAX', 30, 1, 10_000),
  }
}

const WEBHOOK =
  /^([A-Za-z0-9._-]{1,64})=(https?:\/\/[^\s#]+)#(whsec_[A-Za-z0-9+/]{32,88}={0,2}(?:,whsec_[A-Za-z0-9+/]{32,88}={0,2})?)$/
const SECRET_BYTES_MIN = 24
const SECRET_BYTES_MAX = 64

/** `name=https://host/path#whsec_…[,whsec_…]`, one or more with spaces between them. Neither address nor secret is told in an error. */
export function readWebhooks(variable: string, text: string): WebhookChoice[] {
  const entries = text.split(/\s+/).filter((entry) => entry !== '')
  const webhooks = entries.map((entry, index) => {
    const [, name, url, together] = WEBHOOK.exec(entry) ?? []
    if (name === undefined || url === undefined || together === undefined || !isPlainAddress(url)) {
      throw new StartError(
        `${variable}: entry ${index + 1} must be of the form name=https://host/path#whsec_…[,whsec_…]`,
      )
    }
    const secrets = together.split(',')
    const lengths = secrets.map((secret) => Buffer.from(secret.slice('whsec_'.length), 'base64').length)
    if (lengths.some((length) => length < SECRET_BYTES_MIN || length > SECRET_BYTES_MAX)) {
      throw new StartError(
        `${variable}: the secret of ${name} must have ${SECRET_BYTES_MIN} to ${SECRET_BYTES_MAX} bytes`,
      )
    }
    return { name, url, secrets }
  })
  const names = webhooks.map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) < index)
  if (twice !== undefined) throw new StartError(`${variable} names ${twice} twice`)
  return webhooks
}

function isPlainAddress(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && url.username === '' && url.password === ''
}
