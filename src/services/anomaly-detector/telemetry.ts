import { Counter, Gauge } from 'prom-client'
import type { EventType } from '../../events/catalogue.ts'
import { deadLetterEvents, readerEvents, type Telemetry } from '../../telemetry.ts'

/** What the anomaly detector tells beside what all services do. */
export type AnomalyTelemetry = ReturnType<typeof anomalyTelemetry>

export function anomalyTelemetry(telemetry: Telemetry) {
  const { log, registers } = telemetry
  const judged = new Counter({
    name: 'runify_events_judged_total',
    help: 'Events that the anomaly detector has looked at',
    labelNames: ['type'],
    registers,
  })
  const notJudged = new Counter({
    name: 'runify_records_not_judged_total',
    help: 'Records that are no events, which Storage puts into the dead letters',
    labelNames: ['type'],
    registers,
  })
  const anomalies = new Counter({
    name: 'runify_anomalies_total',
    help: 'Anomalies found, each once',
    labelNames: ['type'],
    registers,
  })
  const delivered = new Counter({
    name: 'runify_webhook_anomalies_total',
    help: 'Anomalies that a webhook has taken',
    labelNames: ['webhook'],
    registers,
  })
  const tries = new Counter({
    name: 'runify_webhook_tries_total',
    help: 'Tries to deliver to a webhook',
    labelNames: ['webhook', 'outcome'],
    registers,
  })
  const parked = new Gauge({
    name: 'runify_webhook_parked',
    help: 'Whether a webhook was given up after too many tries, until somebody resumes it or a detector starts anew',
    labelNames: ['webhook'],
    registers,
  })
  const leftOut = new Counter({
    name: 'runify_webhook_left_out_anomalies_total',
    help: 'Anomalies that a webhook refused again and again while it took others: it will not be sent them any more',
    labelNames: ['webhook'],
    registers,
  })

  return {
    ...telemetry,
    ...deadLetterEvents(telemetry),
    ...readerEvents(telemetry),
    eventsJudged: (type: EventType, count: { judged: number; skipped: number }) => {
      judged.inc({ type }, count.judged)
      if (count.skipped > 0) notJudged.inc({ type }, count.skipped)
    },
    anomaliesFound: (found: readonly { anomaly_type: string; anomaly_id: string; trace_id: string }[]) => {
      for (const { anomaly_type: type, anomaly_id, trace_id } of found) {
        anomalies.inc({ type })
        log.debug({ anomaly_type: type, anomaly_id, trace_id }, 'an anomaly')
      }
    },
    anomaliesForgotten: (users: number) => log.info({ users }, 'the anomalies of users were forgotten'),
    webhookReady: (webhook: string) => parked.set({ webhook }, 0),
    webhookDelivered: (webhook: string, count: number) => {
      delivered.inc({ webhook }, count)
      // Another instance may have been told to resume it.
      parked.set({ webhook }, 0)
      tries.inc({ webhook, outcome: 'taken' })
    },
    webhookFailed: (webhook: string, failure: { tries: number; why: string; parked: boolean }) => {
      tries.inc({ webhook, outcome: 'failed' })
      if (failure.parked) parked.set({ webhook }, 1)
      if (failure.parked) log.error({ webhook, ...failure }, 'a webhook was given up until it is resumed')
      else log.warn({ webhook, ...failure }, 'a webhook did not take what was found')
    },
    webhookLeftOut: (webhook: string, anomaly: { anomaly_id: string; trace_id: string }) => {
      leftOut.inc({ webhook })
      log.error({ webhook, ...anomaly }, 'a webhook will not be sent an anomaly that it does not take')
    },
  }
}
