import { type CompiledQuery, type Kysely, type SelectQueryBuilder, sql } from 'kysely'
import { CANARY, CATALOGUE, EVENT_TYPES, type EventType, type RunifyEvent, typeOfTopic } from '../events/catalogue.ts'
import { type Cursors, type MarkColumns, nextOf, type PartitionCursor, withMoved } from '../log/position.ts'
import { FORGOTTEN_TOPIC, type Tombstone } from '../log/tombstone.ts'
import type { CanaryTable } from './canaries.ts'
import { type ColumnValue, columnsOf, fromRow, type StoredEvent, uuidFromBytes, uuidToBytes } from './columns.ts'
import type {
  ChangePage,
  ErasedEvent,
  Erasure,
  EventStore,
  Held,
  PageQuery,
  TextPage,
  TextQuery,
  UserPlace,
  WriteOutcome,
} from './event-store.ts'
import { type TextRow, TextWriter, textColumns, textValue, uuidText } from './event-text.ts'
import { readKeptCursors } from './kept-cursors.ts'

type EventTable = {
  log_partition: number
  log_offset: number
  trace_id: Uint8Array
  user_id: Uint8Array
  timestamp: number
  date_created: number
}

export type ForgottenTable = {
  log_partition: number
  log_offset: number
  request_id: Uint8Array
  user_id: Uint8Array
  forgotten_at: number
  /** 1 where it goes by when events were received; 0 where by `forgotten_positions`. */
  by_time: number
} & Record<EventType, number>

/** The tables as far as the queries name their columns; the catalogue's other columns are only read. */
export type EventDatabase = Record<EventType, EventTable> & {
  stored_cursors: { topic: string; partition_id: number; next: number; stored: number } & MarkColumns
  forgotten_users: ForgottenTable
  /** Of each forgotten user and partition, below which offset everything is forgotten. */
  forgotten_positions: { user_id: Uint8Array; topic: string; partition_id: number; next: number }
  erased_events: {
    request_id: Uint8Array
    type: string
    log_partition: number
    log_offset: number
    hour: number
    fingerprint: number
  }
  canaries: CanaryTable
}

/** The queries on events that SQLite and MySQL answer alike. */

export async function readCounts(db: Kysely<EventDatabase>): Promise<Record<EventType, number>> {
  const rows = await db
    .selectFrom('stored_cursors')
    .select((of) => ['topic', of.fn.sum('stored').as('stored')])
    .groupBy('topic')
    .execute()
  const counts = Object.fromEntries(EVENT_TYPES.map((type) => [type, 0])) as Record<EventType, number>
  for (const { topic, stored } of rows) {
    const type = typeOfTopic(topic)
    if (type !== undefined) counts[type] = Number(stored)
  }
  return counts
}

export async function readPage(db: Kysely<EventDatabase>, query: PageQuery): Promise<RunifyEvent[]> {
  const { type, limit } = query
  const run = (select: EventSelect) => select.execute()
  const rows = await readInTurn(pageSelects(selectEvents(db, type), query), { limit, run })
  return rows.map((row) => fromRow(type, row).event)
}

/** Runs a query whose rows are handed over as arrays, one by one; it may stop when `take` wants no more of them. */
export type EachArray = (query: CompiledQuery, take: (row: TextRow) => boolean) => void | Promise<void>

/** A page as text. One row more than the page has tells whether there is more. */
export async function readTextPage(
  db: Kysely<EventDatabase>,
  query: TextQuery,
  eachArray: EachArray,
): Promise<TextPage> {
  const { type, by, format, limit, bytesMax = Number.POSITIVE_INFINITY } = query
  const writer = new TextWriter(type, format)
  let more = false
  let last: TextRow = []
  const take = (row: TextRow) => {
    more ||= writer.events === limit || writer.length >= bytesMax
    if (more) return false
    writer.add(row)
    last = row
    return true
  }
  for (const select of textSelects(db, query)) {
    if (!more) await eachArray(select.limit(limit + 1 - writer.events).compile(), take)
  }
  const { events } = writer
  const text = writer.end()
  if (!more) return { text, events, next: undefined }
  const trace_id = uuidText(textValue(type, last, 'trace_id') as string)
  return { text, events, next: { time: textValue(type, last, by) as number, trace_id } }
}

/** What a page of text is read by; each is to be a walk along an index, and nothing is to be sorted. */
export function textSelects(db: Kysely<EventDatabase>, query: PageQuery): EventSelect[] {
  return pageSelects(selectTexts(db, query.type), query)
}

/**
 * The rows of a page in its order. Behind a place they come from two queries: first those of the same time, then those of
 * later times. Each is one walk along an index, however many events share the time of the place; of one query with an
 * `or`, or of (a, b) > (x, y), neither database makes that walk in every case.
 */
function pageSelects(select: EventSelect, query: PageQuery): EventSelect[] {
  const { by, order, from, to, user_id, after } = query
  let rest = select.orderBy(`event.${by}`, order).orderBy('event.trace_id', order)
  if (user_id !== undefined) rest = rest.where('user_id', '=', uuidToBytes(user_id))
  if (from !== undefined) rest = rest.where(by, '>=', from)
  if (to !== undefined) rest = rest.where(by, '<', to)
  if (after === undefined) return [rest]
  const beyond = order === 'asc' ? '>' : '<'
  const same = rest.where(by, '=', after.time).where('trace_id', beyond, uuidToBytes(after.trace_id))
  return [same, rest.where(by, beyond, after.time)]
}

async function readInTurn<R>(
  selects: readonly EventSelect[],
  { limit, run }: { limit: number; run: (select: EventSelect) => Promise<R[]> },
): Promise<R[]> {
  const rows: R[] = []
  for (const select of selects) {
    if (rows.length < limit) for (const row of await run(select.limit(limit - rows.length))) rows.push(row)
  }
  return rows
}

export async function readEvent(db: Kysely<EventDatabase>, traceId: string): Promise<StoredEvent | undefined> {
  for (const type of EVENT_TYPES) {
    const row = await selectEvents(db, type).where('trace_id', '=', uuidToBytes(traceId)).executeTakeFirst()
    if (row !== undefined) return fromRow(type, row)
  }
  return undefined
}

/** A page is read again when an erasure came to its end meanwhile. */
const PAGE_TRIES_MAX = 10

export async function readChanges(
  db: Kysely<EventDatabase>,
  query: { after: Cursors; limit: number },
): Promise<ChangePage> {
  for (let tries = 1; ; tries++) {
    const page = await readChangesOnce(db, query)
    const erasing = await erasingState(db, page.stored)
    if (erasing === 'none') return page
    if (erasing === 'ended' && tries < PAGE_TRIES_MAX) continue
    const { after } = query
    return { changes: [], erasures: [], next: withMoved(after, []), complete: false, stored: page.stored }
  }
}

/** Whether, since the cursors were read, rows may have been erased of which the page does not tell. */
async function erasingState(db: Kysely<EventDatabase>, stored: Cursors): Promise<'none' | 'under way' | 'ended'> {
  const cursors = await db
    .selectFrom('stored_cursors')
    .select(['partition_id', 'next'])
    .where('topic', '=', FORGOTTEN_TOPIC)
    .execute()
  for (const { partition_id: partition, next } of cursors) {
    if (nextOf(stored, { topic: FORGOTTEN_TOPIC, partition }) !== next) return 'ended'
    const [first] = await readErasures(db, { partition, begin: next, end: Number.MAX_SAFE_INTEGER, limit: 1 })
    if (first !== undefined) return 'under way'
  }
  return 'none'
}

/**
 * The cursors are read before the rows: everything below a cursor was committed with it or earlier and changes only by
 * erasures, so rows below it are complete without a snapshot, as long as they are rows of the same tables.
 */
async function readChangesOnce(
  db: Kysely<EventDatabase>,
  { after, limit }: { after: Cursors; limit: number },
): Promise<ChangePage> {
  const stored = await readKeptCursors(db, 'stored_cursors')
  const erasures: Erasure[] = []
  const changes: StoredEvent[] = []
  const next: PartitionCursor[] = []
  const room = new PageRoom(limit)
  let complete = true
  for (const { topic, partition, next: end } of stored) {
    if (topic === CANARY.topic) continue
    const type = typeOfTopic(topic)
    const begin = nextOf(after, { topic, partition })
    if (topic === FORGOTTEN_TOPIC && begin < end) {
      const found = await readErasures(db, { partition, begin, end, limit: ERASURES_MAX })
      erasures.push(...found)
      const reached = found.length < ERASURES_MAX ? end : (found.at(-1) as Erasure).offset + 1
      complete &&= reached === end
      next.push({ topic, partition, next: reached })
      continue
    }
    if (type === undefined || begin >= end) {
      next.push({ topic, partition, next: begin })
      continue
    }
    let reached = begin
    while (reached < end && room.rows > 0) {
      const asked = room.rows
      const rows = await readRows(db, { type, partition, begin: reached, end, limit: asked })
      for (const row of rows) changes.push(row)
      room.take(rows)
      // Fewer rows than asked for: all up to the cursor have been seen, whatever offsets hold no row.
      reached = rows.length < asked ? end : (rows.at(-1) as StoredEvent).offset + 1
    }
    complete &&= reached === end
    next.push({ topic, partition, next: reached })
  }
  // Last, so that whoever has passed a canary has all that was stored before it.
  for (const { topic, partition, next: end } of stored) {
    if (topic === CANARY.topic && complete) next.push({ topic, partition, next: end })
  }
  // A partition that only `after` knows is kept: the reader may put `next` in the place of what it had.
  return { changes, erasures, next: withMoved(after, next), complete, stored }
}

/** About, as text. */
const CHANGES_BYTES_MAX = 8 * 1024 * 1024
/** So many have never been too large; what they take tells how many more may be read at once. */
const FIRST_ROWS = 1000

/** How much still fits into a page of changes. */
class PageRoom {
  #rows: number
  #bytes = CHANGES_BYTES_MAX
  #seen = 0

  constructor(rows: number) {
    this.#rows = rows
  }

  /** How many may be read next. */
  get rows(): number {
    if (this.#seen === 0) return Math.min(this.#rows, FIRST_ROWS)
    const bytesOfRow = (CHANGES_BYTES_MAX - this.#bytes) / this.#seen
    return Math.max(0, Math.min(this.#rows, Math.floor(this.#bytes / bytesOfRow)))
  }

  take(rows: readonly StoredEvent[]): void {
    this.#rows -= rows.length
    this.#seen += rows.length
    for (const row of rows) this.#bytes -= bytesOf(row)
  }
}

/** Of each partition in a page: each may cost its reader a recount. */
const ERASURES_MAX = 100

async function readErasures(
  db: Kysely<EventDatabase>,
  { partition, begin, end, limit }: Omit<RowRange, 'type'>,
): Promise<Erasure[]> {
  const rows = await db
    .selectFrom('forgotten_users')
    .selectAll()
    .where('log_partition', '=', partition)
    .where('log_offset', '>=', begin)
    .where('log_offset', '<', end)
    .orderBy('log_offset')
    .limit(limit)
    .execute()
  return rows.map(toErasure)
}

export async function readErasure(db: Kysely<EventDatabase>, requestId: string): Promise<Erasure | undefined> {
  const row = await db
    .selectFrom('forgotten_users')
    .innerJoin('stored_cursors', (join) =>
      join
        .on('topic', '=', FORGOTTEN_TOPIC)
        .onRef('partition_id', '=', 'log_partition')
        // Before that, some of the user's events may still be there.
        .onRef('next', '>', 'log_offset'),
    )
    .selectAll('forgotten_users')
    .where('request_id', '=', uuidToBytes(requestId))
    .executeTakeFirst()
  return row && toErasure(row)
}

function toErasure(row: ForgottenTable): Erasure {
  return {
    partition: row.log_partition,
    offset: row.log_offset,
    request_id: uuidFromBytes(row.request_id),
    user_id: uuidFromBytes(row.user_id),
    forgotten_at: row.forgotten_at,
    erased: Object.fromEntries(EVENT_TYPES.map((type) => [type, row[type]])) as Erasure['erased'],
  }
}

export async function readErased(
  db: Kysely<EventDatabase>,
  { request_id, after, limit }: Parameters<EventStore['erasedEvents']>[0],
): Promise<ErasedEvent[]> {
  let select = db.selectFrom('erased_events').selectAll().where('request_id', '=', uuidToBytes(request_id))
  if (after !== undefined) {
    const { type, partition, offset } = after
    select = select.where((where) =>
      where.or([
        where('type', '>', type),
        where.and([where('type', '=', type), where('log_partition', '>', partition)]),
        where.and([where('type', '=', type), where('log_partition', '=', partition), where('log_offset', '>', offset)]),
      ]),
    )
  }
  const rows = await select.orderBy('type').orderBy('log_partition').orderBy('log_offset').limit(limit).execute()
  return rows.map(({ type, log_partition, log_offset, hour, fingerprint }) => {
    return { type: type as EventType, partition: log_partition, offset: log_offset, hour, fingerprint }
  })
}

export async function readHeld(
  db: Kysely<EventDatabase>,
  { user_id, until, before, from = [] }: Parameters<EventStore['held']>[0],
): Promise<Held> {
  const held: Held = []
  for (const type of EVENT_TYPES) {
    let ofUser = (db.selectFrom(`${type} as event`) as unknown as EventSelect).where(
      'user_id',
      '=',
      uuidToBytes(user_id),
    )
    if (until !== undefined) ofUser = ofUser.where('date_created', '<=', until)
    if (before !== undefined) ofUser = ofUser.where(sql<boolean>`(${sql.raw(liesBefore(before, type))})`)
    const partitions = await ofUser.select('log_partition').distinct().execute()
    for (const { log_partition: partition } of partitions as unknown as { log_partition: number }[]) {
      const row = (await ofUser
        .where('log_partition', '=', partition)
        .where('log_offset', '>=', nextOf(from, { topic: topicOf(type), partition }))
        .select(({ fn }) => [
          fn.countAll().as('events'),
          fn.min('date_created').as('first'),
          fn.max('date_created').as('last'),
        ])
        .executeTakeFirst()) as unknown as { events: number; first: number; last: number }
      if (row.events > 0) held.push({ type, partition, ...row })
    }
  }
  return held
}

/** As SQL of both databases: which rows of a type lie before these positions. A partition that is not named has none. */
export function liesBefore(positions: Cursors, type: EventType): string {
  const places = positions.filter(({ topic }) => topic === topicOf(type))
  const conditions = places.map(({ partition, next }) => `(log_partition = ${partition} AND log_offset < ${next})`)
  return conditions.length === 0 ? '1 = 0' : conditions.join(' OR ')
}

/** Likewise: which of a user's rows of a type a tombstone is about. */
export function isForgotten({ forgotten_at, positions }: Tombstone, type: EventType): string {
  return positions === undefined ? `date_created <= ${forgotten_at}` : `(${liesBefore(positions, type)})`
}

export async function readUserEvents(
  db: Kysely<EventDatabase>,
  { user_id, after, limit }: { user_id: string; after?: UserPlace | undefined; limit: number },
): Promise<StoredEvent[]> {
  const found: StoredEvent[] = []
  for (const type of EVENT_TYPES) {
    if (after !== undefined && EVENT_TYPES.indexOf(type) < EVENT_TYPES.indexOf(after.type)) continue
    const place = after?.type === type ? after : undefined
    const query = {
      type,
      by: 'date_created',
      order: 'asc',
      user_id,
      after: place,
      limit: limit - found.length,
    } as const
    if (query.limit === 0) break
    const run = (select: EventSelect) => select.execute()
    const rows = await readInTurn(pageSelects(selectEvents(db, type), query), { limit: query.limit, run })
    for (const row of rows) found.push(fromRow(type, row))
  }
  return found
}

/** What it takes as text, about. */
function bytesOf({ event }: StoredEvent): number {
  let bytes = ROW_BYTES
  for (const value of Object.values(event.fields)) if (typeof value === 'string') bytes += Buffer.byteLength(value)
  return bytes
}

/** Of the names of its fields, its ids and its numbers. */
const ROW_BYTES = 300

type RowRange = { type: EventType; partition: number; begin: number; end: number; limit: number }

async function readRows(db: Kysely<EventDatabase>, range: RowRange): Promise<StoredEvent[]> {
  const { type, partition, begin, end, limit } = range
  const rows = await selectEvents(db, type)
    .where('log_partition', '=', partition)
    .where('log_offset', '>=', begin)
    .where('log_offset', '<', end)
    .orderBy('log_offset')
    .limit(limit)
    .execute()
  return rows.map((row) => fromRow(type, row))
}

type EventSelect = SelectQueryBuilder<Record<'event', EventTable>, 'event', Record<string, ColumnValue>>

function selectEvents(db: Kysely<EventDatabase>, type: EventType): EventSelect {
  const columns = columnsOf(type) as unknown as (keyof EventTable)[]
  // Which table it is does not change the query's type: all have the columns that are named here.
  return db.selectFrom(`${type} as event`).select(columns) as unknown as EventSelect
}

function selectTexts(db: Kysely<EventDatabase>, type: EventType): EventSelect {
  const columns = textColumns(type).map(({ name, isUuid }) => {
    const column = sql.ref(`event.${name}`)
    // Not under the column's own name: an order by that name would be the order of the digits, which no index has.
    return (isUuid ? sql<string>`lower(hex(${column}))` : sql<ColumnValue>`${column}`).as(`${name}_text`)
  })
  return db.selectFrom(`${type} as event`).select(columns) as unknown as EventSelect
}

/** The tables that are filled from the log. */
export const EVENT_TABLES: readonly string[] = [
  ...EVENT_TYPES,
  'canaries',
  'stored_cursors',
  'forgotten_users',
  'forgotten_positions',
  'erased_events',
]

/** Of the batch's events, `kept` are not of users who were forgotten later, and `stored` of those are new. */
export function storedOutcome({ stored, events, kept }: Record<'stored' | 'events' | 'kept', number>): WriteOutcome {
  const outcome = { kind: 'stored', stored, repeated: kept - stored } as const
  return kept === events ? outcome : { ...outcome, forgotten: events - kept }
}

/** Why an event is refused that has another's `trace_id`. */
export const CONFLICT = 'its trace_id is stored with another content: the client used one event_id for two events'

export function topicOf(type: EventType): string {
  return CATALOGUE[type].topic
}
