import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import { EVENT_TYPES, fieldsOf, isOptional } from '../../events/catalogue.ts'
import { columnType, type Dialect } from '../columns.ts'

/** Storage's tables, oldest migration first. A migration that has been released is never edited: add another. */
export function eventMigrations(dialect: Dialect): Record<string, Migration> {
  return {
    '001_events': { up: (db) => createEvents(db, dialect) },
  }
}

async function createEvents(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const integer = dialect === 'sqlite' ? 'integer' : 'bigint'
  const ending = dialect === 'sqlite' ? sql`strict, without rowid` : sql`engine = InnoDB default charset = utf8mb4`
  await db.schema
    .createTable('stored_cursors')
    .addColumn('topic', sql.raw(dialect === 'sqlite' ? 'text' : 'varchar(249)'), (column) => column.notNull())
    .addColumn('partition_id', 'integer', (column) => column.notNull())
    .addColumn('next', integer, (column) => column.notNull())
    .addColumn('stored', integer, (column) => column.notNull())
    .addPrimaryKeyConstraint('stored_cursors_key', ['topic', 'partition_id'])
    .modifyEnd(ending)
    .execute()
  for (const type of EVENT_TYPES) {
    let table = db.schema
      .createTable(type)
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
    await table.addPrimaryKeyConstraint(`${type}_position`, ['log_partition', 'log_offset']).modifyEnd(ending).execute()
    await db.schema.createIndex(`${type}_trace`).unique().on(type).column('trace_id').execute()
    await db.schema.createIndex(`${type}_time`).on(type).columns(['timestamp', 'trace_id']).execute()
    await db.schema.createIndex(`${type}_created`).on(type).columns(['date_created', 'trace_id']).execute()
    await db.schema.createIndex(`${type}_user`).on(type).columns(['user_id', 'timestamp', 'trace_id']).execute()
  }
}
