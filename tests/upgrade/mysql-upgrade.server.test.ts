import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { createConnection } from 'mysql2/promise'
import { type MysqlPlace, openMysqlPlace, SKIP_WITHOUT_MYSQL } from '../../src/store/testing/mysql.fixture.ts'
import { temporaryFolder } from '../../test-support/harness.ts'
import { madeBy, takesOver, unpack } from './answers.ts'

/** A MySQL database of an earlier version, dumped by `make-folder.ts`, with the embedded log that it was made from. */

const VERSION = '4bc5bc8'

test(`a MySQL database of ${VERSION} gives the same answers without a rebuild, takes more, and keeps the log's identity`, {
  skip: SKIP_WITHOUT_MYSQL,
}, async () => {
  await using folder = await temporaryFolder()
  await using place = await openMysqlPlace()
  await unpack(madeBy(VERSION, 'mysql-log.tar.gz'), folder.path)
  await load(place, gunzipSync(await readFile(madeBy(VERSION, 'mysql.sql.gz'))).toString())
  for (const table of CURSORS) await assert.rejects(place.admin(`SELECT log_id FROM ${table}`), /Unknown column/)

  const { user, password, host, port, database } = place.options
  const RUNIFY_STORE = `mysql://${user}:${password}@${host}:${port}/${database}`
  await takesOver({ dir: folder.path, RUNIFY_STORE }, madeBy(VERSION, 'mysql-answers.json'))

  using log = new DatabaseSync(join(folder.path, 'log.db'), { readOnly: true })
  const { log_id } = log.prepare('SELECT log_id FROM log_identity').get() as { log_id: string }
  for (const table of CURSORS) {
    const kept = await place.admin<{ log_id: string }>(`SELECT DISTINCT log_id FROM ${table} WHERE next > 0`)
    const ids = kept.map((row) => row.log_id)
    assert.deepEqual(ids, [log_id], `${table} adopts the log's identity, also where nothing new came`)
  }
})

/** Of the store, the statistics and the anomalies. */
const CURSORS = ['stored_cursors', 'counted_cursors', 'anomaly_cursors']

async function load({ options }: MysqlPlace, sql: string): Promise<void> {
  const { user, password, host, port, database } = options
  const connection = await createConnection({ user, password, host, port, database, multipleStatements: true })
  try {
    await connection.query(sql)
  } finally {
    await connection.end()
  }
}
