import { NewerEvent } from '../../errors.ts'
import { CATALOGUE, type RunifyEvent } from '../../events/catalogue.ts'
import { decodeEvent } from '../../events/codec.ts'
import { letterFor, writeDeadLetters } from '../../log/dead-letter.ts'
import type { EventLog, RecordBatch } from '../../log/event-log.ts'
import { GroupConsumer } from '../../log/group-consumer.ts'
import { type Keeper, markOf } from '../../log/place-in-log.ts'
import { decodeTombstone, FORGOTTEN_TOPIC } from '../../log/tombstone.ts'
import { JUDGED_TYPES, type JudgedType, judgeEvents, type LoggedEvent, type RefusedRecord } from './detector.ts'
import type { AnomalyThresholds } from './rules/settings.ts'
import type { AnomalyStore, JudgedBatch } from './store/anomaly-store.ts'
import type { AnomalyTelemetry } from './telemetry.ts'

export type ConsumerDeps = {
  log: EventLog
  anomalies: AnomalyStore
  telemetry: AnomalyTelemetry
  thresholds: AnomalyThresholds
  batchRecordsMax: number
  /** The consumer group; those of one group share the partitions. */
  group?: string
  /** Told after each transaction that found something. */
  onFound?: () => void
}

/** The topics whose events are judged; that of the users to be forgotten is read too. */
export const JUDGED_TOPICS: readonly string[] = JUDGED_TYPES.map((type) => CATALOGUE[type].topic)

/** What brings the anomalies and a log together that do not belong to each other. */
const DETECTOR: Keeper = {
  name: 'the anomaly detector',
  remedy:
    'put back the log that belongs to it, or run `npx runify rebuild anomalies`, which forgets what was found and has this ' +
    'log judged from its beginning',
}

/** The log → the anomalies, each record judged once, as `GroupConsumer` does it. */
export function createConsumer(deps: ConsumerDeps): GroupConsumer {
  const { log, anomalies, telemetry, batchRecordsMax, group = 'runify-anomalies' } = deps
  return new GroupConsumer({
    log,
    group,
    topics: [...JUDGED_TOPICS, FORGOTTEN_TOPIC],
    batchRecordsMax,
    handledAtOnce: anomalies.writesAtOnce,
    cursors: () => anomalies.cursors(),
    keeper: DETECTOR,
    adopt: (cursor) => anomalies.adopt(cursor),
    handle: (batch) => (batch.topic === FORGOTTEN_TOPIC ? forgetUsers(deps, batch) : judgeBatch(deps, batch)),
    failed: (work, error) => telemetry.workFailed(work === 'consume' ? 'anomalies' : work, error),
    removedUnread: telemetry.recordsRemovedUnread,
  })
}

async function judgeBatch(deps: ConsumerDeps, batch: RecordBatch): Promise<void> {
  const { anomalies, telemetry, thresholds, onFound } = deps
  const { topic, partition, from, next } = batch
  const type = JUDGED_TYPES.find((one) => CATALOGUE[one].topic === topic) as JudgedType
  const { events, skipped } = decodeRecords(type, batch)
  const users = [...new Set(events.map(({ event }) => event.fields.user_id))]
  const setAside = new Set<number>()
  const judged: JudgedBatch = {
    topic,
    partition,
    from,
    next,
    mark: markOf(batch),
    users,
    judge: (begin, before, forgotten) => {
      // Of a user who is forgotten, what lay in the log before that: it holds it still.
      const isForgotten = ({ offset, event: { fields, date_created } }: LoggedEvent) =>
        forgotten.has(fields.user_id, date_created, { topic, partition, offset })
      const fresh = events.filter((logged) => {
        return logged.offset >= begin && !isForgotten(logged) && !setAside.has(logged.offset)
      })
      return judgeEvents(type, fresh, { before, thresholds })
    },
  }
  let outcome = await anomalies.judge(judged)
  // Each round sets some aside, so there is a last one.
  while (outcome.kind === 'refused') {
    await writeDeadLetters(deps, refusedLetters(batch, outcome.records))
    for (const { offset } of outcome.records) setAside.add(offset)
    outcome = await anomalies.judge(judged)
  }
  const found = outcome.anomalies
  telemetry.eventsJudged(type, { judged: events.length - setAside.size, skipped: skipped + setAside.size })
  telemetry.anomaliesFound(found)
  if (found.length > 0) onFound?.()
}

/** Of one record several anomalies may be refused: one letter says so. */
function refusedLetters(batch: RecordBatch, refused: readonly RefusedRecord[]) {
  const details = new Map(refused.map(({ offset, detail }) => [offset, detail]))
  return batch.records.flatMap((record) => {
    const detail = details.get(record.offset)
    return detail === undefined ? [] : [letterFor(batch, record, { reason: 'unjudged', detail })]
  })
}

async function forgetUsers({ anomalies, telemetry }: ConsumerDeps, batch: RecordBatch): Promise<void> {
  const { topic, partition, from, next, records } = batch
  const tombstones = records.flatMap(({ value }) => decodeTombstone(value) ?? [])
  await anomalies.forget({ topic, partition, from, next, mark: markOf(batch), tombstones })
  telemetry.anomaliesForgotten(new Set(tombstones.map(({ user_id }) => user_id)).size)
}

/** What is no event is Storage's to put into the dead letters; here it is counted. Throws `NewerEvent` where one is newer. */
function decodeRecords(type: JudgedType, { records }: RecordBatch): { events: LoggedEvent[]; skipped: number } {
  const events: LoggedEvent[] = []
  for (const { offset, appendTime, value } of records) {
    const decoded = decodeEvent(type, value)
    if (decoded.ok) events.push({ offset, appendTime, event: decoded.event as RunifyEvent<JudgedType> })
    else if (decoded.newer) throw new NewerEvent(decoded.detail, offset)
  }
  return { events, skipped: records.length - events.length }
}
