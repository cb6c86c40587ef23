import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask, type Question, type Reply } from '../../clients/ask.ts'
import { bearer, serviceUrl } from '../../clients/service-request.ts'
import type { Config, ServiceName } from '../../config.ts'
import { CANARY } from '../../events/catalogue.ts'
import type { EpochMs } from '../../events/instant.ts'
import { TITLES } from './diagnosis.ts'
import type { History } from './history.ts'
import type { HealthTelemetry } from './telemetry.ts'
import type { WatcherDeps } from './watcher.ts'

/** Where a canary passes: the log has it (the Receiver says so), Storage has it, the statistics cover it. */
export const HOPS = ['accepted', 'stored', 'counted'] as const
export type Hop = (typeof HOPS)[number]
export const HOP_SERVICES = { accepted: 'receiver', stored: 'storage', counted: 'processing' } as const

export type Flight = {
  trace_id: string | undefined
  sent: EpochMs
  /** Milliseconds that each hop took, of those that it has passed. */
  hops: Partial<Record<Hop, number>>
  failure: { hop: Hop; why: string } | undefined
}

export type CanaryDeps = Pick<WatcherDeps, 'addressOf' | 'keyOf' | 'started' | 'now'> & {
  config: Pick<Config, 'canaryPeriodMs' | 'canaryTimeoutMs' | 'healthTimeoutMs'>
  /** What the Receiver knows them by. */
  canaryKey: string
  telemetry: HealthTelemetry
  historyOf: (name: string) => History
}

const POLL_INTERVAL_MS = 5
const POLL_INTERVAL_MS_MAX = 200

/**
 * Sends a canary every period and follows it all the way that an event takes. One at a time. It finds what no service
 * sees of itself: that all are ready, and still nothing gets through.
 */
export class CanaryFlights {
  readonly #deps: CanaryDeps
  /** By hop, and of the whole way. */
  readonly histories: Record<Hop | 'total', History>
  last: Flight | undefined

  constructor(deps: CanaryDeps) {
    this.#deps = deps
    const of = (hop: Hop | 'total') => deps.historyOf(`canary ${hop}`)
    this.histories = { accepted: of('accepted'), stored: of('stored'), counted: of('counted'), total: of('total') }
  }

  async run(signal: AbortSignal): Promise<void> {
    const { started, config } = this.#deps
    await Promise.race([started, once(signal, 'abort')])
    while (!signal.aborted) {
      const began = performance.now()
      const flight = await this.#fly(signal)
      // What was cut off by the end of the health check is no failure of anybody.
      if (signal.aborted) return
      this.#remember(flight)
      const restMs = Math.max(0, config.canaryPeriodMs - (performance.now() - began))
      await sleep(restMs, undefined, { signal }).catch(() => {})
    }
  }

  async #fly(signal: AbortSignal): Promise<Flight> {
    const { now, canaryKey, config } = this.#deps
    const flight: Flight = { trace_id: undefined, sent: now(), hops: {}, failure: undefined }
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(config.canaryTimeoutMs)])
    try {
      const headers = bearer(canaryKey)
      const accepted = await this.#pass(flight, 'accepted', async () => {
        const reply = await this.#ask('receiver', CANARY.path.slice(1), { method: 'POST', headers })
        return answerOf(reply, 201)
      })
      flight.trace_id = String(accepted.trace_id)
      const place = await this.#pass(flight, 'stored', () =>
        this.#lookUntil(deadline, 'storage', `canaries/${flight.trace_id}`, () => true),
      )
      await this.#pass(flight, 'counted', () =>
        this.#lookUntil(deadline, 'processing', 'stats', (body) => covers(body.as_of, place)),
      )
    } catch (error) {
      if (!(error instanceof Lost)) throw error
      const hop = HOPS.find((name) => flight.hops[name] === undefined) as Hop
      flight.failure = { hop, why: error.message }
    }
    return flight
  }

  async #pass<T>(flight: Flight, hop: Hop, work: () => Promise<T>): Promise<T> {
    const began = performance.now()
    const result = await work()
    flight.hops[hop] = performance.now() - began
    return result
  }

  /** Asks again and again until the answer is what is looked for. */
  async #lookUntil(
    deadline: AbortSignal,
    service: ServiceName,
    path: string,
    found: (body: Record<string, unknown>) => boolean,
  ): Promise<Record<string, unknown>> {
    const headers = bearer(this.#deps.keyOf(service))
    let why = ''
    for (let waitMs = POLL_INTERVAL_MS; !deadline.aborted; waitMs = Math.min(waitMs * 1.5, POLL_INTERVAL_MS_MAX)) {
      const reply = await this.#ask(service, path, { headers })
      if (reply.kind === 'answer' && reply.status === 200 && found(reply.body)) return reply.body
      why = isNotYet(reply) ? '' : describe(reply)
      if (reply.kind === 'answer' && (reply.status === 401 || reply.status === 403)) break
      await sleep(waitMs, undefined, { signal: deadline }).catch(() => {})
    }
    throw new Lost(why === '' ? `${TITLES[service]} did not have it in time` : why)
  }

  async #ask(service: ServiceName, path: string, more: Partial<Question>): Promise<Reply> {
    const address = this.#deps.addressOf(service)
    if (address === undefined) return { kind: 'none', why: 'nobody has said where it is' }
    return ask({ url: serviceUrl(address, `/${path}`), timeoutMs: this.#deps.config.healthTimeoutMs, ...more })
  }

  #remember(flight: Flight): void {
    const { telemetry, now } = this.#deps
    const time = now()
    const { hops, failure } = flight
    for (const hop of HOPS) {
      const ms = hops[hop]
      if (ms !== undefined) this.histories[hop].add({ time, healthy: true, ms })
      else if (failure?.hop === hop) this.histories[hop].add({ time, healthy: false })
    }
    const ms = totalOf(flight)
    this.histories.total.add({ time, healthy: failure === undefined, ...(ms !== undefined && { ms }) })
    this.last = flight
    if (failure === undefined) telemetry.canaryArrived({ ...hops, total: ms as number })
    else telemetry.canaryLost(failure)
  }
}

/** Milliseconds of the whole way; undefined where it did not come so far. */
export function totalOf({ hops, failure }: Flight): number | undefined {
  return failure === undefined ? HOPS.reduce((sum, hop) => sum + (hops[hop] ?? 0), 0) : undefined
}

/** It did not get through, and why. */
class Lost extends Error {}

function answerOf(reply: Reply, status: number): Record<string, unknown> {
  if (reply.kind === 'answer' && reply.status === status) return reply.body
  throw new Lost(describe(reply))
}

function describe(reply: Reply): string {
  if (reply.kind === 'none') return reply.why
  const { status, body } = reply
  return `it answered ${status}${typeof body.detail === 'string' ? `: ${body.detail}` : ''}`
}

/** Storage answers 404 to what it does not have yet, and Processing 200 without it. */
function isNotYet(reply: Reply): boolean {
  return reply.kind === 'answer' && (reply.status === 200 || reply.status === 404)
}

/** Whether the positions that the statistics cover have passed the canary. */
function covers(asOf: unknown, { partition, offset }: Record<string, unknown>): boolean {
  if (!Array.isArray(asOf)) return false
  const cursor = (asOf as Record<string, unknown>[]).find(
    (one) => one.topic === CANARY.topic && one.partition === partition,
  )
  return cursor !== undefined && (cursor.next as number) > (offset as number)
}
