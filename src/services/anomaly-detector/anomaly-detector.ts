import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Config } from '../../config.ts'
import { formatInstant } from '../../events/instant.ts'
import { invalidBody } from '../../http/json-body.ts'
import { nextPageLink } from '../../http/next-page.ts'
import type { Parameters, ParameterValues } from '../../http/parameter.ts'
import { HttpProblem } from '../../http/problem.ts'
import { HttpServer } from '../../http/server.ts'
import type { EventLog } from '../../log/event-log.ts'
import { countBehind, LogEnds } from '../../log/log-ends.ts'
import { withoutMarks } from '../../log/position.ts'
import { ANOMALIES, ANOMALY_SCHEMA, ANOMALY_TYPES, toWire } from './anomaly.ts'
import { decodeAnomalyCursor, encodeAnomalyCursor } from './anomaly-cursor.ts'
import { createConsumer, JUDGED_TOPICS } from './consumer.ts'
import type { AnomalyQuery, AnomalyStore } from './store/anomaly-store.ts'
import type { AnomalyTelemetry } from './telemetry.ts'
import { WebhookSender } from './webhooks/sender.ts'

export type AnomalyDetectorDeps = {
  log: EventLog
  anomalies: AnomalyStore
  config: Config
  telemetry: AnomalyTelemetry
}

/** A running anomaly detector: its endpoints, and the consumer that judges the log until it is disposed. */
export async function createAnomalyDetector(deps: AnomalyDetectorDeps): Promise<HttpServer> {
  const { log, anomalies, config, telemetry } = deps
  const { anomalyThresholds: thresholds, batchRecordsMax, webhooks, webhookTiming: timing } = config
  const senders = webhooks.map((webhook) => {
    return new WebhookSender({
      webhook,
      timing,
      store: anomalies.webhooks,
      telemetry,
      now: Date.now,
      random: Math.random,
    })
  })
  const onFound = () => {
    for (const sender of senders) sender.wake()
  }
  const consumer = createConsumer({ log, anomalies, telemetry, thresholds, batchRecordsMax, onFound })
  const server = await HttpServer.create({
    service: 'anomaly-detector',
    description: 'Finds the events of the log that are not as they should be, each once, and tells of them.',
    config,
    telemetry,
    checkReady: async () => {
      await anomalies.checkReady()
      if (consumer.lastError !== undefined) throw consumer.lastError
    },
  })
  addRoutes(server, deps)
  addResume(server, deps, onFound)

  const stop = new AbortController()
  const working = Promise.all([consumer, ...senders].map((one) => one.run(stop.signal)))
  server.onDispose(async () => {
    stop.abort()
    await working
  })
  return server
}

function addRoutes(server: HttpServer, { log, anomalies, config }: AnomalyDetectorDeps): void {
  const logEnds = new LogEnds(log, JUDGED_TOPICS)
  server.get('/anomalies', {
    summary: 'What was found, the newest first',
    description: LIST_DESCRIPTION,
    parameters: LIST,
    response: { type: 'array', items: ANOMALY_SCHEMA },
    problems: ['anomalies_unavailable'],
    handler: ({ values, request, reply }) => sendPage(anomalies, toQuery(values), request, reply),
  })
  server.get('/anomalies/:anomaly_id', {
    summary: 'One anomaly by its id',
    parameters: { anomaly_id: { kind: 'uuid', required: true, description: 'As in the list, or as delivered' } },
    response: ANOMALY_SCHEMA,
    problems: ['not_found', 'anomalies_unavailable'],
    handler: async ({ values }) => {
      const found = await anomalies.anomaly(values.anomaly_id)
      if (found === undefined) throw new HttpProblem('not_found', 'there is no anomaly with this anomaly_id')
      return toWire(found)
    },
  })
  server.get('/stats', {
    summary: 'How many anomalies there are of each type, and what they cover',
    response: STATS_RESPONSE,
    problems: ['anomalies_unavailable'],
    handler: async () => {
      // Cursors first: the counts then cover at least what they say.
      const cursors = await anomalies.cursors()
      const counts = await anomalies.counts()
      const total = Object.values(counts).reduce((sum, count) => sum + count, 0)
      const parked = await anomalies.webhooks.parked()
      const webhooks = config.webhooks.map(({ name }) => {
        const since = parked.get(name)
        return { webhook: name, parked_since: since === undefined ? null : formatInstant(since) }
      })
      const behind = countBehind(cursors, await logEnds.ask())
      return { num_anomalies: total, by_type: counts, as_of: withoutMarks(cursors), behind, webhooks }
    },
  })
}

function addResume(server: HttpServer, { anomalies, config, telemetry }: AnomalyDetectorDeps, wake: () => void): void {
  server.command('/webhooks/resume', {
    summary: 'Deliver again to a webhook that was given up',
    description: RESUME_DESCRIPTION,
    body: RESUME_SCHEMA,
    check: checkResume,
    response: WEBHOOK_SCHEMA,
    problems: ['not_found', 'anomalies_unavailable'],
    handler: async ({ order: { webhook } }) => {
      if (config.webhooks.every(({ name }) => name !== webhook)) {
        throw new HttpProblem('not_found', 'no webhook of this name is configured')
      }
      await anomalies.webhooks.register(webhook)
      telemetry.webhookReady(webhook)
      wake()
      return { webhook, parked_since: null }
    },
  })
}

function checkResume(sent: unknown): { webhook: string } {
  const { webhook, ...others } = Object(sent) as Record<string, unknown>
  const errors = Object.keys(others).map((name) => {
    return { pointer: `/${name.slice(0, 128)}`, detail: 'is not a member of this body' }
  })
  if (typeof webhook !== 'string') errors.push({ pointer: '/webhook', detail: 'must be the name of a webhook' })
  if (errors.length > 0) throw invalidBody(errors)
  return { webhook: webhook as string }
}

async function sendPage(
  anomalies: AnomalyStore,
  query: AnomalyQuery,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const { by, limit } = query
  // One more than asked for tells whether there is a next page.
  const found = await anomalies.page({ ...query, limit: limit + 1 })
  const last = found[limit - 1]
  if (found.length > limit && last !== undefined) {
    const cursor = encodeAnomalyCursor(by, { time: last[by], anomaly_id: last.anomaly_id })
    reply.header('link', nextPageLink(request, { by, cursor }))
  }
  return found.slice(0, limit).map(toWire)
}

function toQuery(values: ParameterValues<typeof LIST>): AnomalyQuery {
  const { anomaly_type, user_id, start_timestamp: from, end_timestamp: to, limit, cursor } = values
  const ranged = from !== undefined || to !== undefined
  const by = values.by ?? (ranged ? 'timestamp' : 'date_created')
  const after = cursor === undefined ? undefined : decodeAnomalyCursor(by, cursor)
  return { by, anomaly_type, user_id, from, to, after, limit }
}

const LIST = {
  anomaly_type: { kind: 'choice', choices: ANOMALY_TYPES, description: 'Anomalies of this type only' },
  user_id: { kind: 'uuid', description: 'Anomalies of this user only' },
  start_timestamp: { kind: 'instant', description: 'Anomalies at this time or later' },
  end_timestamp: { kind: 'instant', description: 'Anomalies before this time' },
  by: {
    kind: 'choice',
    choices: ['timestamp', 'date_created'],
    description:
      'Which time, for the order and the range: when the event began, or when Runify received what showed the anomaly. ' +
      'Where it is not given: `timestamp` with a range, `date_created` without',
  },
  limit: { kind: 'integer', min: 1, max: 1000, default: 100, description: 'Anomalies a page' },
  cursor: { kind: 'text', charactersMax: 200, description: 'From the Link header of the page before' },
} as const satisfies Parameters

const LIST_DESCRIPTION =
  'Ordered by the chosen time, then `anomaly_id`, the last first. While there is more, `Link: <…>; rel="next"` names the ' +
  'next page.'

const RESUME_DESCRIPTION =
  'After too many tries a webhook is parked, as `GET /stats` tells. This has it go on where it was, with all that was found ' +
  'meanwhile. One that is not parked is left as it is.'

const RESUME_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['webhook'],
  properties: { webhook: { type: 'string', description: 'Its name, as configured' } },
  examples: [{ webhook: 'phone' }],
}

const WEBHOOK_SCHEMA = {
  type: 'object',
  required: ['webhook', 'parked_since'],
  properties: {
    webhook: { type: 'string' },
    parked_since: {
      type: ['string', 'null'],
      format: 'date-time',
      description: 'When it was given up after too many tries; null while it is tried',
    },
  },
}

const COUNT = { type: 'integer', minimum: 0 }
const STATS_RESPONSE = {
  type: 'object',
  required: ['num_anomalies', 'by_type', 'as_of', 'behind', 'webhooks'],
  properties: {
    num_anomalies: COUNT,
    by_type: {
      type: 'object',
      required: ANOMALY_TYPES,
      properties: Object.fromEntries(
        ANOMALY_TYPES.map((type) => [type, { ...COUNT, description: ANOMALIES[type].description }]),
      ),
    },
    as_of: {
      type: 'array',
      description: 'The records below these positions are judged',
      items: {
        type: 'object',
        properties: { topic: { type: 'string' }, partition: { type: 'integer' }, next: { type: 'integer' } },
      },
    },
    behind: {
      type: ['integer', 'null'],
      minimum: 0,
      description: 'Records in the log that are not judged yet; null while the log does not say where it ends',
    },
    webhooks: {
      type: 'array',
      description: 'Where anomalies are delivered',
      items: WEBHOOK_SCHEMA,
    },
  },
}
