import type { AnomalyThresholds } from '../../config.ts'
import { CATALOGUE, type RunifyEvent } from '../../events/catalogue.ts'
import { decodeEvent } from '../../events/codec.ts'
import type { EventLog, RecordBatch } from '../../log/event-log.ts'
import { GroupConsumer } from '../../log/group-consumer.ts'
import type { Telemetry } from '../../telemetry.ts'
import type { AnomalyStore } from './anomaly-store.ts'
import { type JudgedType, judgeEvents, type LoggedEvent } from './detector.ts'

export type ConsumerDeps = {
  log: EventLog
  anomalies: AnomalyStore
  telemetry: Telemetry
  thresholds: AnomalyThresholds
  batchRecordsMax: number
  /** The consumer group; those of one group share the partitions. */
  group?: string
  /** Told after each transaction that found something. */
  onFound?: () => void
}

const TYPES: readonly JudgedType[] = ['running_stats', 'music_info']

/** The topics whose events are judged. */
export const JUDGED_TOPICS: readonly string[] = TYPES.map((type) => CATALOGUE[type].topic)

/** The log → the anomalies, each record judged once, as `GroupConsumer` does it. */
export function createConsumer(deps: ConsumerDeps): GroupConsumer {
  const { log, anomalies, telemetry, batchRecordsMax, group = 'runify-anomalies' } = deps
  return new GroupConsumer({
    log,
    group,
    topics: JUDGED_TOPICS,
    batchRecordsMax,
    handledAtOnce: anomalies.writesAtOnce,
    cursors: () => anomalies.cursors(),
    keeper: 'the anomaly detector',
    handle: (batch) => judgeBatch(deps, batch),
    failed: (work, error) => telemetry.workFailed(work === 'consume' ? 'anomalies' : work, error),
    removedUnread: telemetry.recordsRemovedUnread,
  })
}

async function judgeBatch({ anomalies, telemetry, thresholds, onFound }: ConsumerDeps, batch: RecordBatch) {
  const { topic, partition, from, next } = batch
  const type = TYPES.find((one) => CATALOGUE[one].topic === topic) as JudgedType
  const { events, skipped } = decodeRecords(type, batch)
  const users = [...new Set(events.map(({ event }) => event.fields.user_id))]
  const found = await anomalies.judge({
    topic,
    partition,
    from,
    next,
    users,
    judge: (begin, before) => {
      const fresh = events.filter(({ offset }) => offset >= begin)
      return judgeEvents(type, fresh, { before, thresholds })
    },
  })
  telemetry.eventsJudged(type, { judged: events.length, skipped })
  telemetry.anomaliesFound(found)
  if (found.length > 0) onFound?.()
}

/** What is no event is Storage's to put into the dead letters; here it is counted. */
function decodeRecords(type: JudgedType, { records }: RecordBatch): { events: LoggedEvent[]; skipped: number } {
  const events: LoggedEvent[] = []
  for (const { offset, appendTime, value } of records) {
    const decoded = decodeEvent(type, value)
    if (decoded.ok) events.push({ offset, appendTime, event: decoded.event as RunifyEvent<JudgedType> })
  }
  return { events, skipped: records.length - events.length }
}
