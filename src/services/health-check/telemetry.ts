import { Counter, Gauge, Histogram } from 'prom-client'
import type { Telemetry } from '../../telemetry.ts'

/** What the health check tells beside what all services do. */
export type HealthTelemetry = ReturnType<typeof healthTelemetry>

export function healthTelemetry(telemetry: Telemetry) {
  const { log, registers } = telemetry
  const up = new Gauge({
    name: 'runify_watched_up',
    help: 'Whether a service was ready when the health check last asked it',
    labelNames: ['watched'],
    registers,
  })
  const watchedSeconds = new Histogram({
    name: 'runify_watched_seconds',
    help: 'Time that a service took to say whether it is ready',
    labelNames: ['watched'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers,
  })
  const canarySeconds = new Histogram({
    name: 'runify_canary_seconds',
    help: 'Time that a canary took to be accepted, then stored, then counted, and in total',
    labelNames: ['hop'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  })
  const canariesLost = new Counter({
    name: 'runify_canaries_lost_total',
    help: 'Canaries that did not arrive in time, by the hop that they did not pass',
    labelNames: ['hop'],
    registers,
  })
  const canaryArrival = new Gauge({
    name: 'runify_canary_arrival_timestamp_seconds',
    help: 'When a canary last came all the way through, Unix time; 0 before the first',
    registers,
  })
  // A series that begins at 1 has not grown for Prometheus: what an alert waits for is there from the beginning, at 0.
  for (const hop of ['accepted', 'stored', 'counted']) canariesLost.inc({ hop }, 0)

  return {
    ...telemetry,
    serviceWatched: (watched: string, { healthy, seconds }: { healthy: boolean; seconds?: number }) => {
      up.set({ watched }, healthy ? 1 : 0)
      if (seconds !== undefined) watchedSeconds.observe({ watched }, seconds)
    },
    serviceTurned: (watched: string, verdict: { kind: string }) => {
      if (verdict.kind === 'healthy') log.info({ watched }, 'a service is healthy')
      else log.warn({ watched, ...verdict }, 'a service is not healthy')
    },
    canaryArrived: (hops: Partial<Record<string, number>>) => {
      for (const [hop, ms] of Object.entries(hops)) canarySeconds.observe({ hop }, (ms as number) / 1000)
      canaryArrival.setToCurrentTime()
      log.debug(hops, 'a canary arrived')
    },
    canaryLost: (failure: { hop: string; why: string }) => {
      canariesLost.inc({ hop: failure.hop })
      log.warn(failure, 'a canary was lost')
    },
  }
}
