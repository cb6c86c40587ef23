import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import type { MarkColumns } from '../../../log/position.ts'
import type { Tombstone } from '../../../log/tombstone.ts'
import { type ColumnValue, columnType, type Dialect, uuidFromBytes, uuidToBytes } from '../../../store/columns.ts'
import { addMarks } from '../../../store/mark-columns.ts'
import { ANOMALY_TYPES, type Anomaly, type AnomalyType } from '../anomaly.ts'
import type { FoundAnomaly } from '../detector.ts'
import type { AnomalyQuery } from './anomaly-store.ts'

/** The tables of the anomalies, and what SQLite and MySQL do with them alike. */

export type AnomalyRow = {
  anomaly_id: Uint8Array
  anomaly_type: string
  trace_id: Uint8Array
  user_id: Uint8Array
  description: string
  value: number
  threshold: number
  timestamp: number
  date_created: number
  /** Where the record is that showed it. */
  log_topic: string
  log_partition: number
  log_offset: number
}

export type AnomalyDatabase = {
  anomalies: AnomalyRow
  /** `last_found`: the offset of the last record that showed something; -1 where none has. */
  anomaly_cursors: { topic: string; partition_id: number; next: number; last_found: number } & MarkColumns
  anomaly_counts: { topic: string; partition_id: number; anomaly_type: string; found: number }
  anomaly_users: { topic: string; user_id: Uint8Array; state: Uint8Array }
  anomaly_forgotten: { user_id: Uint8Array; forgotten_at: number }
  /** Below which offset everything of the user is forgotten. */
  anomaly_forgotten_positions: { user_id: Uint8Array; topic: string; partition_id: number; next: number }
  webhooks: { webhook: string; owner: string; leased_until: number; parked_since: number | null }
  webhook_cursors: { webhook: string; topic: string; partition_id: number; next: number }
}

/** In the order of `toRow`. */
export const ANOMALY_COLUMNS = [
  'anomaly_id',
  'anomaly_type',
  'trace_id',
  'user_id',
  'description',
  'value',
  'threshold',
  'timestamp',
  'date_created',
  'log_topic',
  'log_partition',
  'log_offset',
] as const satisfies (keyof AnomalyRow)[]

export function toRow({ topic, partition }: { topic: string; partition: number }, found: FoundAnomaly): ColumnValue[] {
  const { anomaly, offset } = found
  return [
    uuidToBytes(anomaly.anomaly_id),
    anomaly.anomaly_type,
    uuidToBytes(anomaly.trace_id),
    uuidToBytes(anomaly.user_id),
    anomaly.description,
    anomaly.value,
    anomaly.threshold,
    anomaly.timestamp,
    anomaly.date_created,
    topic,
    partition,
    offset,
  ]
}

export function fromRow(row: AnomalyRow): Anomaly {
  return {
    anomaly_id: uuidFromBytes(row.anomaly_id),
    anomaly_type: row.anomaly_type as AnomalyType,
    trace_id: uuidFromBytes(row.trace_id),
    user_id: uuidFromBytes(row.user_id),
    description: row.description,
    value: finite(row.value),
    threshold: finite(row.threshold),
    timestamp: row.timestamp,
    date_created: row.date_created,
  }
}

/** Earlier versions could write a pace into SQLite that is infinite, which JSON does not hold. */
function finite(value: number): number {
  return Math.min(value, Number.MAX_VALUE)
}

/**
 * As SQL of both databases: which anomalies of its user a tombstone is about. The topics of positions are plain names:
 * nothing of them needs quoting.
 */
export function isForgotten({ forgotten_at, positions }: Omit<Tombstone, 'request_id'>): string {
  if (positions === undefined) return `date_created <= ${forgotten_at}`
  const places = positions.map(({ topic, partition, next }) => {
    return `(log_topic = '${topic}' AND log_partition = ${partition} AND log_offset < ${next})`
  })
  return places.length === 0 ? '1 = 0' : `(${places.join(' OR ')})`
}

/** How many there are of each type among them. */
export function countTypes(anomalies: readonly Anomaly[]): Map<AnomalyType, number> {
  const counts = new Map<AnomalyType, number>()
  for (const { anomaly_type: type } of anomalies) counts.set(type, (counts.get(type) ?? 0) + 1)
  return counts
}

/** What `clear` empties: all but the webhooks themselves. */
export const ANOMALY_TABLES = [
  'anomalies',
  'anomaly_cursors',
  'anomaly_counts',
  'anomaly_users',
  'anomaly_forgotten',
  'anomaly_forgotten_positions',
  'webhook_cursors',
] as const

export async function readCounts(db: Kysely<AnomalyDatabase>): Promise<Record<AnomalyType, number>> {
  const rows = await db
    .selectFrom('anomaly_counts')
    .select((of) => ['anomaly_type', of.fn.sum('found').as('found')])
    .groupBy('anomaly_type')
    .execute()
  const counts = new Map(rows.map(({ anomaly_type, found }) => [anomaly_type, Number(found)]))
  return Object.fromEntries(ANOMALY_TYPES.map((type) => [type, counts.get(type) ?? 0])) as Record<AnomalyType, number>
}

export async function readAnomaly(db: Kysely<AnomalyDatabase>, anomalyId: string): Promise<Anomaly | undefined> {
  const row = await db
    .selectFrom('anomalies')
    .selectAll()
    .where('anomaly_id', '=', uuidToBytes(anomalyId))
    .executeTakeFirst()
  return row && fromRow(row)
}

export async function readPage(db: Kysely<AnomalyDatabase>, query: AnomalyQuery): Promise<Anomaly[]> {
  const { by, anomaly_type, user_id, from, to, after, limit } = query
  let select = db.selectFrom('anomalies').selectAll().orderBy(by, 'desc').orderBy('anomaly_id', 'desc').limit(limit)
  if (anomaly_type !== undefined) select = select.where('anomaly_type', '=', anomaly_type)
  if (user_id !== undefined) select = select.where('user_id', '=', uuidToBytes(user_id))
  if (from !== undefined) select = select.where(by, '>=', from)
  if (to !== undefined) select = select.where(by, '<', to)
  if (after !== undefined) {
    const { time } = after
    const id = uuidToBytes(after.anomaly_id)
    // Written so that both databases walk the index from `time` on; (a, b) < (x, y) would not do that in MySQL.
    select = select
      .where(by, '<=', time)
      .where((where) => where.or([where(by, '<', time), where('anomaly_id', '<', id)]))
  }
  return (await select.execute()).map(fromRow)
}

/** The detector's tables, oldest migration first. A migration that has been released is never edited: add another. */
export function anomalyMigrations(dialect: Dialect): Record<string, Migration> {
  return {
    '001_anomalies': { up: (db) => createAnomalies(db, dialect) },
    '002_webhooks': { up: (db) => createWebhooks(db, dialect) },
    '003_forgotten': { up: (db) => createForgotten(db, dialect) },
    '004_log_marks': { up: (db) => addMarks(db, 'anomaly_cursors', dialect) },
    '005_forgotten_positions': { up: (db) => createForgottenPositions(db, dialect) },
  }
}

/** One for each order in which pages are read, with and without a type or a user; and for what follows the log. */
const INDEXES: Record<string, readonly string[]> = {
  anomalies_created: ['date_created', 'anomaly_id'],
  anomalies_time: ['timestamp', 'anomaly_id'],
  anomalies_type_created: ['anomaly_type', 'date_created', 'anomaly_id'],
  anomalies_type_time: ['anomaly_type', 'timestamp', 'anomaly_id'],
  anomalies_user_created: ['user_id', 'date_created', 'anomaly_id'],
  anomalies_user_time: ['user_id', 'timestamp', 'anomaly_id'],
  anomalies_position: ['log_topic', 'log_partition', 'log_offset'],
}

async function createAnomalies(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  const type = (kind: 'uuid' | 'number' | 'instant') => sql.raw(columnType(dialect, kind))
  const text = (size: number) => sql.raw(columnType(dialect, 'text', size))
  const name = (size: number) => sql.raw(sqlite ? 'text' : `varchar(${size}) character set ascii collate ascii_bin`)
  const integer = sqlite ? 'integer' : 'bigint'
  const clustered = sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`
  // The states are too large to lie within an index.
  const ending = sqlite ? sql`strict` : sql`engine = InnoDB`
  let anomalies = db.schema
    .createTable('anomalies')
    .ifNotExists()
    .addColumn('anomaly_id', type('uuid'), (column) => column.notNull())
    .addColumn('anomaly_type', name(32), (column) => column.notNull())
    .addColumn('trace_id', type('uuid'), (column) => column.notNull())
    .addColumn('user_id', type('uuid'), (column) => column.notNull())
    .addColumn('description', text(1000), (column) => column.notNull())
    .addColumn('value', type('number'), (column) => column.notNull())
    .addColumn('threshold', type('number'), (column) => column.notNull())
    .addColumn('timestamp', type('instant'), (column) => column.notNull())
    .addColumn('date_created', type('instant'), (column) => column.notNull())
    .addColumn('log_topic', name(249), (column) => column.notNull())
    .addColumn('log_partition', 'integer', (column) => column.notNull())
    .addColumn('log_offset', integer, (column) => column.notNull())
    .addPrimaryKeyConstraint('anomalies_key', ['anomaly_id'])
  // MySQL has no `create index if not exists`, but makes a table with its indexes whole or not at all.
  for (const [index, columns] of Object.entries(sqlite ? {} : INDEXES)) {
    anomalies = anomalies.addIndex(index, [...columns] as never)
  }
  await anomalies.modifyEnd(ending).execute()
  for (const [index, columns] of Object.entries(sqlite ? INDEXES : {})) {
    await db.schema
      .createIndex(index)
      .on('anomalies')
      .columns([...columns])
      .execute()
  }
  await db.schema
    .createTable('anomaly_cursors')
    .ifNotExists()
    .addColumn('topic', name(249), (column) => column.notNull())
    .addColumn('partition_id', 'integer', (column) => column.notNull())
    .addColumn('next', integer, (column) => column.notNull())
    .addColumn('last_found', integer, (column) => column.notNull())
    .addPrimaryKeyConstraint('anomaly_cursors_key', ['topic', 'partition_id'])
    .modifyEnd(clustered)
    .execute()
  await db.schema
    .createTable('anomaly_counts')
    .ifNotExists()
    .addColumn('topic', name(249), (column) => column.notNull())
    .addColumn('partition_id', 'integer', (column) => column.notNull())
    .addColumn('anomaly_type', name(32), (column) => column.notNull())
    .addColumn('found', integer, (column) => column.notNull())
    .addPrimaryKeyConstraint('anomaly_counts_key', ['topic', 'partition_id', 'anomaly_type'])
    .modifyEnd(clustered)
    .execute()
  await db.schema
    .createTable('anomaly_users')
    .ifNotExists()
    .addColumn('topic', name(249), (column) => column.notNull())
    .addColumn('user_id', type('uuid'), (column) => column.notNull())
    .addColumn('state', sqlite ? 'blob' : sql`mediumblob`, (column) => column.notNull())
    .addPrimaryKeyConstraint('anomaly_users_key', ['topic', 'user_id'])
    .modifyEnd(ending)
    .execute()
}

async function createWebhooks(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  const name = (size: number) => sql.raw(sqlite ? 'text' : `varchar(${size}) character set ascii collate ascii_bin`)
  const integer = sqlite ? 'integer' : 'bigint'
  const ending = sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`
  await db.schema
    .createTable('webhooks')
    .ifNotExists()
    .addColumn('webhook', name(64), (column) => column.notNull())
    .addColumn('owner', name(36), (column) => column.notNull())
    .addColumn('leased_until', integer, (column) => column.notNull())
    .addColumn('parked_since', integer)
    .addPrimaryKeyConstraint('webhooks_key', ['webhook'])
    .modifyEnd(ending)
    .execute()
  await db.schema
    .createTable('webhook_cursors')
    .ifNotExists()
    .addColumn('webhook', name(64), (column) => column.notNull())
    .addColumn('topic', name(249), (column) => column.notNull())
    .addColumn('partition_id', 'integer', (column) => column.notNull())
    .addColumn('next', integer, (column) => column.notNull())
    .addPrimaryKeyConstraint('webhook_cursors_key', ['webhook', 'topic', 'partition_id'])
    .modifyEnd(ending)
    .execute()
}

async function createForgotten(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  await db.schema
    .createTable('anomaly_forgotten')
    .ifNotExists()
    .addColumn('user_id', sql.raw(columnType(dialect, 'uuid')), (column) => column.notNull())
    .addColumn('forgotten_at', sql.raw(columnType(dialect, 'instant')), (column) => column.notNull())
    .addPrimaryKeyConstraint('anomaly_forgotten_key', ['user_id'])
    .modifyEnd(sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`)
    .execute()
}

async function createForgottenPositions(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  const name = sqlite ? 'text' : 'varchar(249) character set ascii collate ascii_bin'
  await db.schema
    .createTable('anomaly_forgotten_positions')
    .ifNotExists()
    .addColumn('user_id', sql.raw(columnType(dialect, 'uuid')), (column) => column.notNull())
    .addColumn('topic', sql.raw(name), (column) => column.notNull())
    .addColumn('partition_id', 'integer', (column) => column.notNull())
    .addColumn('next', sqlite ? 'integer' : 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('anomaly_forgotten_positions_key', ['user_id', 'topic', 'partition_id'])
    .modifyEnd(sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`)
    .execute()
}
