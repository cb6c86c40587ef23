import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Config } from '../../config.ts'
import { CATALOGUE, EVENT_TYPES, type EventType } from '../../events/catalogue.ts'
import { storedSchema, toWire } from '../../events/codec.ts'
import { formatInstant } from '../../events/instant.ts'
import { nextPageLink, PAGE_BYTES_MAX } from '../../http/next-page.ts'
import { invalidParameter, type Parameters, type ParameterValues } from '../../http/parameter.ts'
import { HttpProblem } from '../../http/problem.ts'
import { HttpServer } from '../../http/server.ts'
import type { EventLog } from '../../log/event-log.ts'
import { type Cursors, nextOf, parseCursors } from '../../log/position.ts'
import type { EventStore, PageQuery } from '../../store/event-store.ts'
import { changePageText } from './change-page.ts'
import { StorageConsumer } from './consumer.ts'
import { asCsv, asNdjson } from './event-stream.ts'
import { decodePageCursor, encodePageCursor } from './page-cursor.ts'
import { Retention } from './retention.ts'
import type { StorageTelemetry } from './telemetry.ts'
import { addUserRoutes, ERASURE_SCHEMA, EVENT_BYTES_MAX, STORED_SCHEMA } from './users.ts'

export type StorageDeps = { log: EventLog; store: EventStore; config: Config; telemetry: StorageTelemetry }

/** A running Storage: its endpoints, and the consumer that fills the store until it is disposed. */
export async function createStorage({ log, store, config, telemetry }: StorageDeps): Promise<HttpServer> {
  const { retentionDays: days } = config
  const consumer = new StorageConsumer({ log, store, telemetry, batchRecordsMax: config.batchRecordsMax })
  const server = await HttpServer.create({
    service: 'storage',
    description: 'Keeps every event of the log once, and gives them back by time, by id and as a feed of changes.',
    config,
    telemetry,
    checkReady: async () => {
      await store.checkReady()
      if (consumer.lastError !== undefined) throw consumer.lastError
    },
  })
  addRoutes(server, store)
  addUserRoutes(server, { log, store, forgetter: consumer.forgetter })

  const stop = new AbortController()
  const working = [consumer.run(stop.signal)]
  if (days > 0) {
    const retention = new Retention({ log, store, forgetter: consumer.forgetter, telemetry, days, now: Date.now })
    working.push(retention.run(stop.signal))
  }
  server.onDispose(async () => {
    stop.abort()
    await Promise.all(working)
  })
  return server
}

function addRoutes(server: HttpServer, store: EventStore): void {
  for (const type of EVENT_TYPES) {
    server.get(CATALOGUE[type].path, {
      summary: `${CATALOGUE[type].plural} of a range of time, as many as \`limit\`, or all as a stream`,
      description: RANGE_DESCRIPTION,
      parameters: RANGE,
      produces: ['application/json', 'application/x-ndjson', 'text/csv'],
      response: { type: 'array', items: storedSchema(type) },
      problems: ['store_unavailable'],
      rowBytesMax: EVENT_BYTES_MAX,
      handler: ({ values, request, reply, mediaType }) => {
        const query = toQuery(type, values)
        if (mediaType === 'application/json') return sendPage(store, query, values.limit, request, reply)
        const text = mediaType === 'text/csv' ? asCsv(store, query) : asNdjson(store, query)
        return reply
          .type(`${mediaType}; charset=utf-8`)
          .send(Readable.from(text, { objectMode: false, highWaterMark: 1 }))
      },
    })
  }
  server.get('/stats', {
    summary: 'How many events are stored',
    response: {
      type: 'object',
      required: EVENT_TYPES.map((type) => CATALOGUE[type].countName),
      properties: Object.fromEntries(EVENT_TYPES.map((type) => [CATALOGUE[type].countName, { type: 'integer' }])),
    },
    problems: ['store_unavailable'],
    handler: async () => {
      const counts = await store.counts()
      return Object.fromEntries(EVENT_TYPES.map((type) => [CATALOGUE[type].countName, counts[type]]))
    },
  })
  server.get('/events/:trace_id', {
    summary: 'One event by its id, and where the log has it',
    parameters: { trace_id: { kind: 'uuid', required: true, description: 'As the Receiver answered' } },
    response: { oneOf: EVENT_TYPES.map((type) => storedSchema(type, { type: { const: type }, ...PLACE })) },
    problems: ['not_found', 'store_unavailable'],
    handler: async ({ values }) => {
      const found = await store.event(values.trace_id)
      if (found === undefined) throw new HttpProblem('not_found', 'no event with this trace_id is stored')
      const { event, partition, offset } = found
      return { type: event.type, ...toWire(event), partition, offset }
    },
  })
  server.get('/canaries/:trace_id', {
    summary: 'Where one of the newest canaries of the health check is in the log',
    parameters: { trace_id: { kind: 'uuid', required: true, description: 'As the Receiver answered' } },
    response: CANARY_RESPONSE,
    problems: ['not_found', 'store_unavailable'],
    handler: async ({ values }) => {
      const found = await store.canary(values.trace_id)
      if (found === undefined) throw new HttpProblem('not_found', 'no canary with this trace_id is stored')
      return { ...found, date_created: formatInstant(found.date_created) }
    },
  })
  server.get('/changes', {
    summary: 'What was stored after a position, in the order it was stored',
    description: CHANGES_DESCRIPTION,
    parameters: CHANGES,
    response: CHANGES_RESPONSE,
    problems: ['store_unavailable'],
    rowBytesMax: EVENT_BYTES_MAX,
    handler: async ({ values, reply }) => {
      const after = parseCursors(values.after ?? '')
      if (after === undefined) throw invalidPosition()
      const page = await store.changes({ after, limit: values.limit })
      refuseBeyond(after, page.stored)
      return reply.type('application/json; charset=utf-8').send(changePageText(page))
    },
  })
}

/** A position that the feed has not reached is not one of this store: what comes up to there would be left out. */
function refuseBeyond(after: Cursors, stored: Cursors): void {
  const beyond = after.find((cursor) => cursor.next > nextOf(stored, cursor))
  if (beyond === undefined) return
  const { topic, partition, next } = beyond
  const end = nextOf(stored, beyond)
  const detail =
    `has ${topic}:${partition} up to ${next}, but only what lies before ${end} is stored: it is of another store or of a ` +
    'newer copy. Read from the beginning, or ask again where the store is being filled'
  throw invalidParameter('after', detail)
}

async function sendPage(
  store: EventStore,
  query: Omit<PageQuery, 'limit'>,
  limit: number,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const { text, next } = await store.textPage({ ...query, limit, format: 'json', bytesMax: PAGE_BYTES_MAX })
  if (next !== undefined) {
    const { by, order } = query
    reply.header('link', nextPageLink(request, { cursor: encodePageCursor({ by, order, after: next }) }))
  }
  return reply.type('application/json; charset=utf-8').send(text)
}

function toQuery(type: EventType, values: ParameterValues<typeof RANGE>): Omit<PageQuery, 'limit'> {
  const { start_timestamp: from, end_timestamp: to, user_id, by, order, cursor } = values
  const after = cursor === undefined ? undefined : decodePageCursor(cursor, { by, order })
  return { type, by, order, from, to, user_id, after }
}

function invalidPosition(): HttpProblem {
  const detail = 'must be a position as an answer of this path gave it in `next`'
  return invalidParameter('after', detail)
}

const PLACE = {
  partition: { type: 'integer', minimum: 0, description: "Of the type's topic in the log" },
  offset: { type: 'integer', minimum: 0 },
}

const CANARY_RESPONSE = {
  type: 'object',
  required: ['trace_id', 'date_created', 'partition', 'offset'],
  properties: {
    trace_id: { type: 'string', format: 'uuid' },
    date_created: { type: 'string', format: 'date-time' },
    ...PLACE,
  },
}

const RANGE = {
  start_timestamp: { kind: 'instant', description: 'Events at this time or later' },
  end_timestamp: { kind: 'instant', description: 'Events before this time' },
  user_id: { kind: 'uuid', description: 'Events of this user only' },
  by: {
    kind: 'choice',
    choices: ['timestamp', 'date_created'],
    default: 'timestamp',
    description: 'Which time: when it began, or when Runify received it',
  },
  order: { kind: 'choice', choices: ['asc', 'desc'], default: 'asc', description: 'Oldest or newest first' },
  limit: { kind: 'integer', min: 1, max: 10_000, default: 1000, description: 'Events a page; streams have no limit' },
  cursor: { kind: 'text', charactersMax: 200, description: 'From the Link header of the page before' },
} as const satisfies Parameters

const RANGE_DESCRIPTION =
  'Ordered by the chosen time, then `trace_id`. A page ends at `limit` or at 8 MiB; while there is more, ' +
  '`Link: <…>; rel="next"` names the next one. With ' +
  '`Accept: application/x-ndjson` or `text/csv` the whole range is streamed.'

const CHANGES = {
  after: {
    kind: 'text',
    // With the rest of the request's head it must stay below Node's 16 KiB.
    charactersMax: 15_000,
    description: 'The `next` of the answer before; nothing: from the beginning',
  },
  limit: { kind: 'integer', min: 1, max: 10_000, default: 1000, description: 'Changes a page' },
} as const satisfies Parameters

const CHANGES_DESCRIPTION =
  'The feed for other services. A reader that keeps `next` (and `logs`) and asks with `after=<next>` sees every event once and misses ' +
  'none, however many instances store at the same time. Ordered by offset within each partition of the log. Events of users ' +
  'who were forgotten come no more; `erasures` tells of each once (`GET /erasures/{request_id}/events` has the places). While ' +
  'a user is being forgotten the page is empty and `next` does not move: ask again a moment later. A position beyond what is stored, ' +
  'as after a backup was put back, is refused with 400.'

const CHANGES_RESPONSE = {
  type: 'object',
  required: ['changes', 'erasures', 'next', 'complete', 'stored', 'logs'],
  properties: {
    changes: { type: 'array', items: STORED_SCHEMA },
    erasures: { type: 'array', items: ERASURE_SCHEMA, description: 'Users that were forgotten: to be handled first' },
    next: { type: 'string', description: 'Give this as `after` to read on' },
    complete: { type: 'boolean', description: 'Whether this is all that is stored' },
    stored: { type: 'string', description: 'Up to where everything is stored: more than `next` while there is more' },
    logs: {
      type: 'string',
      description:
        'Of which log the positions of each topic are, as `topic=id,…`. A reader keeps it beside `next`: where an id is ' +
        'another one later, its positions mean nothing any more, and it begins anew',
    },
  },
}
