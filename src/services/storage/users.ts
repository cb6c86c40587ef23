import { randomUUID } from 'node:crypto'
import { CATALOGUE, EVENT_TYPES, type EventType } from '../../events/catalogue.ts'
import { storedSchema, toRecord } from '../../events/codec.ts'
import { formatInstant } from '../../events/instant.ts'
import { PAGE_BYTES_MAX } from '../../http/next-page.ts'
import type { Parameters } from '../../http/parameter.ts'
import { HttpProblem } from '../../http/problem.ts'
import type { HttpServer } from '../../http/server.ts'
import type { EventLog, PartitionRange } from '../../log/event-log.ts'
import { encodeTombstone } from '../../log/tombstone.ts'
import type { ErasedEvent, Erasure, EventStore, Held, StoredEvent } from '../../store/event-store.ts'
import { type UserPlace, userPlaceOf } from '../../store/event-store.ts'
import { decodeErasedPlace, decodeUserPlace, encodeErasedPlace, encodeUserPlace } from '../../store/user-place.ts'
import type { Forgetter } from './forgetter.ts'
import { readCursor } from './page-cursor.ts'

/** What Storage holds of a user, and how it forgets one. */
export function addUserRoutes(
  server: HttpServer,
  { log, store, forgetter }: { log: EventLog; store: EventStore; forgetter: Forgetter },
): void {
  server.get('/users/:user_id/events', {
    summary: 'All that is stored of a user, with the place of each event in the log',
    description:
      'Ordered by type, `date_created` and `trace_id`. While there is more, `next` is the `cursor` of the next page.',
    parameters: USER_EVENTS,
    response: USER_EVENTS_RESPONSE,
    problems: ['store_unavailable'],
    rowBytesMax: EVENT_BYTES_MAX,
    handler: async ({ values: { user_id, limit, cursor }, reply }) => {
      const after = readCursor(cursor, decodeUserPlace)
      const { texts, next } = await readUserPage(store, { user_id, after, limit })
      const text = `{"events":[${texts.join(',')}],"next":${JSON.stringify(next)}}`
      return reply.type('application/json; charset=utf-8').send(text)
    },
  })

  server.delete('/users/:user_id', {
    summary: 'Forget a user: erase all events that were accepted up to now',
    description: FORGET_DESCRIPTION,
    parameters: { user_id: { kind: 'uuid', required: true, description: 'Whom to forget' } },
    response: FORGET_RESPONSE,
    problems: ['store_unavailable', 'log_unavailable', 'log_overloaded'],
    handler: async ({ values: { user_id } }) => {
      const ranges = await eventRanges(log)
      // Whatever a clock says: what is in the log by now goes, and what comes later stays.
      const positions = ranges.map(({ topic, partition, next }) => ({ topic, partition, next }))
      const tombstone = { request_id: randomUUID(), user_id, forgotten_at: Date.now(), positions }
      const inLog = await heldByLog({ log, store }, { user_id, ranges })
      await log.append([encodeTombstone(tombstone)])
      return { ...toErasure(await forgetter.carriedOut(tombstone.request_id)), in_log: inLog }
    },
  })

  server.get('/erasures/:request_id', {
    summary: 'What came of a request to forget a user; 404 until it is complete',
    parameters: { request_id: REQUEST_ID },
    response: ERASURE_SCHEMA,
    problems: ['not_found', 'store_unavailable'],
    handler: async ({ values: { request_id } }) => {
      const erasure = await store.erasure(request_id)
      if (erasure === undefined) throw new HttpProblem('not_found', 'no such request is complete')
      return toErasure(erasure)
    },
  })

  server.get('/erasures/:request_id/events', {
    summary: 'Where the events were that were erased, for those who have counted them',
    description: 'Nothing of it tells of whom they were. While there is more, `next` is the `cursor` of the next page.',
    parameters: ERASED_EVENTS,
    response: ERASED_EVENTS_RESPONSE,
    problems: ['store_unavailable'],
    handler: async ({ values: { request_id, limit, cursor } }) => {
      const after = readCursor(cursor, decodeErasedPlace)
      const found = await store.erasedEvents({ request_id, after, limit: limit + 1 })
      const last: ErasedEvent | undefined = found.length > limit ? found[limit - 1] : undefined
      return { events: found.slice(0, limit), next: last ? encodeErasedPlace(last) : null }
    },
  })
}

/** Of an event, with the longest names there may be. */
export const EVENT_BYTES_MAX = 5 * 1024
/** How many are read at a time. */
const STEP_EVENTS = 1000

/** A page of a user's events as JSON, each for itself; `next` is the cursor of the next one. */
async function readUserPage(
  store: EventStore,
  { user_id, after, limit }: { user_id: string; after: UserPlace | undefined; limit: number },
): Promise<{ texts: string[]; next: string | null }> {
  const texts: string[] = []
  let bytes = 0
  for (let place = after; ; ) {
    const step = Math.min(STEP_EVENTS, limit - texts.length)
    const found = await store.userEvents({ user_id, after: place, limit: step + 1 })
    for (const event of found.slice(0, step)) {
      const text = JSON.stringify(toStored(event))
      texts.push(text)
      bytes += Buffer.byteLength(text)
      place = userPlaceOf(event)
    }
    if (found.length <= step) return { texts, next: null }
    if (texts.length === limit || bytes >= PAGE_BYTES_MAX) return { texts, next: encodeUserPlace(place as UserPlace) }
  }
}

export function toStored({ partition, offset, event }: StoredEvent) {
  return { type: event.type, partition, offset, event: toRecord(event) }
}

/** The form of an erasure in answers. */
export function toErasure({ partition, offset, request_id, user_id, forgotten_at, erased }: Erasure) {
  const counts = EVENT_TYPES.map((type) => [CATALOGUE[type].countName, erased[type]])
  return {
    request_id,
    user_id,
    forgotten_at: formatInstant(forgotten_at),
    erased: Object.fromEntries(counts) as Record<string, number>,
    partition,
    offset,
  }
}

type EventRange = PartitionRange & { topic: string }

/** What the log has of events, of each partition that has had any. */
async function eventRanges(log: EventLog): Promise<EventRange[]> {
  const ranges = await Promise.all(
    EVENT_TYPES.map(async (type) => {
      const { topic } = CATALOGUE[type]
      return (await log.partitions(topic)).map((range) => ({ topic, ...range }))
    }),
  )
  return ranges.flat().filter(({ next }) => next > 0)
}

/** What the log still has of the user, by what is stored: where, how much, and until when. */
async function heldByLog(
  { log, store }: { log: EventLog; store: EventStore },
  { user_id, ranges }: { user_id: string; ranges: readonly EventRange[] },
) {
  const from = ranges.map(({ topic, partition, first }) => ({ topic, partition, next: first }))
  const held: Held = await store.held({ user_id, from, before: ranges })
  return Promise.all(
    held.map(async ({ type, partition, events, first, last }) => {
      const { topic } = CATALOGUE[type]
      const keptMs = await log.retentionMs(topic)
      return {
        topic,
        partition,
        events,
        first: formatInstant(first),
        last: formatInstant(last),
        kept_until: keptMs === undefined ? null : formatInstant(last + keptMs),
      }
    }),
  )
}

const REQUEST_ID = { kind: 'uuid', required: true, description: 'As the answer to the request gave it' } as const
const PAGE = {
  limit: { kind: 'integer', min: 1, max: 10_000, default: 1000, description: 'Events a page' },
  cursor: { kind: 'text', charactersMax: 200, description: 'The `next` of the page before' },
} as const satisfies Parameters

const USER_EVENTS = {
  user_id: { kind: 'uuid', required: true, description: 'Of whom' },
  ...PAGE,
} as const satisfies Parameters
const ERASED_EVENTS = { request_id: REQUEST_ID, ...PAGE } as const satisfies Parameters

const FORGET_DESCRIPTION =
  'Erases what the log holds of the user when it is asked for, whatever clocks say, from the store, and with them from the statistics, and writes a tombstone into the log, so that they ' +
  'do not come back when the store is filled from the log anew. Answered when nothing of it is stored any more. ' +
  '`in_log` tells what the log still has until its retention removes it; repeats of an event that clients sent come on top. ' +
  'Events that come into the log later are stored again.'

const COUNT = { type: 'integer', minimum: 0 }
const INSTANT = { type: 'string', format: 'date-time' }
const NEXT = { type: ['string', 'null'], description: 'The `cursor` of the next page' }
const PLACE = { type: { type: 'string', enum: EVENT_TYPES }, partition: COUNT, offset: COUNT }

const CATALOGUE_OF_RECORD = {
  type: 'integer',
  minimum: 2,
  description: 'The version of the catalogue that has all its fields, where that is not the first',
}

/** One stored event with its place, as the feed of changes has it. */
export const STORED_SCHEMA = {
  type: 'object',
  required: ['type', 'partition', 'offset', 'event'],
  properties: { ...PLACE, event: { oneOf: EVENT_TYPES.map(recordSchema) } },
}

/** JSON Schema of what `toRecord` gives. */
function recordSchema(type: EventType): Record<string, unknown> {
  const stored = storedSchema(type)
  return { ...stored, properties: { ...(stored.properties as object), catalogue: CATALOGUE_OF_RECORD } }
}

export const ERASURE_SCHEMA = {
  type: 'object',
  required: ['request_id', 'user_id', 'forgotten_at', 'erased', 'partition', 'offset'],
  properties: {
    request_id: { type: 'string', format: 'uuid' },
    user_id: { type: 'string', format: 'uuid' },
    forgotten_at: { ...INSTANT, description: 'When it was asked for, by the clock of Storage' },
    erased: {
      type: 'object',
      description: 'How many events were erased',
      properties: Object.fromEntries(EVENT_TYPES.map((type) => [CATALOGUE[type].countName, COUNT])),
    },
    partition: { ...COUNT, description: 'Of the tombstone, in the topic `runify.forgotten_users`' },
    offset: COUNT,
  },
}

const FORGET_RESPONSE = {
  type: 'object',
  required: [...ERASURE_SCHEMA.required, 'in_log'],
  properties: {
    ...ERASURE_SCHEMA.properties,
    in_log: {
      type: 'array',
      description: 'What the log still holds, by topic and partition',
      items: {
        type: 'object',
        required: ['topic', 'partition', 'events', 'first', 'last', 'kept_until'],
        properties: {
          topic: { type: 'string' },
          partition: COUNT,
          events: COUNT,
          first: { ...INSTANT, description: 'When the first of them was received' },
          last: INSTANT,
          kept_until: { type: ['string', 'null'], description: 'When retention removes the last; null: never' },
        },
      },
    },
  },
}

const USER_EVENTS_RESPONSE = {
  type: 'object',
  required: ['events', 'next'],
  properties: { events: { type: 'array', items: STORED_SCHEMA }, next: NEXT },
}

const ERASED_EVENTS_RESPONSE = {
  type: 'object',
  required: ['events', 'next'],
  properties: {
    events: {
      type: 'array',
      items: {
        type: 'object',
        required: ['type', 'partition', 'offset', 'hour', 'fingerprint'],
        properties: {
          ...PLACE,
          hour: { type: 'integer', description: 'Hours since 1970 (UTC), by when it was received' },
          fingerprint: { ...COUNT, description: 'The last six bytes of its `trace_id`, as a number' },
        },
      },
    },
    next: NEXT,
  },
}
