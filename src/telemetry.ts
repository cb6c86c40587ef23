import cluster from 'node:cluster'
import { basename } from 'node:path'
import { isatty } from 'node:tty'
import { type DestinationStream, type Logger, pino } from 'pino'
import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Config } from './config.ts'
import type { Checked } from './disk/file-checker.ts'
import type { SetAside } from './disk/set-aside.ts'
import { freeBytes, sizeBytes } from './disk/space.ts'
import { DEAD_LETTER_REASONS } from './log/dead-letter.ts'

/**
 * What each operational event does: its log line and its metric, together, so that neither is forgotten. These are those of
 * all services; what is a service's own is in its `telemetry.ts`.
 */
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
  const failureLines = new Map<string, { message: string; at: number }>()
  let nextConnectionLineMs = 0
  const refusedConnections = new Counter({
    name: 'runify_connections_refused_total',
    help: 'Connections that were one too many',
    registers,
  })
  const failures = new Counter({
    name: 'runify_failures_total',
    help: 'Pieces of background work that failed and are tried again',
    labelNames: ['work', 'code'],
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
  return {
    /** With which a service declares what is its own: see its `telemetry.ts`. */
    log,
    registers,
    failures,
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
    connectionRefused: (bounds: { open: number }) => {
      refusedConnections.inc()
      if (performance.now() < nextConnectionLineMs) return
      nextConnectionLineMs = performance.now() + CONNECTION_LINES_MS
      log.warn({ connections_max: bounds.open }, 'more connections than this service lets in: the others are refused')
    },
    workFailed: (work: string, error: unknown) => {
      failures.inc({ work, code: (error as { code?: string }).code ?? 'unknown' })
      const { message } = error as Error
      const last = failureLines.get(work)
      if (last?.message === message && performance.now() < last.at + FAILURE_LINES_MS) return
      // What is unavailable for an hour is tried again every second of it.
      failureLines.set(work, { message, at: performance.now() })
      log.error({ err: error, work }, 'background work failed and is tried again')
    },
  }
}

/** Of services that put records into the dead letters. */
export function deadLetterEvents({ log, registers }: Telemetry) {
  const dead = new Counter({
    name: 'runify_dead_letters_total',
    help: 'Records put into the dead letters',
    labelNames: ['reason'],
    registers,
  })
  // A series that begins at 1 has not grown for Prometheus: what an alert waits for is there from the beginning, at 0.
  for (const reason of DEAD_LETTER_REASONS) dead.inc({ reason }, 0)
  return {
    deadLetter: (letter: { reason: string; detail: string; topic: string; partition: number; offset: number }) => {
      dead.inc({ reason: letter.reason })
      log.warn(letter, 'a record went to the dead letters')
    },
  }
}

/** Of services that read the log on from a cursor. */
export function readerEvents({ log, failures }: Telemetry) {
  failures.inc({ work: 'consume', code: 'removed_unread' }, 0)
  return {
    recordsRemovedUnread: (gap: { topic: string; partition: number; from: number; to: number; records?: number }) => {
      failures.inc({ work: 'consume', code: 'removed_unread' })
      log.error(gap, 'retention or compaction removed records that were never read')
    },
  }
}
