import { type Kysely, sql } from 'kysely'
import type { Dialect } from './columns.ts'

/** The name of a log has fewer characters in every adapter. */
const LOG_ID_CHARACTERS_MAX = 128

/** Migrates a table of cursors: beside each, the mark of the log that it is of, as `MarkColumns` has it. */
export async function addMarks(db: Kysely<unknown>, table: string, dialect: Dialect): Promise<void> {
  const text = dialect === 'sqlite' ? 'text' : `varchar(${LOG_ID_CHARACTERS_MAX}) character set ascii collate ascii_bin`
  const columns = { log_id: text, append_time: dialect === 'sqlite' ? 'integer' : 'bigint' }
  await addColumns(db, table, columns, dialect)
}

/** Each by its name with its type in SQL. */
export async function addColumns(
  db: Kysely<unknown>,
  table: string,
  columns: Record<string, string>,
  dialect: Dialect,
): Promise<void> {
  // MySQL cannot undo DDL: of a migration that was killed some columns may be there.
  for (const [name, type] of Object.entries(columns)) {
    if (dialect === 'mysql' && (await hasColumn(db, { table, name }))) continue
    await db.schema.alterTable(table).addColumn(name, sql.raw(type)).execute()
  }
}

async function hasColumn(db: Kysely<unknown>, { table, name }: { table: string; name: string }): Promise<boolean> {
  const { rows } = await sql`
    select 1 from information_schema.columns
    where table_schema = database() and table_name = ${table} and column_name = ${name}
  `.execute(db)
  return rows.length > 0
}
