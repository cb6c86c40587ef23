import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { WebhookChoice, WebhookTiming } from '../../config.ts'
import { ask } from '../../http/ask.ts'
import type { Telemetry } from '../../telemetry.ts'
import { signedHeaders, toMessage, type WebhookMessage } from './webhook-message.ts'
import type { WebhookStore } from './webhook-store.ts'

export type SenderDeps = {
  webhook: WebhookChoice
  timing: WebhookTiming
  store: WebhookStore
  telemetry: Telemetry
  now: () => number
  /** 0 ≤ x < 1 */
  random: () => number
}

/** How often it looks for what another instance has found. */
const LOOK_MS = 1000
const LEASE_MS = 30_000
const TRY_MS_MAX = 10_000
/** Stopping must not take longer. */
const LAST_TRY_MS_MAX = 1000
const STORE_RETRY_MS = 1000
/** However long a receiver wants to be left alone. */
const RETRY_AFTER_MS_MAX = 3_600_000

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
        await this.#rest(LOOK_MS, signal)
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
    const { webhook, timing, store, telemetry } = this.#deps
    if (!(await this.#claim())) return false
    let pending = await store.pending(webhook.name, timing.groupMax)
    if (pending.anomalies.length === 0) return false
    if (pending.anomalies.length < timing.groupMax) {
      // What comes within a moment goes together.
      await pause(timing.groupMs, signal)
      if (signal.aborted) return false
      pending = await store.pending(webhook.name, timing.groupMax)
    }
    if (!(await this.#persist(toMessage(webhook.name, pending.anomalies), signal))) return false
    await store.advance(webhook.name, pending.cursors)
    telemetry.webhookDelivered(webhook.name, pending.anomalies.length)
    return true
  }

  /** Tries until the receiver has taken it; false when it is given up, or is another instance's now. */
  async #persist(message: WebhookMessage, signal: AbortSignal): Promise<boolean> {
    const { webhook, timing, store, telemetry, now } = this.#deps
    for (let tries = 1; !signal.aborted; tries++) {
      const failure = await this.#try(message)
      if (failure === undefined) return true
      if (signal.aborted) return false
      const parked = tries >= timing.triesMax
      telemetry.webhookFailed(webhook.name, { tries, why: failure.why, parked })
      if (parked) {
        await store.park(webhook.name, now())
        return false
      }
      if (!(await this.#waitToRetry(tries, failure.retryAfterMs, signal))) return false
    }
    return false
  }

  /** Undefined when it was taken, or why not. Redirects are not followed: the address is what was configured. */
  async #try(message: WebhookMessage): Promise<{ why: string; retryAfterMs: number } | undefined> {
    const { webhook, now } = this.#deps
    const headers = signedHeaders(message, webhook.secret, now())
    const { url } = webhook
    const { signal } = this.#brokenOff
    const reply = await ask({ url, method: 'POST', headers, body: message.body, timeoutMs: TRY_MS_MAX, signal })
    if (reply.kind === 'none') return { why: reply.why, retryAfterMs: 0 }
    const { status, headers: answered } = reply
    if (status >= 200 && status < 300) return undefined
    return { why: `it answered ${status}`, retryAfterMs: retryAfterMs(answered['retry-after'], now()) }
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
