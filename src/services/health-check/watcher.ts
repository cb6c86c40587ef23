import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask, type Reply } from '../../clients/ask.ts'
import { bearer, serviceUrl } from '../../clients/service-request.ts'
import { type Config, SERVICES, type ServiceName, URL_VARIABLES } from '../../config.ts'
import type { EpochMs } from '../../events/instant.ts'
import { TITLES, type Verdict } from './diagnosis.ts'
import type { History } from './history.ts'
import type { HealthTelemetry } from './telemetry.ts'

export type WatcherDeps = {
  /** Where a service is now; undefined where nobody has said. */
  addressOf: (service: ServiceName) => string | undefined
  /** The key of scope `read` that a service is shown; undefined where there is none. */
  keyOf: (service: ServiceName) => string | undefined
  /** Before it resolves, those that are still being started would look as if they were unavailable. */
  started: Promise<void>
  config: Pick<Config, 'healthPeriodMs' | 'healthTimeoutMs'>
  telemetry: HealthTelemetry
  /** What is known of the last day of a service. */
  historyOf: (service: ServiceName) => History
  now: () => EpochMs
}

export type Watched = {
  service: ServiceName
  verdict: Verdict
  /** Since when it has been healthy, or not. */
  since: EpochMs
  /** What a healthy service says of itself, in a sentence. */
  says: string
  history: History
}

export const WATCHED = SERVICES.filter((service) => service !== 'health-check')

/** Those that say how much they have. */
const COUNTING: readonly ServiceName[] = ['storage', 'processing', 'analyzer', 'anomaly-detector']

/** Asks every service all the time, and remembers a day of it. One round at a time, however slow the answers are. */
export class Watcher {
  readonly #deps: WatcherDeps
  readonly #watched = new Map<ServiceName, Watched>()
  readonly #firstRound = Promise.withResolvers<void>()
  readonly since: EpochMs
  lastRound: EpochMs | undefined

  constructor(deps: WatcherDeps) {
    this.#deps = deps
    this.since = deps.now()
  }

  /** What is known, in the order of the flow; resolves when every service has been asked once. */
  async watched(): Promise<Watched[]> {
    await this.#firstRound.promise
    return WATCHED.map((service) => this.#watched.get(service) as Watched)
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.race([this.#deps.started, once(signal, 'abort')])
    while (!signal.aborted) {
      const began = performance.now()
      await this.round()
      const restMs = Math.max(0, this.#deps.config.healthPeriodMs - (performance.now() - began))
      await sleep(restMs, undefined, { signal }).catch(() => {})
    }
  }

  async round(): Promise<void> {
    await Promise.all(WATCHED.map((service) => this.#look(service)))
    this.lastRound = this.#deps.now()
    this.#firstRound.resolve()
  }

  async #look(service: ServiceName): Promise<void> {
    const { now, telemetry, historyOf } = this.#deps
    const { verdict, says, ms } = await this.#askReady(service)
    const time = now()
    const healthy = verdict.kind === 'healthy'
    const before = this.#watched.get(service)
    const history = historyOf(service)
    history.add({ time, healthy, ...(ms !== undefined && { ms }) })
    const same = before?.verdict.kind === verdict.kind
    this.#watched.set(service, { service, verdict, says, history, since: same ? before.since : time })
    telemetry.serviceWatched(service, { healthy, ...(ms !== undefined && { seconds: ms / 1000 }) })
    if (!same) telemetry.serviceTurned(service, verdict)
  }

  async #askReady(service: ServiceName): Promise<{ verdict: Verdict; says: string; ms?: number }> {
    const { addressOf, keyOf, config } = this.#deps
    const address = addressOf(service)
    if (address === undefined) {
      return { verdict: { kind: 'away', why: `${URL_VARIABLES[service]} does not say where it is` }, says: '' }
    }
    const timeoutMs = config.healthTimeoutMs
    const ready = await ask({ url: serviceUrl(address, '/health/ready'), timeoutMs })
    const verdict = toVerdict(ready)
    const took = ready.kind === 'answer' ? { ms: ready.ms } : {}
    if (verdict.kind !== 'healthy' || !COUNTING.includes(service)) return { verdict, says: 'Healthy', ...took }
    const headers = bearer(keyOf(service))
    return {
      verdict,
      says: toSentence(service, await ask({ url: serviceUrl(address, '/stats'), headers, timeoutMs })),
      ...took,
    }
  }
}

function toVerdict(reply: Reply): Verdict {
  if (reply.kind === 'none') return { kind: 'away', why: reply.why }
  const { status, body } = reply
  if (status === 200) return { kind: 'healthy' }
  const { code, detail } = body
  if (typeof code === 'string' && typeof detail === 'string') return { kind: 'not_ready', code, detail }
  return { kind: 'not_ready', code: 'unknown', detail: `it answered ${status} without saying why` }
}

/** Without its counts (it asks for a key that nobody has given) it is healthy all the same. */
function toSentence(service: ServiceName, reply: Reply): string {
  if (reply.kind === 'none' || reply.status !== 200) return 'Healthy'
  const { num_running_stats: runs, num_music_info: songs, num_anomalies: anomalies } = reply.body
  if (typeof anomalies === 'number') return `${TITLES[service]} has ${counted(anomalies, 'anomaly', 'anomalies')}`
  if (typeof runs !== 'number' || typeof songs !== 'number') return 'Healthy'
  return `${TITLES[service]} has ${counted(runs, 'run', 'runs')} and ${counted(songs, 'song', 'songs')}`
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`
}
