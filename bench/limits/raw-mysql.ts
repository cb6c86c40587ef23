import { createPool, type Pool, type RowDataPacket } from 'mysql2/promise'
import { readMysqlAddress } from '../../src/addresses.ts'
import { columnsOf } from '../../src/store/columns.ts'
import type { MysqlServer } from '../../test-support/containers.ts'
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
const SCRATCH = 'bench_rows'

/** The store's tables, as `mysql2` reads them; what is written goes to a table like them. */
export async function openRawMysql(mysql: MysqlServer): Promise<RawDatabase> {
  const pool = openPool(mysql.address)
  const query = async (sql: string, values: unknown[] = []) => (await pool.query<RowDataPacket[]>(sql, values))[0]
  const empty = async () => {
    await query(`DROP TABLE IF EXISTS ${SCRATCH}`)
    await query(`CREATE TABLE ${SCRATCH} LIKE ${TABLE}`)
  }
  await empty()
  let offset = 0
  return {
    copyRate: async () => {
      await empty()
      return loadRate(mysql)
    },
    page: async ({ time, after }, limit) => {
      const values = after === undefined ? [time, limit] : [time, time, after.trace_id, limit]
      const found = await query(selectPage(COLUMNS, after !== undefined), values)
      return { rows: found.length, end: found.at(-1) as PageEnd | undefined }
    },
    changesRate: async (limit) => {
      const partitions = (await query(SELECT_PARTITIONS)).map((row) => row.log_partition as number)
      const sql = selectChanges(COLUMNS)
      const read = async (partition: number, from: number) =>
        (await query(sql, [partition, from, limit])) as { log_offset: number }[]
      return rateOfChanges(partitions, read, limit)
    },
    writeAndFind: async () => {
      const row = newRow(offset++)
      await query(`INSERT INTO ${SCRATCH} VALUES (?)`, [row])
      await query(`SELECT * FROM ${SCRATCH} WHERE trace_id = ?`, [row[2]])
    },
    [Symbol.asyncDispose]: async () => {
      await query(`DROP TABLE ${SCRATCH}`)
      await pool.end()
    },
  }
}

/** On the server itself: neither a client nor a network has a part in it. */
async function loadRate(mysql: MysqlServer): Promise<number> {
  const [{ folder }] = (await mysql.query('SELECT @@secure_file_priv AS folder')) as [{ folder: string }]
  const file = `${folder}bench-${process.pid}`
  await mysql.query(`SELECT * FROM runify.${TABLE} INTO OUTFILE '${file}' CHARACTER SET binary`)
  try {
    const started = performance.now()
    const loaded = await mysql.query(`LOAD DATA INFILE '${file}' INTO TABLE runify.${SCRATCH} CHARACTER SET binary`)
    return ((loaded as { affectedRows: number }).affectedRows / (performance.now() - started)) * 1000
  } finally {
    await mysql.container.exec('rm', file)
  }
}

function openPool(address: string): Pool {
  const { host, port, user, password, database, connectionsMax } = readMysqlAddress('RUNIFY_STORE', address)
  return createPool({ host, port, user, password, database, connectionLimit: connectionsMax })
}
