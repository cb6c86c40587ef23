import { type CreateTableBuilder, type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import { EVENT_TYPES, type EventType, fieldsOf, isOptional } from '../../events/catalogue.ts'
import { columnType, type Dialect } from '../columns.ts'
import { ERASED_TYPES } from '../event-store.ts'
import { addMarks } from '../mark-columns.ts'

/** Storage's tables, oldest migration first. A migration that has been released is never edited: add another. */
export function eventMigrations(dialect: Dialect): Record<string, Migration> {
  return {
    '001_events': { up: (db) => createEvents(db, dialect) },
    '002_user_created': { up: (db) => indexUserCreated(db, dialect) },
    '003_forgotten_users': { up: (db) => createForgottenUsers(db, dialect) },
    '004_canaries': { up: (db) => createCanaries(db, dialect) },
    '005_log_marks': { up: (db) => addMarks(db, 'stored_cursors', dialect) },
    '006_forgotten_positions': { up: (db) => createForgottenPositions(db, dialect) },
  }
}

async function createEvents(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  const integer = sqlite ? 'integer' : 'bigint'
  const ending = sqlite ? sql`strict, without rowid` : sql`engine = InnoDB default charset = utf8mb4`
  await db.schema
    .createTable('stored_cursors')
    .ifNotExists()
    .addColumn('topic', sql.raw(sqlite ? 'text' : 'varchar(249)'), (column) => column.notNull())
    .addColumn('partition_id', 'integer', (column) => column.notNull())
    .addColumn('next', integer, (column) => column.notNull())
    .addColumn('stored', integer, (column) => column.notNull())
    .addPrimaryKeyConstraint('stored_cursors_key', ['topic', 'partition_id'])
    .modifyEnd(ending)
    .execute()
  for (const type of EVENT_TYPES) {
    let table: CreateTableBuilder<EventType, string> = db.schema
      .createTable(type)
      .ifNotExists()
      // Clustered by position: a batch is written at one place, and the change feed reads it from there.
      .addColumn('log_partition', 'integer', (column) => column.notNull())
      .addColumn('log_offset', integer, (column) => column.notNull())
      .addColumn('trace_id', sql.raw(columnType(dialect, 'uuid')), (column) => column.notNull())
      .addColumn('date_created', sql.raw(columnType(dialect, 'instant')), (column) => column.notNull())
    for (const [name, field] of fieldsOf(type)) {
      const size = field.kind === 'text' ? field.charactersMax : 0
      table = table.addColumn(name, sql.raw(columnType(dialect, field.kind, size)), (column) =>
        isOptional(field) ? column : column.notNull(),
      )
    }
    table = table.addPrimaryKeyConstraint(`${type}_position`, ['log_partition', 'log_offset'])
    // MySQL has no `create index if not exists`, but makes a table with its indexes whole or not at all.
    if (!sqlite) {
      for (const { name, columns, unique } of indexesOf(type)) {
        table = unique ? table.addUniqueConstraint(name, columns) : table.addIndex(name, columns)
      }
    }
    await table.modifyEnd(ending).execute()
    if (!sqlite) continue
    for (const { name, columns, unique } of indexesOf(type)) {
      const index = db.schema.createIndex(name).on(type).columns(columns)
      await (unique ? index.unique() : index).execute()
    }
  }
}

/** For pages of a user by when the events were received: they would be sorted, or sought among everybody's. */
async function indexUserCreated(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  for (const type of ERASED_TYPES) {
    const name = `${type}_user_created`
    if (dialect === 'mysql' && (await hasIndex(db, { table: type, name }))) continue
    await db.schema.createIndex(name).on(type).columns(['user_id', 'date_created', 'trace_id']).execute()
  }
}

/** The tombstones that were carried out or are about to be, by their position in the log, as the change feed gives them. */
async function createForgottenUsers(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  const integer = sqlite ? 'integer' : 'bigint'
  const uuid = sql.raw(columnType(dialect, 'uuid'))
  let table: CreateTableBuilder<'forgotten_users', string> = db.schema
    .createTable('forgotten_users')
    .ifNotExists()
    .addColumn('log_partition', 'integer', (column) => column.notNull())
    .addColumn('log_offset', integer, (column) => column.notNull())
    .addColumn('request_id', uuid, (column) => column.notNull())
    .addColumn('user_id', uuid, (column) => column.notNull())
    .addColumn('forgotten_at', sql.raw(columnType(dialect, 'instant')), (column) => column.notNull())
  // How many events of each type were erased.
  for (const type of ERASED_TYPES) table = table.addColumn(type, integer, (column) => column.notNull())
  table = table.addPrimaryKeyConstraint('forgotten_users_position', ['log_partition', 'log_offset'])
  if (!sqlite) {
    table = table
      .addIndex('forgotten_users_request', ['request_id'])
      .addIndex('forgotten_users_user', ['user_id', 'forgotten_at'])
  }
  await table.modifyEnd(sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`).execute()
  // What was erased: where it was, and all that those need to know who have counted it. Nothing of it tells of whom it was.
  await db.schema
    .createTable('erased_events')
    .ifNotExists()
    .addColumn('request_id', uuid, (column) => column.notNull())
    .addColumn('type', sql.raw(sqlite ? 'text' : 'varchar(64)'), (column) => column.notNull())
    .addColumn('log_partition', 'integer', (column) => column.notNull())
    .addColumn('log_offset', integer, (column) => column.notNull())
    .addColumn('hour', 'integer', (column) => column.notNull())
    .addColumn('fingerprint', integer, (column) => column.notNull())
    .addPrimaryKeyConstraint('erased_events_key', ['request_id', 'type', 'log_partition', 'log_offset'])
    .modifyEnd(sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`)
    .execute()
  if (sqlite) {
    await db.schema.createIndex('forgotten_users_request').on('forgotten_users').column('request_id').execute()
    const user = db.schema.createIndex('forgotten_users_user').on('forgotten_users')
    await user.columns(['user_id', 'forgotten_at']).execute()
    return
  }
  // Who writes events holds its one row shared; who adds a tombstone has it alone (`mysql/forgetting.ts`).
  await sql`
    create table if not exists forgetting_gate (id integer primary key, tombstones bigint not null) engine = InnoDB
  `.execute(db)
  await sql`insert ignore into forgetting_gate values (1, 0)`.execute(db)
}

/** The health check's own events, which are no user's. */
async function createCanaries(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  await db.schema
    .createTable('canaries')
    .ifNotExists()
    .addColumn('log_partition', 'integer', (column) => column.notNull())
    .addColumn('log_offset', sqlite ? 'integer' : 'bigint', (column) => column.notNull())
    .addColumn('trace_id', sql.raw(columnType(dialect, 'uuid')), (column) => column.notNull())
    .addColumn('date_created', sql.raw(columnType(dialect, 'instant')), (column) => column.notNull())
    .addPrimaryKeyConstraint('canaries_position', ['log_partition', 'log_offset'])
    .addUniqueConstraint('canaries_trace', ['trace_id'])
    .modifyEnd(sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`)
    .execute()
}

/** Tombstones of before go by when events were received. Those that have positions go by these. */
async function createForgottenPositions(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  if (sqlite || !(await hasColumn(db, { table: 'forgotten_users', name: 'by_time' }))) {
    await db.schema
      .alterTable('forgotten_users')
      .addColumn('by_time', 'integer', (column) => column.notNull().defaultTo(1))
      .execute()
  }
  await db.schema
    .createTable('forgotten_positions')
    .ifNotExists()
    .addColumn('user_id', sql.raw(columnType(dialect, 'uuid')), (column) => column.notNull())
    .addColumn('topic', sql.raw(sqlite ? 'text' : 'varchar(249)'), (column) => column.notNull())
    .addColumn('partition_id', 'integer', (column) => column.notNull())
    .addColumn('next', sqlite ? 'integer' : 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('forgotten_positions_key', ['user_id', 'topic', 'partition_id'])
    .modifyEnd(sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`)
    .execute()
}

/** Likewise, of a column that is added. */
async function hasColumn(db: Kysely<unknown>, { table, name }: { table: string; name: string }): Promise<boolean> {
  const { rows } = await sql`
    select 1 from information_schema.columns
    where table_schema = database() and table_name = ${table} and column_name = ${name} limit 1
  `.execute(db)
  return rows.length > 0
}

/** MySQL cannot undo DDL: what a migration that was killed has made is there when it begins again. */
async function hasIndex(db: Kysely<unknown>, { table, name }: { table: string; name: string }): Promise<boolean> {
  const { rows } = await sql`
    select 1 from information_schema.statistics
    where table_schema = database() and table_name = ${table} and index_name = ${name} limit 1
  `.execute(db)
  return rows.length > 0
}

/** One index for each order in which pages are read; 002 adds another. */
function indexesOf(type: EventType): { name: string; columns: string[]; unique: boolean }[] {
  return [
    { name: `${type}_trace`, columns: ['trace_id'], unique: true },
    { name: `${type}_time`, columns: ['timestamp', 'trace_id'], unique: false },
    { name: `${type}_created`, columns: ['date_created', 'trace_id'], unique: false },
    { name: `${type}_user`, columns: ['user_id', 'timestamp', 'trace_id'], unique: false },
  ]
}
