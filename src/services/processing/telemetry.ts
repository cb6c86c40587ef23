import { Counter, Gauge } from 'prom-client'
import type { PartitionCursor } from '../../log/position.ts'
import { deadLetterEvents, type Telemetry } from '../../telemetry.ts'

/** What Processing tells beside what all services do. */
export type ProcessingTelemetry = ReturnType<typeof processingTelemetry>

export function processingTelemetry(telemetry: Telemetry) {
  const { log, registers } = telemetry
  const counted = new Counter({
    name: 'runify_events_counted_total',
    help: 'Events folded into the statistics',
    registers,
  })
  const tombstones = new Counter({
    name: 'runify_tombstones_total',
    help: 'Requests to forget a user that were carried out',
    registers,
  })
  const behind = new Gauge({
    name: 'runify_statistics_behind_events',
    help: 'Records of the log that the statistics do not cover yet',
    registers,
  })

  return {
    ...telemetry,
    ...deadLetterEvents(telemetry),
    eventsCounted: (count: number, cursors: readonly PartitionCursor[]) => {
      counted.inc(count)
      log.debug({ count, cursors }, 'counted')
    },
    userErased: (at: { partition: number; offset: number }) => {
      tombstones.inc()
      log.info(at, 'a user was taken out of the statistics')
    },
    statisticsBehind: (events: number) => behind.set(events),
  }
}
