import type { Config, ServiceName } from '../../config.ts'
import { formatInstant } from '../../events/instant.ts'
import { type CanaryFlights, type Flight, HOP_SERVICES, HOPS, totalOf } from './canary-flights.ts'
import { type Cause, dependencyOf, describeFault, findCauses, type Ground, TITLES, type Verdicts } from './diagnosis.ts'
import { HISTORY_MINUTES } from './history.ts'
import { WATCHED, type Watched } from './watcher.ts'

/** What `GET /status` answers, beside when that was. */
export function describeStatus(
  watched: readonly Watched[],
  {
    canaries,
    ground,
    config,
    now,
  }: { canaries: CanaryFlights | undefined; ground: Ground; config: Config; now: number },
) {
  const verdicts = new Map(watched.map(({ service, verdict }) => [service, verdict]))
  const causes = [...findCauses(verdicts, ground), ...findStall(canaries?.last?.failure, verdicts)]
  return {
    status: causes.length === 0 ? 'healthy' : 'degraded',
    causes,
    services: watched.map((one) => describeWatched(one, ground, now)),
    canary: canaries === undefined ? null : describeCanaries(canaries, config, now),
  }
}

/** A service at which canaries are lost though it says that it is ready. */
function findStall(failure: Flight['failure'], verdicts: Verdicts): Cause[] {
  if (failure === undefined) return []
  const service = HOP_SERVICES[failure.hop]
  if (verdicts.get(service)?.kind !== 'healthy') return []
  const dependency = TITLES[service]
  return [{ dependency, detail: `Events do not get through ${dependency}: ${failure.why}`, services: [service] }]
}

function describeCanaries({ last, histories }: CanaryFlights, { canaryPeriodMs }: Config, now: number) {
  const summaries = [...HOPS, 'total' as const].map((hop) => [
    hop,
    {
      last_ms: last === undefined ? null : round((hop === 'total' ? totalOf(last) : last.hops[hop]) ?? null),
      last_hour: histories[hop].summary({ now, minutes: 60 }),
      last_day: histories[hop].summary({ now, minutes: HISTORY_MINUTES }),
    },
  ])
  return {
    period_ms: canaryPeriodMs,
    state: last === undefined ? 'none_yet' : last.failure === undefined ? 'arrived' : 'lost',
    sent: last === undefined ? null : formatInstant(last.sent),
    trace_id: last?.trace_id ?? null,
    lost_at: last?.failure?.hop ?? null,
    detail: last?.failure?.why ?? null,
    hops: Object.fromEntries(summaries),
  }
}

function round(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 100) / 100
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

export const STATUS_DESCRIPTION =
  '`causes` is what is at fault, the widest first: services that cannot reach the same thing have one cause. `uptime` is ' +
  'the percentage of the questions to which a service was ready, `latency_…` the milliseconds of its answers (within ' +
  '12 %), both over 24 hours at most, since `history_since`. Where the process has a data folder the history survives a ' +
  'restart, and the time between two processes counts as time in which the services of that process were unavailable; elsewhere it ' +
  'begins with the process, at `watching_since`. `canary` is what became of an event of the health check itself, which ' +
  'takes the way of all events: how long until the log had it, then Storage, then the statistics. It is null where no ' +
  'canaries are sent.'

const INSTANT = { type: 'string', format: 'date-time' }
const OR_NULL = { type: ['string', 'null'] }
const SERVICE = { type: 'string', enum: WATCHED satisfies readonly ServiceName[] }
const MILLISECONDS = { type: ['number', 'null'], minimum: 0, description: 'Milliseconds' }

export const CHECK_RESPONSE = {
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

export const FLIGHT = {
  type: 'object',
  required: ['last_ms', 'last_hour', 'last_day'],
  properties: { last_ms: MILLISECONDS, last_hour: SUMMARY, last_day: SUMMARY },
}

const CANARY_STATUS = {
  type: ['object', 'null'],
  required: ['period_ms', 'state', 'sent', 'trace_id', 'lost_at', 'detail', 'hops'],
  properties: {
    period_ms: { type: 'integer' },
    state: { type: 'string', enum: ['none_yet', 'arrived', 'lost'], description: 'What became of the last one' },
    sent: { type: ['string', 'null'], format: 'date-time' },
    trace_id: { type: ['string', 'null'], format: 'uuid' },
    lost_at: { type: ['string', 'null'], description: 'The hop that it did not pass' },
    detail: OR_NULL,
    hops: {
      type: 'object',
      required: [...HOPS, 'total'],
      properties: Object.fromEntries([...HOPS, 'total'].map((hop) => [hop, FLIGHT])),
    },
  },
}

export const STATUS_RESPONSE = {
  type: 'object',
  required: ['status', 'causes', 'services', 'canary', 'watching_since', 'history_since', 'last_updated'],
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
    canary: CANARY_STATUS,
    watching_since: { ...INSTANT, description: 'When this health check was started' },
    history_since: { ...INSTANT, description: 'Where the history of the last day begins: at most a day ago' },
    last_updated: INSTANT,
  },
}
