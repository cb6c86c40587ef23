import { Counter, Gauge, Histogram } from 'prom-client'
import type { Telemetry } from '../../telemetry.ts'

/** What the Analyzer tells beside what all services do. */
export type AnalyzerTelemetry = ReturnType<typeof analyzerTelemetry>

export function analyzerTelemetry(telemetry: Telemetry) {
  const { log, registers } = telemetry
  const looks = new Histogram({
    name: 'runify_event_n_looks',
    help: 'Looks into the log by time that a search for the n-th event took; 0 where earlier ones sufficed',
    buckets: [0, 1, 2, 4, 8, 16, 32, 64],
    registers,
  })
  const lagRecords = new Gauge({
    name: 'runify_group_lag_records',
    help: 'Records of the log that a group has not read',
    labelNames: ['group', 'topic'],
    registers,
  })
  const lagSeconds = new Gauge({
    name: 'runify_group_lag_seconds',
    help: 'Age of the oldest record that a group has not read',
    labelNames: ['group', 'topic'],
    registers,
  })
  const tails = new Gauge({
    name: 'runify_tails',
    help: 'Clients that follow the log',
    registers,
  })
  const tailEvents = new Counter({
    name: 'runify_tail_events_total',
    help: 'Events told to clients that follow the log',
    registers,
  })
  const tailMissed = new Counter({
    name: 'runify_tail_missed_records_total',
    help: 'Records that clients were told they have missed, because they are too slow or retention was faster',
    registers,
  })
  const redriven = new Counter({
    name: 'runify_redrives_total',
    help: 'Dead letters that were to be sent again, by what became of it',
    labelNames: ['outcome'],
    registers,
  })

  return {
    ...telemetry,
    nthSearched: (count: number) => looks.observe(count),
    groupLag: (topic: string, at: { group: string; lag: number; lag_seconds: number }) => {
      lagRecords.set({ group: at.group, topic }, at.lag)
      lagSeconds.set({ group: at.group, topic }, at.lag_seconds)
    },
    tailing: (count: number) => tails.set(count),
    tailed: ({ events = 0, missed = 0 }: { events?: number; missed?: number }) => {
      tailEvents.inc(events)
      tailMissed.inc(missed)
    },
    redriven: (letter: { id: string; topic: string; partition: number; offset: number; outcome: string }) => {
      redriven.inc({ outcome: letter.outcome })
      log.info(letter, 'a dead letter was to be sent again')
    },
    letterDismissed: (letter: { id: string; topic: string; partition: number; offset: number }) => {
      log.info(letter, 'a dead letter was dismissed')
    },
  }
}
