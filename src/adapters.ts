import type { Config, StoreChoice } from './config.ts'
import type { SetAside } from './disk/set-aside.ts'
import { isFailure, StartError } from './errors.ts'
import type { EventLog } from './log/event-log.ts'
import type { AnomalyStore } from './services/anomaly-detector/store/anomaly-store.ts'
import type { StatisticsStore } from './services/processing/store/statistics-store.ts'
import type { EventReader, EventStore } from './store/event-store.ts'
import type { Opening } from './store/mysql/migrations.ts'

/**
 * The adapters that the configuration chooses, loaded where they are chosen: nobody pays for the drivers of others. A log
 * in Kafka is opened before its brokers are there; for what is in MySQL, `opening` says so.
 */

export async function openLog({ log, pendingBytesMax, logRetentionDays }: Config): Promise<EventLog> {
  const limits = { pendingBytesMax }
  if (log.kind === 'kafka') return (await import('./log/kafka/kafka-log.ts')).openKafkaLog({ ...log, limits })
  const { EmbeddedLog } = await import('./log/embedded/embedded-log.ts')
  return orStartError(() => new EmbeddedLog({ dir: log.dir, limits, retentionMs: daysMs(logRetentionDays) }))
}

/** What keeps a file of the data folder from being opened is for a person to mend. */
async function orStartError<T>(open: () => T | Promise<T>): Promise<T> {
  try {
    return await open()
  } catch (error) {
    throw isFailure(error) ? new StartError(error.message, { cause: error }) : error
  }
}

/** Has old events removed from an embedded log that is to keep them for some days only; a broker does so by itself. */
export async function keepLogRetention(
  log: EventLog,
  { logRetentionDays }: Config,
  failed: (error: unknown) => void,
): Promise<AsyncDisposable | undefined> {
  const retentionMs = daysMs(logRetentionDays)
  const { EmbeddedLog } = await import('./log/embedded/embedded-log.ts')
  if (retentionMs === undefined || !(log instanceof EmbeddedLog)) return undefined
  const { keepRetention } = await import('./log/embedded/retention.ts')
  return keepRetention(log, { retentionMs, now: Date.now, failed })
}

/** Undefined for 0, which stands for ever. */
function daysMs(days: number): number | undefined {
  return days === 0 ? undefined : days * 86_400_000
}

export async function openStore(choice: StoreChoice, opening?: Opening): Promise<EventStore> {
  if (choice.kind === 'mysql') return (await import('./store/mysql/mysql-store.ts')).openMysqlStore(choice, opening)
  const { openSqliteStore } = await import('./store/sqlite/sqlite-store.ts')
  return orStartError(() => openSqliteStore(choice))
}

export async function openStatistics(
  choice: StoreChoice,
  opening?: Opening,
  setAside?: (news: SetAside) => void,
): Promise<StatisticsStore> {
  if (choice.kind === 'mysql')
    return (await import('./services/processing/store/mysql/mysql-statistics.ts')).openMysqlStatistics(choice, opening)
  const { openSqliteStatistics } = await import('./services/processing/store/sqlite/sqlite-statistics.ts')
  return orStartError(() => openSqliteStatistics(choice, setAside))
}

export async function openAnomalies(
  choice: StoreChoice,
  opening?: Opening,
  setAside?: (news: SetAside) => void,
): Promise<AnomalyStore> {
  if (choice.kind === 'mysql')
    return (await import('./services/anomaly-detector/store/mysql-anomalies.ts')).openMysqlAnomalies(choice, opening)
  const { openSqliteAnomalies } = await import('./services/anomaly-detector/store/sqlite-anomalies.ts')
  return orStartError(() => openSqliteAnomalies(choice, setAside))
}

/** Storage by HTTP where its address is given; undefined where Processing reads the store itself. */
export async function openReader({ storageUrl: url, readKey: apiKey }: Config): Promise<EventReader | undefined> {
  if (url === undefined) return undefined
  const { HttpEventReader } = await import('./clients/http-event-reader.ts')
  return new HttpEventReader({ url, apiKey })
}
