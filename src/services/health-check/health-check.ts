import type { Config } from '../../config.ts'
import { formatInstant } from '../../events/instant.ts'
import { HttpServer } from '../../http/server.ts'
import { type CanaryDeps, CanaryFlights } from './canary-flights.ts'
import { groundOf } from './diagnosis.ts'
import { CHECK_RESPONSE, describeStatus, STATUS_DESCRIPTION, STATUS_RESPONSE } from './status.ts'
import { Watcher, type WatcherDeps } from './watcher.ts'

export type HealthCheckDeps = Pick<WatcherDeps, 'addressOf' | 'keyOf' | 'started' | 'telemetry'> & {
  config: Config
  now?: () => number
}

/** Watches the other services from outside, as a client would, and says what is at fault. */
export async function createHealthCheck({
  addressOf,
  keyOf,
  started,
  config,
  telemetry,
  now = Date.now,
}: HealthCheckDeps): Promise<HttpServer> {
  const watcher = new Watcher({ addressOf, keyOf, started, config, telemetry, now })
  const ground = groundOf(config)
  const canaries = openCanaries({ addressOf, keyOf, started, config, telemetry, now })
  const server = await HttpServer.create({
    service: 'health-check',
    description: 'Asks every service all the time, remembers a day of it, and says what is at fault.',
    config,
    telemetry,
    // It stands on nothing, so that it can tell when everything else is away.
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
        last_updated: lastUpdated(),
      }
    },
  })

  const stop = new AbortController()
  const watching = Promise.all([watcher.run(stop.signal), canaries?.run(stop.signal)])
  server.onDispose(async () => {
    stop.abort()
    await watching
  })
  return server

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
