import type { Config } from '../../config.ts'
import { CATALOGUE, EVENT_TYPES, type EventType } from '../../events/catalogue.ts'
import { HttpServer } from '../../http/server.ts'
import type { EventLog, GroupCursor, PartitionRange } from '../../log/event-log.ts'
import type { Telemetry } from '../../telemetry.ts'
import { addAudit } from './audit.ts'
import type { AuditedStore, CountedReader } from './audit-sources.ts'
import { addDeadLetters } from './dead-letters.ts'
import { addNthEvents, type RecordsByType } from './nth-event.ts'
import { NthRecords } from './nth-record.ts'
import { addTail } from './tail.ts'

export type AnalyzerDeps = {
  log: EventLog
  /** What an audit compares the log with; nothing else asks for it. */
  store: () => Promise<AuditedStore>
  counted: CountedReader
  config: Config
  telemetry: Telemetry
}

/** Looks into the log itself: only an audit asks what the store and the statistics have. */
export async function createAnalyzer({ log, store, counted, config, telemetry }: AnalyzerDeps): Promise<HttpServer> {
  const server = await HttpServer.create({
    service: 'analyzer',
    description: 'Looks into the log: how much is in it, who has read how far, and the n-th event.',
    config,
    telemetry,
    checkReady: () => log.checkReady(),
  })
  server.get('/stats', {
    summary: 'What the log holds, and how far its readers are',
    response: STATS_RESPONSE,
    problems: ['log_unavailable'],
    handler: async () => {
      const topics = await Promise.all(EVENT_TYPES.map((type) => describeTopic(log, type)))
      const counts = Object.fromEntries(topics.map(({ countName, count }) => [countName, count]))
      return { ...counts, topics: topics.map(({ topic, partitions, groups }) => ({ topic, partitions, groups })) }
    },
  })
  const records = Object.fromEntries(
    EVENT_TYPES.map((type) => [
      type,
      new NthRecords({ log, topic: CATALOGUE[type].topic, searched: telemetry.nthSearched }),
    ]),
  ) as RecordsByType
  addNthEvents(server, records)
  addTail(server, { log, telemetry })
  addDeadLetters(server, { log, telemetry })
  addAudit(server, { log, store, counted })
  return server
}

async function describeTopic(log: EventLog, type: EventType) {
  const { topic, countName } = CATALOGUE[type]
  // Groups first: a group can then only seem behind, never ahead of the log.
  const cursors = await log.groups(topic)
  const partitions = await log.partitions(topic)
  const count = partitions.reduce((total, { first, next }) => total + next - first, 0)
  const names = [...new Set(cursors.map(({ group }) => group))]
  const groups = await Promise.all(
    names.map((group) =>
      lagOf(
        log,
        topic,
        partitions,
        cursors.filter((cursor) => cursor.group === group),
      ),
    ),
  )
  return { topic, countName, count, partitions, groups }
}

/** Lag in records, and the age in seconds of the oldest record that the group has not read. */
async function lagOf(log: EventLog, topic: string, partitions: PartitionRange[], cursors: GroupCursor[]) {
  let lag = 0
  let lagSeconds = 0
  for (const { partition, first, next } of partitions) {
    const read = Math.max(first, cursors.find((cursor) => cursor.partition === partition)?.next ?? 0)
    if (read >= next) continue
    lag += next - read
    const [oldest] = await log.read({ topic, partition, from: read, limit: 1 })
    if (oldest !== undefined) lagSeconds = Math.max(lagSeconds, (Date.now() - oldest.appendTime) / 1000)
  }
  return { group: cursors[0]?.group, lag, lag_seconds: lagSeconds }
}

const INTEGER = { type: 'integer', minimum: 0 }
const STATS_RESPONSE = {
  type: 'object',
  required: [...EVENT_TYPES.map((type) => CATALOGUE[type].countName), 'topics'],
  properties: {
    ...Object.fromEntries(EVENT_TYPES.map((type) => [CATALOGUE[type].countName, INTEGER])),
    topics: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          topic: { type: 'string' },
          partitions: {
            type: 'array',
            items: { type: 'object', properties: { partition: INTEGER, first: INTEGER, next: INTEGER } },
          },
          groups: {
            type: 'array',
            items: {
              type: 'object',
              properties: { group: { type: 'string' }, lag: INTEGER, lag_seconds: { type: 'number', minimum: 0 } },
            },
          },
        },
      },
    },
  },
}
