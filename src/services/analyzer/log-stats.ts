import { CATALOGUE, EVENT_TYPES, type EventType } from '../../events/catalogue.ts'
import type { HttpServer } from '../../http/server.ts'
import type { EventLog } from '../../log/event-log.ts'
import type { LagWatch } from './lag/lag.ts'

/** `GET /stats`: how much the log holds, and how far its readers are. */
export function addLogStats(server: HttpServer, { log, lags }: { log: EventLog; lags: LagWatch }): void {
  server.get('/stats', {
    summary: 'What the log holds, and how far its readers are',
    description: DESCRIPTION,
    response: STATS_RESPONSE,
    problems: ['log_unavailable'],
    handler: async () => {
      const topics = await Promise.all(EVENT_TYPES.map((type) => describeTopic(type, { log, lags })))
      const counts = Object.fromEntries(topics.map(({ countName, count }) => [countName, count]))
      return { ...counts, topics: topics.map(({ topic, partitions, groups }) => ({ topic, partitions, groups })) }
    },
  })
}

async function describeTopic(type: EventType, { log, lags }: { log: EventLog; lags: LagWatch }) {
  const { topic, countName } = CATALOGUE[type]
  const [groups, partitions] = await Promise.all([lags.of(topic), log.partitions(topic)])
  const count = partitions.reduce((total, { first, next }) => total + next - first, 0)
  return { topic, countName, count, partitions, groups }
}

const DESCRIPTION =
  'What is said of the groups that read the log is at most a second old; rates and trend are those of the last two minutes.'

const INTEGER = { type: 'integer', minimum: 0 }
const maybe = (description: string) => ({ type: ['number', 'null'], description })
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
              properties: {
                group: { type: 'string' },
                lag: { ...INTEGER, description: 'Records that it has not read' },
                lag_seconds: { type: 'number', minimum: 0, description: 'The age of the oldest of them' },
                trend: {
                  type: ['string', 'null'],
                  enum: ['growing', 'steady', 'shrinking', null],
                  description: 'Where the lag goes; null while it has not been watched for long enough',
                },
                appended_per_second: maybe('Records that the log takes'),
                read_per_second: maybe('Records that the group reads'),
                catch_up_seconds: maybe('Until it has read everything, at this pace; null: never, or not known yet'),
              },
            },
          },
        },
      },
    },
  },
}
