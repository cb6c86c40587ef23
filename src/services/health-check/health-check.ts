import { once } from 'node:events'
import type { Config, ServiceName } from '../../config.ts'
import { formatInstant } from '../../events/instant.ts'
import { HttpServer } from '../../http/server.ts'
import { type CanaryDeps, CanaryFlights } from './canary-flights.ts'
import { groundOf } from './diagnosis.ts'
import { HistoryKeeper } from './history-keeper.ts'
import { CHECK_RESPONSE, describeStatus, STATUS_DESCRIPTION, STATUS_RESPONSE } from './status.ts'
import { WATCHED, Watcher, type WatcherDeps } from './watcher.ts'

export type HealthCheckDeps = Pick<WatcherDeps, 'addressOf' | 'keyOf' | 'started' | 'telemetry'> & {
  config: Config
  /** Where what was seen is kept; undefined where this process has no data folder. */
  historyPath?: string | undefined
  /** Whether a service runs in this process, and so was unavailable whenever this one was. */
  isHere?: (service: ServiceName) => boolean
  now?: () => number
}

/** Watches the other services from outside, as a client would, and says what is at fault. */
export async function createHealthCheck({
  addressOf,
  keyOf,
  started,
  config,
  telemetry,
  historyPath,
  isHere = () => false,
  now = Date.now,
}: HealthCheckDeps): Promise<HttpServer> {
  const keeper = await HistoryKeeper.open({ path: historyPath, telemetry, now })
  const historyOf = (name: string) => keeper.of(name)
  const watcher = new Watcher({ addressOf, keyOf, started, config, telemetry, historyOf, now })
  const ground = groundOf(config)
  const canaries = openCanaries({ addressOf, keyOf, started, config, telemetry, historyOf, now })
  const server = await HttpServer.create({
    service: 'health-check',
    description: 'Asks every service all the time, remembers a day of it, and says what is at fault.',
    config,
    telemetry,
    // It stands on nothing, so that it can tell when everything else is unavailable.
    checkReady: async () => {},
  })
  server.get('/check', {
    summary: 'One sentence on each service, `Unavailable` where it cannot work',
    response: CHECK_RESPONSE,
    handler: async () => {
      const watched = await watcher.watched()
      const sentences = watched.map(({ service, verdict, says }) => {
        return [service, verdict.kind === 'healthy' ? says : 'Unavailable']
      })
      return { ...Object.fromEntries(sentences), last_updated: lastUpdated() }
    },
  })
  server.get('/status', {
    summary: 'What is at fault, and how each service has done in the last hour and day',
    description: STATUS_DESCRIPTION,
    response: STATUS_RESPONSE,
    handler: async () => {
      const watched = await watcher.watched()
      return {
        ...describeStatus(watched, { canaries, ground, config, now: now() }),
        watching_since: formatInstant(watcher.since),
        history_since: formatInstant(keeper.since),
        last_updated: lastUpdated(),
      }
    },
  })

  const stop = new AbortController()
  const watching = watch(stop.signal)
  server.onDispose(async () => {
    stop.abort()
    await watching
  })
  return server

  async function watch(signal: AbortSignal): Promise<void> {
    await Promise.race([started, once(signal, 'abort')])
    // Stopped before everything was started, as nobody has looked.
    if (signal.aborted) return
    keeper.addDowntime(WATCHED.filter(isHere), config.healthPeriodMs)
    const looking = Promise.all([watcher.run(signal), canaries?.run(signal)])
    await Promise.all([looking, keeper.run(signal)])
  }

  function lastUpdated(): string {
    return formatInstant(watcher.lastRound ?? watcher.since)
  }
}

/** Undefined where none are wanted, or the Receiver would not know them. */
function openCanaries({
  config,
  ...deps
}: Omit<CanaryDeps, 'canaryKey'> & { config: Config }): CanaryFlights | undefined {
  const { canaryKey, canaryPeriodMs } = config
  return canaryKey === undefined || canaryPeriodMs === 0 ? undefined : new CanaryFlights({ config, canaryKey, ...deps })
}
