import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { spawnRunify, temporaryFolder } from '../../test-support/harness.ts'
import { madeBy, takesOver, unpack } from './answers.ts'

/** The data of earlier versions, made by `make-folder.ts` with their own code, opened by this one. */

const VERSION = '4bc5bc8'

test(`a folder of ${VERSION} gives the same answers without a rebuild, takes more, and keeps its log's identity`, async () => {
  await using folder = await temporaryFolder()
  await unpack(madeBy(VERSION, 'data.tar.gz'), folder.path)
  await takesOver({ dir: folder.path }, madeBy(VERSION, 'answers.json'))
  const logId = read(folder.path, 'log.db', 'SELECT log_id FROM log_identity')
  assert.equal(logId.length, 1)
  for (const [file, table] of [
    ['store.db', 'stored_cursors'],
    ['statistics.db', 'counted_cursors'],
    ['anomalies.db', 'anomaly_cursors'],
  ] as const) {
    const kept = read(folder.path, file, `SELECT DISTINCT log_id FROM ${table} WHERE next > 0`)
    assert.deepEqual(kept, logId, `${file} adopts the log's identity, also where nothing new came`)
  }
})

test(`a folder of ${VERSION} is brought to the very schema that a new one has`, async () => {
  await using before = await temporaryFolder()
  await using fresh = await temporaryFolder()
  await unpack(madeBy(VERSION, 'data.tar.gz'), before.path)
  for (const dir of [before.path, fresh.path]) {
    await using runify = await spawnRunify({ dir })
    await runify.kill('SIGTERM')
  }
  for (const file of ['store.db', 'statistics.db', 'anomalies.db']) {
    assert.deepEqual(schemaOf(before.path, file), schemaOf(fresh.path, file), file)
  }
})

/** The statements that made it, word for word, in the order of their names. */
function schemaOf(dir: string, file: string): unknown[] {
  using database = new DatabaseSync(join(dir, file), { readOnly: true })
  return database.prepare('SELECT name, sql FROM sqlite_master ORDER BY name').all()
}

function read(dir: string, file: string, sql: string): string[] {
  using database = new DatabaseSync(join(dir, file), { readOnly: true })
  return database
    .prepare(sql)
    .all()
    .map(({ log_id }) => String(log_id))
}
