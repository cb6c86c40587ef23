import { StartError } from '../../../errors.ts'

/** What the anomaly detector is told by the environment; `readConfig` reads it with the rest. */

/** From where on an event is an anomaly. */
export type AnomalyThresholds = {
  /** A longer run is a LongRun. */
  longRunMetres: number
  /** A run that takes less is a ShortRun. */
  shortRunSeconds: number
  /** A longer play is a LongSong. */
  longSongSeconds: number
  /** A shorter play is a ShortSong. */
  shortSongSeconds: number
  /** By how much two runs of one runner may overlap. */
  runOverlapSeconds: number
  /** How long a song may go on after the next one began: players fade one into the other. */
  songOverlapSeconds: number
  /** How many events of one type a user may send within 60 s. */
  eventsPerMinute: number
  /** How many robust standard deviations a runner's own runs may be from the median. */
  baselineDeviations: number
  /** By how much an event may say to have begun after it was received: clocks are not all right. */
  futureSeconds: number
  /** An event that says to have begun in an earlier year is an AncientTimestamp. */
  firstYear: number
  /** A run that takes more is an EndlessRun. */
  endlessRunSeconds: number
}

type ReadNumber = (name: string, standard: number, min: number, max: number) => number

export function readAnomalyThresholds(number: ReadNumber): AnomalyThresholds {
  return {
    longRunMetres: number('ANOMALY_LONG_RUN_METRES', 42_000, 1, 10_000_000),
    shortRunSeconds: number('ANOMALY_SHORT_RUN_SECONDS', 300, 0, 31_536_000),
    longSongSeconds: number('ANOMALY_LONG_SONG_SECONDS', 900, 1, 86_400),
    shortSongSeconds: number('ANOMALY_SHORT_SONG_SECONDS', 30, 0, 86_400),
    runOverlapSeconds: number('ANOMALY_RUN_OVERLAP_SECONDS', 60, 0, 86_400),
    songOverlapSeconds: number('ANOMALY_SONG_OVERLAP_SECONDS', 15, 0, 86_400),
    eventsPerMinute: number('ANOMALY_EVENTS_PER_MINUTE', 300, 1, 1_000_000),
    baselineDeviations: number('ANOMALY_BASELINE_DEVIATIONS', 6, 2, 100),
    futureSeconds: number('ANOMALY_FUTURE_SECONDS', 86_400, 0, 31_536_000),
    firstYear: number('ANOMALY_FIRST_YEAR', 1980, 0, 9999),
    endlessRunSeconds: number('ANOMALY_ENDLESS_RUN_SECONDS', 604_800, 1, 31_536_000),
  }
}

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
