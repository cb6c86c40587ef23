import type { Config, ServiceName } from '../../config.ts'
import { formatInstant } from '../../events/instant.ts'
import { HttpServer } from '../../http/server.ts'
import { dependencyOf, describeFault, findCauses, type Ground, groundOf } from './diagnosis.ts'
import { HISTORY_MINUTES } from './history.ts'
import { WATCHED, type Watched, Watcher, type WatcherDeps } from './watcher.ts'

export type HealthCheckDeps = Pick<WatcherDeps, 'addressOf' | 'started' | 'telemetry'> & {
  config: Config
  now?: () => number
}

/** Watches the other services from outside, as a client would, and says what is at fault. */
export async function createHealthCheck({
  addressOf,
  started,
  config,
  telemetry,
  now = Date.now,
}: HealthCheckDeps): Promise<HttpServer> {
  const watcher = new Watcher({ addressOf, started, config, telemetry, now })
  const ground = groundOf(config)
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
      const causes = findCauses(new Map(watched.map(({ service, verdict }) => [service, verdict])), ground)
      return {
        status: causes.length === 0 ? 'healthy' : 'degraded',
        causes,
        services: watched.map((one) => describeWatched(one, ground, now())),
        watching_since: formatInstant(watcher.since),
        last_updated: lastUpdated(),
      }
    },
  })

  const stop = new AbortController()
  const watching = watcher.run(stop.signal)
  server.onDispose(async () => {
    stop.abort()
    await watching
  })
  return server

  function lastUpdated(): string {
    return formatInstant(watcher.lastRound ?? watcher.since)
  }
}

function describeWatched({ service, verdict, since, history }: Watched, ground: Ground, now: number) {
  const code = verdict.kind === 'not_ready' ? verdict.code : null
  return {
    service,
    state: verdict.kind,
    since: formatInstant(since),
    code,
    dependency: code === null ? null : (dependencyOf(service, code, ground) ?? null),
    detail: describeFault(service, verdict, ground) ?? null,
    last_hour: history.summary({ now, minutes: 60 }),
    last_day: history.summary({ now, minutes: HISTORY_MINUTES }),
  }
}

const STATUS_DESCRIPTION =
  '`causes` is what is at fault, the widest first: services that cannot reach the same thing have one cause. `uptime` is ' +
  'the percentage of the questions to which a service was ready, `latency_…` the milliseconds of its answers (within ' +
  '12 %). History is kept in memory, since `watching_since`, for 24 hours at most.'

const INSTANT = { type: 'string', format: 'date-time' }
const OR_NULL = { type: ['string', 'null'] }
const SERVICE = { type: 'string', enum: WATCHED satisfies readonly ServiceName[] }
const MILLISECONDS = { type: ['number', 'null'], minimum: 0, description: 'Milliseconds' }

const CHECK_RESPONSE = {
  type: 'object',
  required: [...WATCHED, 'last_updated'],
  properties: {
    ...Object.fromEntries(WATCHED.map((service) => [service, { type: 'string' }])),
    last_updated: { ...INSTANT, description: 'When all of them were last asked' },
  },
}

const SUMMARY = {
  type: 'object',
  required: ['asked', 'uptime', 'latency_p50', 'latency_p99'],
  properties: {
    asked: { type: 'integer', minimum: 0 },
    uptime: { type: ['number', 'null'], minimum: 0, maximum: 100, description: 'Percent' },
    latency_p50: MILLISECONDS,
    latency_p99: MILLISECONDS,
  },
}

const STATUS_RESPONSE = {
  type: 'object',
  required: ['status', 'causes', 'services', 'watching_since', 'last_updated'],
  properties: {
    status: { type: 'string', enum: ['healthy', 'degraded'] },
    causes: {
      type: 'array',
      items: {
        type: 'object',
        required: ['dependency', 'detail', 'services'],
        properties: {
          dependency: { type: 'string', description: 'Such as Kafka, MySQL, or a service' },
          detail: { type: 'string' },
          services: { type: 'array', items: SERVICE, description: 'Those that cannot work because of it' },
        },
      },
    },
    services: {
      type: 'array',
      items: {
        type: 'object',
        required: ['service', 'state', 'since', 'code', 'dependency', 'detail', 'last_hour', 'last_day'],
        properties: {
          service: SERVICE,
          state: { type: 'string', enum: ['healthy', 'not_ready', 'away'] },
          since: { ...INSTANT, description: 'Since when it has been in this state' },
          code: { ...OR_NULL, description: 'Of the problem that it answers when it is not ready' },
          dependency: { ...OR_NULL, description: 'What it lacks then' },
          detail: OR_NULL,
          last_hour: SUMMARY,
          last_day: SUMMARY,
        },
      },
    },
    watching_since: INSTANT,
    last_updated: INSTANT,
  },
}
