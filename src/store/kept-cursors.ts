import { type QueryExecutorProvider, sql } from 'kysely'
import { type KeptCursor, type MarkColumns, markColumns, readMark } from '../log/position.ts'

/** The tables in which cursors are kept, each with the mark of the log that it is of. */
type CursorTable = 'stored_cursors' | 'counted_cursors' | 'anomaly_cursors'
type CursorRow = { topic: string; partition_id: number; next: number } & MarkColumns

export async function readKeptCursors(db: QueryExecutorProvider, table: CursorTable): Promise<KeptCursor[]> {
  const { rows } = await sql<CursorRow>`
    select topic, partition_id, next, log_id, append_time from ${sql.table(table)}
  `.execute(db)
  return rows.map((row) => ({
    topic: row.topic,
    partition: row.partition_id,
    next: Number(row.next),
    ...readMark(row),
  }))
}

/** Gives a cursor that a version kept without a mark the one that it is given; one that has a mark, or has moved, stays. */
export async function adoptCursor(
  db: QueryExecutorProvider,
  table: CursorTable,
  { topic, partition, next, mark }: KeptCursor,
): Promise<void> {
  const { log_id, append_time } = markColumns(mark)
  await sql`
    update ${sql.table(table)} set log_id = ${log_id}, append_time = ${append_time}
    where topic = ${topic} and partition_id = ${partition} and next = ${next} and log_id is null
  `.execute(db)
}
