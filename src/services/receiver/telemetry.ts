import { Counter } from 'prom-client'
import type { EventType } from '../../events/catalogue.ts'
import type { Telemetry } from '../../telemetry.ts'

/** What the Receiver tells beside what all services do. */
export type ReceiverTelemetry = ReturnType<typeof receiverTelemetry>

/** Between two lines that say that the log did not take an append. */
const REFUSAL_LINES_MS = 1000

export function receiverTelemetry(telemetry: Telemetry) {
  const { log, registers } = telemetry
  const accepted = new Counter({
    name: 'runify_events_accepted_total',
    help: 'Events acknowledged: the log has them durably',
    labelNames: ['type'],
    registers,
  })
  const rejected = new Counter({
    name: 'runify_events_rejected_total',
    help: 'Events refused at the door because they are not valid',
    labelNames: ['type'],
    registers,
  })
  const refused = new Counter({
    name: 'runify_appends_refused_total',
    help: 'Appends that the log did not take',
    labelNames: ['code'],
    registers,
  })
  let nextRefusalLineMs = 0
  // A series that begins at 1 has not grown for Prometheus: what an alert waits for is there from the beginning, at 0.
  for (const code of ['log_unavailable', 'log_overloaded']) refused.inc({ code }, 0)

  return {
    ...telemetry,
    eventsAccepted: (type: EventType, count: number) => accepted.inc({ type }, count),
    eventsRejected: (type: EventType, count: number) => rejected.inc({ type }, count),
    appendRefused: (code: string, error: unknown) => {
      refused.inc({ code })
      if (code === 'log_overloaded' || performance.now() < nextRefusalLineMs) return
      // One for each would be a flood just when the log is unavailable; the metric has them all.
      nextRefusalLineMs = performance.now() + REFUSAL_LINES_MS
      log.warn({ err: error }, 'the log did not take an append')
    },
  }
}
