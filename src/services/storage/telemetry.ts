import { Counter } from 'prom-client'
import type { EventType } from '../../events/catalogue.ts'
import { deadLetterEvents, readerEvents, type Telemetry } from '../../telemetry.ts'

/** What Storage tells beside what all services do. */
export type StorageTelemetry = ReturnType<typeof storageTelemetry>

export function storageTelemetry(telemetry: Telemetry) {
  const { log, registers } = telemetry
  const stored = new Counter({
    name: 'runify_events_stored_total',
    help: 'Events written to the store, each once',
    labelNames: ['type'],
    registers,
  })
  const repeated = new Counter({
    name: 'runify_events_repeated_total',
    help: 'Deliveries of events that the store had before',
    labelNames: ['type'],
    registers,
  })
  const forgotten = new Counter({
    name: 'runify_events_forgotten_total',
    help: 'Events that were not stored, because their user was forgotten after they were received',
    labelNames: ['type'],
    registers,
  })
  const tombstones = new Counter({
    name: 'runify_tombstones_total',
    help: 'Requests to forget a user that were carried out',
    registers,
  })

  return {
    ...telemetry,
    ...deadLetterEvents(telemetry),
    ...readerEvents(telemetry),
    eventsStored: (type: EventType, count: { stored: number; repeated: number; forgotten?: number }) => {
      stored.inc({ type }, count.stored)
      repeated.inc({ type }, count.repeated)
      forgotten.inc({ type }, count.forgotten ?? 0)
      log.debug({ type, ...count }, 'stored')
    },
    userForgotten: (at: { partition: number; offset: number; valid: boolean }) => {
      tombstones.inc()
      if (at.valid) log.info(at, 'a user was forgotten')
      else log.warn(at, 'a record that is no tombstone was passed over')
    },
  }
}
