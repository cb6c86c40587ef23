import type { Kysely, SelectQueryBuilder } from 'kysely'
import { CATALOGUE, EVENT_TYPES, type EventType, type RunifyEvent, typeOfTopic } from '../events/catalogue.ts'
import { type Cursors, nextOf, type PartitionCursor, withMoved } from '../log/position.ts'
import { type ColumnValue, columnsOf, fromRow, type StoredEvent, uuidToBytes } from './columns.ts'
import type { ChangePage, PageQuery } from './event-store.ts'

type EventTable = {
  log_partition: number
  log_offset: number
  trace_id: Uint8Array
  user_id: Uint8Array
  timestamp: number
  date_created: number
}

/** The tables as far as the queries name their columns; the catalogue's other columns are only read. */
export type EventDatabase = Record<EventType, EventTable> & {
  stored_cursors: { topic: string; partition_id: number; next: number; stored: number }
}

/** The queries on events that SQLite and MySQL answer alike. */

export async function readCursors(db: Kysely<EventDatabase>): Promise<PartitionCursor[]> {
  const rows = await db.selectFrom('stored_cursors').select(['topic', 'partition_id', 'next']).execute()
  return rows.map(({ topic, partition_id, next }) => ({ topic, partition: partition_id, next: Number(next) }))
}

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
  const { type, by, order, from, to, user_id, after, limit } = query
  let select = selectEvents(db, type).orderBy(by, order).orderBy('trace_id', order).limit(limit)
  if (user_id !== undefined) select = select.where('user_id', '=', uuidToBytes(user_id))
  if (from !== undefined) select = select.where(by, '>=', from)
  if (to !== undefined) select = select.where(by, '<', to)
  if (after !== undefined) {
    const { time } = after
    const id = uuidToBytes(after.trace_id)
    const [reached, passed] = order === 'asc' ? (['>=', '>'] as const) : (['<=', '<'] as const)
    // Written so that both databases walk the index from `time` on; (a, b) > (x, y) would not do that in MySQL.
    select = select
      .where(by, reached, time)
      .where((where) => where.or([where(by, passed, time), where('trace_id', passed, id)]))
  }
  const rows = await select.execute()
  return rows.map((row) => fromRow(type, row).event)
}

export async function readEvent(db: Kysely<EventDatabase>, traceId: string): Promise<StoredEvent | undefined> {
  for (const type of EVENT_TYPES) {
    const row = await selectEvents(db, type).where('trace_id', '=', uuidToBytes(traceId)).executeTakeFirst()
    if (row !== undefined) return fromRow(type, row)
  }
  return undefined
}

/**
 * The cursors are read before the rows: everything below a cursor was committed with it or earlier and never changes,
 * so rows below it are complete without a transaction around the two.
 */
export async function readChanges(
  db: Kysely<EventDatabase>,
  { after, limit }: { after: Cursors; limit: number },
): Promise<ChangePage> {
  const stored = await readCursors(db)
  const changes: StoredEvent[] = []
  const next: PartitionCursor[] = []
  let complete = true
  for (const { topic, partition, next: end } of stored) {
    const type = typeOfTopic(topic)
    const begin = nextOf(after, { topic, partition })
    const room = limit - changes.length
    if (type === undefined || begin >= end) {
      next.push({ topic, partition, next: begin })
      continue
    }
    const rows = room === 0 ? [] : await readRows(db, { type, partition, begin, end, limit: room })
    for (const row of rows) changes.push(row)
    // Fewer rows than asked for: all up to the cursor have been seen, whatever offsets hold no row.
    const reached = rows.length < room ? end : room === 0 ? begin : (rows.at(-1) as StoredEvent).offset + 1
    complete &&= reached === end
    next.push({ topic, partition, next: reached })
  }
  // A partition that only `after` knows is kept: the reader may put `next` in the place of what it had.
  return { changes, next: withMoved(after, next), complete, stored }
}

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

/** Why an event is refused that has another's `trace_id`. */
export const CONFLICT = 'its trace_id is stored with another content: the client used one event_id for two events'

export function topicOf(type: EventType): string {
  return CATALOGUE[type].topic
}
