import cluster from 'node:cluster'
import { basename } from 'node:path'
import { isatty } from 'node:tty'
import { type DestinationStream, type Logger, pino } from 'pino'
import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Config } from './config.ts'
import type { Checked } from './disk/file-checker.ts'
import type { SetAside } from './disk/set-aside.ts'
import { freeBytes, sizeBytes } from './disk/space.ts'
import type { EventType } from './events/catalogue.ts'
import { DEAD_LETTER_REASONS } from './log/dead-letter.ts'
import type { PartitionCursor } from './log/position.ts'

/** What each operational event does: its log line and its metric, together, so that neither is forgotten. */
export type Telemetry = ReturnType<typeof createTelemetry>

/**
 * A service's log and metrics. `process_…` metrics are those of the thread's process, and appear once for each thread.
 */
export function createTelemetry(service: string, logLevel: Config['logLevel']) {
  const registry = new Registry()
  registry.setDefaultLabels({ service })
  collectDefaultMetrics({ register: registry })
  return describeEvents(pino({ level: logLevel, base: { service } }, destination), registry)
}

const STDOUT = 1
/** Whoever looks at a terminal reads words; what a program reads, or a container's log keeps, is JSON. */
const destination: DestinationStream = isatty(STDOUT) ? await openTerminal() : pino.destination(STDOUT)

/** Loaded where it is needed: elsewhere nobody pays for it. */
async function openTerminal(): Promise<DestinationStream> {
  const { default: pretty } = await import('pino-pretty')
  return pretty({
    destination: STDOUT,
    // A line is there before the process can end.
    sync: true,
    translateTime: 'SYS:HH:MM:ss',
    ignore: 'service',
    messageFormat: '{service}: {msg}',
    singleLine: true,
  })
}

/** Between two lines that say that the log did not take an append. */
const REFUSAL_LINES_MS = 1000
/** Between two lines that say that a piece of work failed for the same reason; the metric has all of them. */
const FAILURE_LINES_MS = 10_000

/** Between two lines that say that there are too many connections. */
const CONNECTION_LINES_MS = 10_000

/** Between one of several workers and the process that started them. */
export type MetricsMessage = { type: 'runify:metrics'; id: number; text?: string; error?: string }

/** The metrics of this process; where it is one of several workers (`RECEIVER_WORKERS`), of all of them together. */
function metricsReader(registry: Registry): () => Promise<string> {
  const primary = cluster.worker
  if (primary === undefined) return () => registry.metrics()
  AggregatorRegistry.setRegistries([registry])
  // Makes this process answer when it is asked for its part.
  new AggregatorRegistry()
  const asked = new Map<number, PromiseWithResolvers<string>>()
  let last = 0
  process.on('message', ({ type, id, text, error }: MetricsMessage) => {
    if (type !== 'runify:metrics') return
    if (text !== undefined) asked.get(id)?.resolve(text)
    else asked.get(id)?.reject(new Error(error))
    asked.delete(id)
  })
  return () => {
    const answer = Promise.withResolvers<string>()
    const id = ++last
    asked.set(id, answer)
    primary.send({ type: 'runify:metrics', id } satisfies MetricsMessage)
    return answer.promise
  }
}

/** A folder that is gone must not keep the other metrics from being told. */
function orNothing(look: () => number): number {
  try {
    return look()
  } catch {
    return Number.NaN
  }
}

function describeEvents(log: Logger, registry: Registry) {
  const registers = [registry]
  const requests = new Histogram({
    name: 'runify_http_request_seconds',
    help: 'Time from the first byte of a request to the last of its answer',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers,
  })
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
  let nextRefusalLineMs = 0
  const failureLines = new Map<string, { message: string; at: number }>()
  const refused = new Counter({
    name: 'runify_appends_refused_total',
    help: 'Appends that the log did not take',
    labelNames: ['code'],
    registers,
  })
  let nextConnectionLineMs = 0
  const refusedConnections = new Counter({
    name: 'runify_connections_refused_total',
    help: 'Connections that were one too many',
    registers,
  })
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
  const dead = new Counter({
    name: 'runify_dead_letters_total',
    help: 'Records put into the dead letters',
    labelNames: ['reason'],
    registers,
  })
  const redriven = new Counter({
    name: 'runify_redrives_total',
    help: 'Dead letters that were to be sent again, by what became of it',
    labelNames: ['outcome'],
    registers,
  })
  const counted = new Counter({
    name: 'runify_events_counted_total',
    help: 'Events folded into the statistics',
    registers,
  })
  const behind = new Gauge({
    name: 'runify_statistics_behind_events',
    help: 'Records of the log that the statistics do not cover yet',
    registers,
  })
  const looks = new Histogram({
    name: 'runify_event_n_looks',
    help: 'Looks into the log by time that a search for the n-th event took; 0 where earlier ones sufficed',
    buckets: [0, 1, 2, 4, 8, 16, 32, 64],
    registers,
  })
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
  const failures = new Counter({
    name: 'runify_failures_total',
    help: 'Pieces of background work that failed and are tried again',
    labelNames: ['work', 'code'],
    registers,
  })
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
  const setAside = new Counter({
    name: 'runify_files_set_aside_total',
    help: 'Damaged files that were moved away and made anew',
    labelNames: ['file'],
    registers,
  })
  const damaged = new Gauge({
    name: 'runify_file_damaged',
    help: 'Whether a file of the data folder was damaged when it was last read through',
    labelNames: ['file'],
    registers,
  })
  const checked = new Gauge({
    name: 'runify_file_checked_timestamp_seconds',
    help: 'When a file of the data folder was last read through, Unix time',
    labelNames: ['file'],
    registers,
  })
  // A series that begins at 1 has not grown for Prometheus: what an alert waits for is there from the beginning, at 0.
  for (const reason of DEAD_LETTER_REASONS) dead.inc({ reason }, 0)
  for (const hop of ['accepted', 'stored', 'counted']) canariesLost.inc({ hop }, 0)
  for (const code of ['log_unavailable', 'log_overloaded']) refused.inc({ code }, 0)
  failures.inc({ work: 'consume', code: 'removed_unread' }, 0)

  return {
    metricsType: registry.contentType,
    metrics: metricsReader(registry),
    /** Tells of the data folder from then on, at each look. */
    folderUsed: (dir: string) => {
      const free: Gauge = new Gauge({
        name: 'runify_data_free_bytes',
        help: 'Room that is left on the disk of the data folder',
        registers,
        collect: () => free.set(orNothing(() => freeBytes(dir))),
      })
      const size: Gauge = new Gauge({
        name: 'runify_data_size_bytes',
        help: 'What the files of the data folder take',
        registers,
        collect: () => size.set(orNothing(() => sizeBytes(dir))),
      })
    },
    fileChecked: ({ path, damage, seconds }: Checked) => {
      const file = basename(path)
      damaged.set({ file }, damage === undefined ? 0 : 1)
      checked.set({ file }, Date.now() / 1000)
      if (damage === undefined) log.debug({ file: path, seconds }, 'a file was checked')
      else log.error({ file: path, damage, seconds }, 'a file is damaged')
    },
    fileSetAside: (news: SetAside) => {
      setAside.inc({ file: basename(news.file) })
      log.error(news, 'a damaged file was set aside and is made anew')
    },
    listening: (address: string) => log.info({ address }, 'listening'),
    stopped: () => log.info('stopped'),
    requestDone: (at: { method: string; route: string; status: number }, seconds: number) =>
      requests.observe(at, seconds),
    requestFailed: (error: unknown, at: { method: string; route: string }) =>
      log.error({ err: error, ...at }, 'request failed'),
    eventsAccepted: (type: EventType, count: number) => accepted.inc({ type }, count),
    eventsRejected: (type: EventType, count: number) => rejected.inc({ type }, count),
    appendRefused: (code: string, error: unknown) => {
      refused.inc({ code })
      if (code === 'log_overloaded' || performance.now() < nextRefusalLineMs) return
      // One for each would be a flood just when the log is away; the metric has them all.
      nextRefusalLineMs = performance.now() + REFUSAL_LINES_MS
      log.warn({ err: error }, 'the log did not take an append')
    },
    connectionRefused: (bounds: { open: number }) => {
      refusedConnections.inc()
      if (performance.now() < nextConnectionLineMs) return
      nextConnectionLineMs = performance.now() + CONNECTION_LINES_MS
      log.warn({ connections_max: bounds.open }, 'more connections than this service lets in: the others are refused')
    },
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
    deadLetter: (letter: { reason: string; detail: string; topic: string; partition: number; offset: number }) => {
      dead.inc({ reason: letter.reason })
      log.warn(letter, 'a record went to the dead letters')
    },
    redriven: (letter: { id: string; topic: string; partition: number; offset: number; outcome: string }) => {
      redriven.inc({ outcome: letter.outcome })
      log.info(letter, 'a dead letter was to be sent again')
    },
    letterDismissed: (letter: { id: string; topic: string; partition: number; offset: number }) => {
      log.info(letter, 'a dead letter was dismissed')
    },
    recordsRemovedUnread: (gap: { topic: string; partition: number; from: number; to: number; records?: number }) => {
      failures.inc({ work: 'consume', code: 'removed_unread' })
      log.error(gap, 'retention or compaction removed records that were never read')
    },
    eventsCounted: (count: number, cursors: readonly PartitionCursor[]) => {
      counted.inc(count)
      log.debug({ count, cursors }, 'counted')
    },
    userErased: (at: { partition: number; offset: number }) => {
      tombstones.inc()
      log.info(at, 'a user was taken out of the statistics')
    },
    statisticsBehind: (events: number) => behind.set(events),
    serviceWatched: (watched: string, { healthy, seconds }: { healthy: boolean; seconds?: number }) => {
      up.set({ watched }, healthy ? 1 : 0)
      if (seconds !== undefined) watchedSeconds.observe({ watched }, seconds)
    },
    serviceTurned: (watched: string, verdict: { kind: string }) => {
      if (verdict.kind === 'healthy') log.info({ watched }, 'a service is healthy')
      else log.warn({ watched, ...verdict }, 'a service is not healthy')
    },
    groupLag: (topic: string, at: { group: string; lag: number; lag_seconds: number }) => {
      lagRecords.set({ group: at.group, topic }, at.lag)
      lagSeconds.set({ group: at.group, topic }, at.lag_seconds)
    },
    tailing: (count: number) => tails.set(count),
    tailed: ({ events = 0, missed = 0 }: { events?: number; missed?: number }) => {
      tailEvents.inc(events)
      tailMissed.inc(missed)
    },
    nthSearched: (count: number) => looks.observe(count),
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
    canaryArrived: (hops: Partial<Record<string, number>>) => {
      for (const [hop, ms] of Object.entries(hops)) canarySeconds.observe({ hop }, (ms as number) / 1000)
      canaryArrival.setToCurrentTime()
      log.debug(hops, 'a canary arrived')
    },
    canaryLost: (failure: { hop: string; why: string }) => {
      canariesLost.inc({ hop: failure.hop })
      log.warn(failure, 'a canary was lost')
    },
    workFailed: (work: string, error: unknown) => {
      failures.inc({ work, code: (error as { code?: string }).code ?? 'unknown' })
      const { message } = error as Error
      const last = failureLines.get(work)
      if (last?.message === message && performance.now() < last.at + FAILURE_LINES_MS) return
      // What is away for an hour is tried again every second of it.
      failureLines.set(work, { message, at: performance.now() })
      log.error({ err: error, work }, 'background work failed and is tried again')
    },
  }
}
