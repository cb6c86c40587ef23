import type { Config, StoreChoice } from './config.ts'
import type { EventLog } from './log/event-log.ts'
import type { AnomalyStore } from './services/anomaly-detector/anomaly-store.ts'
import type { StatisticsStore } from './services/processing/statistics-store.ts'
import type { EventReader, EventStore } from './store/event-store.ts'

/** The adapters that the configuration chooses, loaded where they are chosen: nobody pays for the drivers of others. */

export async function openLog({ log, pendingBytesMax }: Config): Promise<EventLog> {
  const limits = { pendingBytesMax }
  if (log.kind === 'kafka') return (await import('./log/kafka-log.ts')).openKafkaLog({ ...log, limits })
  const { EmbeddedLog } = await import('./log/embedded-log.ts')
  return new EmbeddedLog({ dir: log.dir, limits })
}

export async function openStore(choice: StoreChoice): Promise<EventStore> {
  if (choice.kind === 'mysql') return (await import('./store/mysql-store.ts')).openMysqlStore(choice)
  return (await import('./store/sqlite-store.ts')).openSqliteStore(choice)
}

export async function openStatistics(choice: StoreChoice): Promise<StatisticsStore> {
  if (choice.kind === 'mysql')
    return (await import('./services/processing/mysql-statistics.ts')).openMysqlStatistics(choice)
  return (await import('./services/processing/sqlite-statistics.ts')).openSqliteStatistics(choice)
}

export async function openAnomalies(choice: StoreChoice): Promise<AnomalyStore> {
  if (choice.kind === 'mysql')
    return (await import('./services/anomaly-detector/mysql-anomalies.ts')).openMysqlAnomalies(choice)
  return (await import('./services/anomaly-detector/sqlite-anomalies.ts')).openSqliteAnomalies(choice)
}

/** Storage by HTTP where its address is given; undefined where Processing reads the store itself. */
export async function openReader({ storageUrl: url, storageKey: apiKey }: Config): Promise<EventReader | undefined> {
  if (url === undefined) return undefined
  const { HttpEventReader } = await import('./store/http-event-reader.ts')
  return new HttpEventReader({ url, apiKey })
}
