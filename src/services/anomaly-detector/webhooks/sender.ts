import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask } from '../../../clients/ask.ts'
import type { Anomaly } from '../anomaly.ts'
import type { WebhookStore } from '../store/webhook-store.ts'
import type { AnomalyTelemetry } from '../telemetry.ts'
import { signedHeaders, toMessage, type WebhookMessage } from './message.ts'
import type { WebhookChoice, WebhookTiming } from './settings.ts'

export type SenderDeps = {
  webhook: WebhookChoice
  timing: WebhookTiming
  store: WebhookStore
  telemetry: AnomalyTelemetry
  now: () => number
  /** 0 ≤ x < 1 */
  random: () => number
}

/** How often it looks for what another instance has found. */
const POLL_INTERVAL_MS = 1000
const LEASE_MS = 30_000
const TRY_MS_MAX = 10_000
/** Stopping must not take longer. */
const LAST_TRY_MS_MAX = 1000
const STORE_RETRY_MS = 1000
/** However long a receiver wants to be left alone. */
const RETRY_AFTER_MS_MAX = 3_600_000
/** By these a receiver says that it does not want what is in the message; by others, that it cannot take anything. */
const REFUSALS: ReadonlySet<number> = new Set([400, 413, 422])

/** By this one it says that there is no receiver any more, and will be none. */
const GONE = 410

type Failed = { why: string; retryAfterMs: number; refused: boolean; gone: boolean }
/** `stopped`: the time to stop, the webhook is given up, or is another instance's now. */
type Outcome = 'taken' | 'refused' | 'stopped'

/**
 * Delivers what is found to one webhook, in groups, one at a time: the next only after the receiver has taken the one
 * before, so that its position says all. Each webhook has its own, so a slow receiver holds up nobody else.
 */
export class WebhookSender {
  readonly #deps: SenderDeps
  readonly #owner = randomUUID()
  readonly #brokenOff = new AbortController()
  #news = Promise.withResolvers<void>()

  constructor(deps: SenderDeps) {
    this.#deps = deps
  }

  /** Something was found. */
  wake(): void {
    this.#news.resolve()
  }

  /** Until the signal aborts. A try that is under way then has a moment; broken off, it is made again by whoever comes next. */
  async run(signal: AbortSignal): Promise<void> {
    const { webhook, store, telemetry } = this.#deps
    let registered = false
    let breakOff: NodeJS.Timeout | undefined
    signal.addEventListener('abort', () => {
      breakOff = setTimeout(() => this.#brokenOff.abort(), LAST_TRY_MS_MAX)
    })
    while (!signal.aborted) {
      try {
        if (!registered) await store.register(webhook.name)
        if (!registered) telemetry.webhookReady(webhook.name)
        registered = true
        if (await this.#deliverNext(signal)) continue
        await this.#rest(POLL_INTERVAL_MS, signal)
      } catch (error) {
        telemetry.workFailed('webhook', error)
        await pause(STORE_RETRY_MS, signal)
      }
    }
    clearTimeout(breakOff)
    // Another instance need not wait for the lease to run out.
    await store.release({ webhook: webhook.name, owner: this.#owner }).catch(() => {})
  }

  /** Delivers one group; false when there is nothing to do here. */
  async #deliverNext(signal: AbortSignal): Promise<boolean> {
    const { webhook, timing, store } = this.#deps
    if (!(await this.#claim())) return false
    let pending = await store.pending(webhook.name, timing.groupMax)
    if (pending.anomalies.length === 0) return false
    if (pending.anomalies.length < timing.groupMax) {
      // What comes within a moment goes together.
      await pause(timing.groupMs, signal)
      if (signal.aborted) return false
      pending = await store.pending(webhook.name, timing.groupMax)
    }
    if (!(await this.#deliver(pending.anomalies, signal))) return false
    await store.advance(webhook.name, pending.cursors)
    return true
  }

  /**
   * Delivers a group; false when it is to be tried again later, by whoever. Where the receiver refuses what is in it, each
   * goes alone: one that it never takes is left out, loudly, after as many tries as it takes to give a webhook up. But
   * where it takes none of several, it is the receiver that is wrong, and it is given up.
   */
  async #deliver(group: readonly Anomaly[], signal: AbortSignal): Promise<boolean> {
    const { triesMax } = this.#deps.timing
    if (group.length > 1) {
      const outcome = await this.#persist(group, { refusalsMax: 1, signal })
      if (outcome !== 'refused') return outcome === 'taken'
    }
    const refused: Anomaly[] = []
    for (const anomaly of group.length > 1 ? group : []) {
      const outcome = await this.#persist([anomaly], { refusalsMax: 1, signal })
      if (outcome === 'stopped') return false
      if (outcome === 'refused') refused.push(anomaly)
    }
    if (group.length > 1 && refused.length === group.length) {
      return (await this.#persist(group, { refusalsMax: Number.POSITIVE_INFINITY, signal })) === 'taken'
    }
    for (const anomaly of group.length > 1 ? refused : group) {
      const outcome = await this.#persist([anomaly], { refusalsMax: triesMax, signal })
      if (outcome === 'stopped') return false
      if (outcome === 'refused') this.#leaveOut(anomaly)
    }
    return true
  }

  #leaveOut({ anomaly_id, trace_id }: Anomaly): void {
    const { webhook, telemetry } = this.#deps
    telemetry.webhookLeftOut(webhook.name, { anomaly_id, trace_id })
  }

  /** Tries until the receiver has taken it, has refused it so often, or is given up. */
  async #persist(
    anomalies: readonly Anomaly[],
    { refusalsMax, signal }: { refusalsMax: number; signal: AbortSignal },
  ): Promise<Outcome> {
    const { webhook, timing, store, telemetry, now } = this.#deps
    const message = this.#messageOf(anomalies)
    if (message === undefined) return 'refused'
    for (let tries = 1; !signal.aborted && (await this.#claim()); tries++) {
      const failure = await this.#try(message)
      if (failure === undefined) {
        telemetry.webhookDelivered(webhook.name, anomalies.length)
        return 'taken'
      }
      if (signal.aborted) return 'stopped'
      const refused = failure.refused && tries >= refusalsMax
      const parked = failure.gone || (!refused && tries >= timing.triesMax)
      telemetry.webhookFailed(webhook.name, { tries, why: failure.why, parked })
      if (refused) return 'refused'
      if (parked) {
        await store.park(webhook.name, now())
        return 'stopped'
      }
      if (!(await this.#waitToRetry(tries, failure.retryAfterMs, signal))) return 'stopped'
    }
    return 'stopped'
  }

  /** Undefined where one of them has no form on the wire, which only a table that somebody has changed can hold. */
  #messageOf(anomalies: readonly Anomaly[]): WebhookMessage | undefined {
    const { webhook, telemetry } = this.#deps
    try {
      return toMessage(webhook.name, anomalies)
    } catch (error) {
      telemetry.webhookFailed(webhook.name, { tries: 0, why: (error as Error).message, parked: false })
      return undefined
    }
  }

  /** Undefined when it was taken, or why not. Redirects are not followed: the address is what was configured. */
  async #try(message: WebhookMessage): Promise<Failed | undefined> {
    const { webhook, now } = this.#deps
    const headers = signedHeaders(message, webhook.secrets, now())
    const { url } = webhook
    const { signal } = this.#brokenOff
    const reply = await ask({ url, method: 'POST', headers, body: message.body, timeoutMs: TRY_MS_MAX, signal })
    if (reply.kind === 'none') return { why: reply.why, retryAfterMs: 0, refused: false, gone: false }
    const { status, headers: answered } = reply
    if (status >= 200 && status < 300) return undefined
    const [why, refused] = [`it answered ${status}`, REFUSALS.has(status)]
    return { why, retryAfterMs: retryAfterMs(answered['retry-after'], now()), refused, gone: status === GONE }
  }

  /** Keeps the lease meanwhile; false when it is lost, or the time to stop. */
  async #waitToRetry(tries: number, atLeastMs: number, signal: AbortSignal): Promise<boolean> {
    const { timing, random } = this.#deps
    let leftMs = Math.max(atLeastMs, retryDelayMs(tries, timing, random()))
    while (leftMs > 0) {
      const stepMs = Math.min(leftMs, LEASE_MS / 3)
      await pause(stepMs, signal)
      if (signal.aborted || !(await this.#claim())) return false
      leftMs -= stepMs
    }
    return true
  }

  #claim(): Promise<boolean> {
    const { webhook, store, now } = this.#deps
    const time = now()
    return store.claim({ webhook: webhook.name, owner: this.#owner, now: time, until: time + LEASE_MS })
  }

  /** Until the time is over or there is news. */
  async #rest(ms: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController()
    await Promise.race([this.#news.promise, pause(ms, AbortSignal.any([signal, over.signal]))])
    over.abort()
    this.#news = Promise.withResolvers()
  }
}

/** Doubles with each try up to the most, and between half and all of it by chance, so that receivers are not hit at once. */
export function retryDelayMs(
  tries: number,
  { retryMs, retryMsMax }: Pick<WebhookTiming, 'retryMs' | 'retryMsMax'>,
  random: number,
): number {
  const full = Math.min(retryMsMax, retryMs * 2 ** Math.min(tries - 1, 30))
  return full / 2 + (full / 2) * random
}

/** RFC 9110, 10.2.3: seconds, or a date. What is neither, or lies in the past, is 0; no more than an hour. */
export function retryAfterMs(value: string | undefined, now: number): number {
  if (value === undefined) return 0
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now
  return Number.isNaN(ms) ? 0 : Math.min(RETRY_AFTER_MS_MAX, Math.max(0, ms))
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {})
}
