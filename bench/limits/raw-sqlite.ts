import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { columnsOf } from '../../src/store/columns.ts'
import { openSqlite } from '../../src/store/sqlite/database.ts'
import {
  newRow,
  type PageEnd,
  type RawDatabase,
  rateOfChanges,
  SELECT_PARTITIONS,
  selectChanges,
  selectPage,
} from './raw-database.ts'

const TABLE = 'running_stats'
const COLUMNS = columnsOf(TABLE)
/** As Storage writes. */
const BATCH = 1000
const CACHE_MIB = 12

/** The store's file, as `node:sqlite` reads it; what is written goes to a file beside it. */
export function openRawSqlite(dir: string): RawDatabase {
  const store = join(dir, 'store.db')
  const database = openSqlite(store, { cacheMib: CACHE_MIB })
  const [first, behind] = [database.prepare(selectPage(COLUMNS, false)), database.prepare(selectPage(COLUMNS, true))]
  const changes = database.prepare(selectChanges(COLUMNS))
  const partitions = () =>
    (database.prepare(SELECT_PARTITIONS).all() as { log_partition: number }[]).map(({ log_partition }) => log_partition)
  const scratch = openScratch(join(dir, 'bench.db'), store)
  let offset = 0
  return {
    copyRate: async () => {
      scratch.exec(`DELETE FROM ${TABLE}`)
      const copy = scratch.prepare(
        `INSERT INTO ${TABLE} SELECT * FROM stored.${TABLE} WHERE log_partition = ? AND log_offset BETWEEN ? AND ?`,
      )
      const end = database.prepare(`SELECT max(log_offset) AS last FROM ${TABLE} WHERE log_partition = ?`)
      const started = performance.now()
      let rows = 0
      for (const partition of partitions()) {
        const { last } = end.get(partition) as { last: number }
        for (let at = 0; at <= last; at += BATCH) rows += Number(copy.run(partition, at, at + BATCH - 1).changes)
      }
      return (rows / (performance.now() - started)) * 1000
    },
    page: async ({ time, after }, limit) => {
      const found = after === undefined ? first.all(time, limit) : behind.all(time, time, after.trace_id, limit)
      return { rows: found.length, end: found.at(-1) as PageEnd | undefined }
    },
    changesRate: (limit) => {
      const read = (partition: number, from: number) => changes.all(partition, from, limit) as { log_offset: number }[]
      return rateOfChanges(partitions(), read, limit)
    },
    writeAndFind: async () => {
      const row = newRow(offset++)
      scratch.prepare(`INSERT INTO ${TABLE} VALUES (${row.map(() => '?').join()})`).run(...row)
      scratch.prepare(`SELECT * FROM ${TABLE} WHERE trace_id = ?`).get(row[2] as Uint8Array)
    },
    [Symbol.asyncDispose]: async () => {
      scratch.close()
      database.close()
      for (const ending of ['', '-wal', '-shm']) rmSync(join(dir, `bench.db${ending}`), { force: true })
    },
  }
}

/** An empty table like the store's, with its indexes, in a file of its own; the store is there too, as `stored`. */
function openScratch(file: string, store: string): DatabaseSync {
  const scratch = openSqlite(file, { cacheMib: CACHE_MIB })
  scratch.exec(`ATTACH '${store.replaceAll("'", "''")}' AS stored`)
  const made = scratch.prepare('SELECT sql FROM stored.sqlite_schema WHERE tbl_name = ? AND sql IS NOT NULL').all(TABLE)
  for (const { sql } of made as { sql: string }[]) scratch.exec(sql)
  return scratch
}
