import type { DatabaseSync } from 'node:sqlite'
import { type Kysely, sql } from 'kysely'
import { CATALOGUE, type EventType } from '../../../../events/catalogue.ts'
import { FINGERPRINTS, fingerprintOf } from '../../../../events/fingerprint.ts'
import { MS_PER_HOUR } from '../../../../events/instant.ts'
import { type Dialect, uuidFromBytes, uuidToBytes } from '../../../../store/columns.ts'
import { rowLiteral } from '../../../../store/mysql/literal.ts'
import type { MysqlSession } from '../../../../store/mysql/session.ts'
import type { CountedHour } from '../../hourly-counts/counted-hours.ts'
import type { HourRange } from '../../query.ts'
import {
  DETAIL_CHARACTERS_MAX,
  UNCOUNTED_NAMED_MAX,
  type UncountedEvent,
  type UncountedHours,
  type UncountedPlace,
} from '../../uncounted.ts'
import type { StatisticsDatabase } from './statistics-tables.ts'

/**
 * The table `uncounted_events`: how it is made, written and read. With the number of each partition's beside its cursor
 * it changes in the transaction that moves the cursor, so what is counted and what is kept here is all below the cursors.
 * There are few of them, or somebody looks after it soon: no index is kept but the key.
 */

export type UncountedRow = {
  type: string
  partition_id: number
  log_offset: number
  trace_id: Uint8Array
  user_id: Uint8Array
  date_created: number
  hour: number
  fingerprint: number
  detail: string
}

export async function createUncounted(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  const integer = sqlite ? 'integer' : 'bigint'
  const uuid = sql.raw(sqlite ? 'blob' : 'binary(16)')
  const text = sqlite ? 'text' : `varchar(${DETAIL_CHARACTERS_MAX}) character set utf8mb4`
  await db.schema
    .createTable('uncounted_events')
    .ifNotExists()
    .addColumn('type', sql.raw(sqlite ? 'text' : 'varchar(64)'), (column) => column.notNull())
    .addColumn('partition_id', 'integer', (column) => column.notNull())
    .addColumn('log_offset', integer, (column) => column.notNull())
    .addColumn('trace_id', uuid, (column) => column.notNull())
    .addColumn('user_id', uuid, (column) => column.notNull())
    .addColumn('date_created', integer, (column) => column.notNull())
    .addColumn('hour', 'integer', (column) => column.notNull())
    .addColumn('fingerprint', integer, (column) => column.notNull())
    .addColumn('detail', sql.raw(text), (column) => column.notNull())
    .addPrimaryKeyConstraint('uncounted_events_key', ['type', 'partition_id', 'log_offset'])
    .modifyEnd(sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`)
    .execute()
}

type Statements = { add: (event: UncountedEvent) => void; remove: (places: readonly UncountedPlace[]) => void }

/** Prepares the statements that work within the transaction of a fold or an erasure. */
export function prepareUncounted(database: DatabaseSync): Statements {
  const insert = database.prepare(`INSERT INTO uncounted_events (${COLUMNS}) VALUES (${COLUMNS.map(() => '?')})`)
  const remove = database.prepare('DELETE FROM uncounted_events WHERE type = ? AND partition_id = ? AND log_offset = ?')
  const add = database.prepare(
    'UPDATE counted_cursors SET uncounted = uncounted + ? WHERE topic = ? AND partition_id = ?',
  )
  return {
    add: (event) => {
      insert.run(...valuesOf(event))
      add.run(1, CATALOGUE[event.type].topic, event.partition)
    },
    remove: (places) => {
      for (const { type, partition, offset } of places) {
        remove.run(type, partition, offset)
        add.run(-1, CATALOGUE[type].topic, partition)
      }
    },
  }
}

export async function addUncounted(session: MysqlSession, event: UncountedEvent): Promise<void> {
  await session.query(`INSERT INTO uncounted_events (${COLUMNS}) VALUES ${rowLiteral(valuesOf(event))}`)
  await addToCursor(session, event, 1)
}

export async function removeUncounted(session: MysqlSession, places: readonly UncountedPlace[]): Promise<void> {
  for (const place of places) {
    const { type, partition, offset } = place
    await session.query(
      `DELETE FROM uncounted_events WHERE (type, partition_id, log_offset) = ${rowLiteral([type, partition, offset])}`,
    )
    await addToCursor(session, place, -1)
  }
}

async function addToCursor(session: MysqlSession, { type, partition }: UncountedPlace, count: number): Promise<void> {
  const partitionKey = rowLiteral([CATALOGUE[type].topic, partition])
  await session.query(
    `UPDATE counted_cursors SET uncounted = uncounted + ${count} WHERE (topic, partition_id) = ${partitionKey}`,
  )
}

export async function readUncounted(db: Kysely<StatisticsDatabase>, { from, to }: HourRange): Promise<UncountedHours> {
  const inRange = db.selectFrom('uncounted_events').where('hour', '>=', from).where('hour', '<', to)
  // In two halves, for a sum of many whole ones is more than an integer holds.
  const sums = await inRange
    .select(['type', 'hour', sql<number | string>`count(*)`.as('events')])
    .select([
      sql<number | string>`sum(fingerprint >> 24)`.as('high'),
      sql<number | string>`sum(fingerprint & 16777215)`.as('low'),
    ])
    .groupBy(['hour', 'type'])
    .orderBy('hour')
    .orderBy('type')
    .execute()
  const rows = await inRange
    .selectAll()
    .orderBy('type')
    .orderBy('partition_id')
    .orderBy('log_offset')
    .limit(UNCOUNTED_NAMED_MAX)
    .execute()
  return {
    hours: sums.map(({ type, hour, events, high, low }): CountedHour => {
      const fingerprint = ((Number(high) % HALF) * HALF + Number(low)) % FINGERPRINTS
      return { type: type as EventType, hour, events: Number(events), fingerprint }
    }),
    events: rows.map((row) => ({
      ...placeOf(row),
      trace_id: uuidFromBytes(row.trace_id),
      date_created: row.date_created,
      detail: row.detail,
    })),
  }
}

export async function readUncountedOf(db: Kysely<StatisticsDatabase>, userId: string): Promise<UncountedPlace[]> {
  const rows = await db
    .selectFrom('uncounted_events')
    .select(['type', 'partition_id', 'log_offset'])
    .where('user_id', '=', uuidToBytes(userId))
    .execute()
  return rows.map(placeOf)
}

const HALF = 2 ** 24

const COLUMNS = [
  'type',
  'partition_id',
  'log_offset',
  'trace_id',
  'user_id',
  'date_created',
  'hour',
  'fingerprint',
  'detail',
] as const satisfies (keyof UncountedRow)[]

function valuesOf(event: UncountedEvent) {
  const { type, partition, offset, trace_id, user_id, date_created, detail } = event
  const ids = [uuidToBytes(trace_id), uuidToBytes(user_id)]
  const hour = Math.floor(date_created / MS_PER_HOUR)
  return [type, partition, offset, ...ids, date_created, hour, fingerprintOf(trace_id), detail]
}

function placeOf(row: Pick<UncountedRow, 'type' | 'partition_id' | 'log_offset'>): UncountedPlace {
  return { type: row.type as EventType, partition: row.partition_id, offset: row.log_offset }
}
