import type { DatabaseSync } from 'node:sqlite'
import { type Kysely, sql } from 'kysely'
import type { EventType } from '../../../../events/catalogue.ts'
import { FINGERPRINTS } from '../../../../events/fingerprint.ts'
import type { Dialect } from '../../../../store/columns.ts'
import { rowLiteral } from '../../../../store/mysql/literal.ts'
import type { MysqlSession } from '../../../../store/mysql/session.ts'
import type { HoursPart } from '../../hourly-counts/counted-hours.ts'
import type { HourRange } from '../../query.ts'
import type { StatisticsDatabase } from './statistics-tables.ts'

/** The table `counted_hours`: how it is made, added to and read. */

export type CountedHourRow = { type: string; hour: number; events: number; fingerprint: number }

export async function createCountedHours(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  const integer = sqlite ? 'integer' : 'bigint'
  await db.schema
    .createTable('counted_hours')
    .ifNotExists()
    .addColumn('type', sql.raw(sqlite ? 'text' : 'varchar(64)'), (column) => column.notNull())
    .addColumn('hour', 'integer', (column) => column.notNull())
    .addColumn('events', integer, (column) => column.notNull())
    .addColumn('fingerprint', integer, (column) => column.notNull())
    .addPrimaryKeyConstraint('counted_hours_key', ['hour', 'type'])
    .modifyEnd(sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`)
    .execute()
}

/** Prepares the statement that adds the part, within the transaction of a fold. */
export function prepareHours(database: DatabaseSync): (hours: HoursPart) => void {
  const add = database.prepare(
    'INSERT INTO counted_hours (type, hour, events, fingerprint) VALUES (?, ?, ?, ?) ' +
      'ON CONFLICT (hour, type) DO UPDATE SET events = events + excluded.events, ' +
      `fingerprint = (fingerprint + excluded.fingerprint) % ${FINGERPRINTS}`,
  )
  return (hours) => {
    for (const { type, hour, events, fingerprint } of hours) add.run(type, hour, events, fingerprint)
  }
}

export async function addHours(session: MysqlSession, hours: HoursPart): Promise<void> {
  if (hours.length === 0) return
  const rows = hours.map(({ type, hour, events, fingerprint }) => rowLiteral([type, hour, events, fingerprint]))
  await session.query(
    `INSERT INTO counted_hours (type, hour, events, fingerprint) VALUES ${rows} ON DUPLICATE KEY UPDATE ` +
      `events = events + VALUES(events), fingerprint = (fingerprint + VALUES(fingerprint)) % ${FINGERPRINTS}`,
  )
}

export async function readHours(db: Kysely<StatisticsDatabase>, { from, to }: HourRange): Promise<HoursPart> {
  const rows = await db
    .selectFrom('counted_hours')
    .selectAll()
    .where('hour', '>=', from)
    .where('hour', '<', to)
    .where('events', '>', 0)
    .orderBy('hour')
    .orderBy('type')
    .execute()
  return rows.map((row) => ({ ...row, type: row.type as EventType }))
}
