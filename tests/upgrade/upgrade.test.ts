import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { makeMany } from '../events.ts'
import { getJson, post, spawnRunify, temporaryFolder } from '../harness.ts'
import { allHandled, answersOf } from './answers.ts'

/** The data of earlier versions, made by `make-folder.ts` with their own code, opened by this one. */

const VERSION = '4bc5bc8'
const at = (name: string) => new URL(`./${VERSION}-${name}`, import.meta.url).pathname

test(`a folder of ${VERSION} gives the same answers without a rebuild, takes more, and keeps its log's identity`, async () => {
  await using folder = await temporaryFolder()
  await promisify(execFile)('tar', ['-xzf', at('data.tar.gz'), '-C', folder.path])
  const before = JSON.parse(await readFile(at('answers.json'), 'utf8')) as Awaited<ReturnType<typeof answersOf>>
  {
    await using runify = await spawnRunify({ dir: folder.path })
    const { addresses } = runify
    await allHandled(addresses)
    assert.deepEqual(await answersOf(addresses), before)
    for (const service of ['storage', 'processing', 'anomaly-detector'] as const) {
      assert.equal((await fetch(`${addresses[service]}/health/ready`)).status, 200, service)
    }

    const { events } = makeMany('running', 15)
    assert.equal((await post(`${addresses.receiver}/stats/running`, events)).status, 201)
    await allHandled(addresses)
    const stored = await getJson(`${addresses.storage}/stats`)
    assert.deepEqual(stored, { num_running_stats: 45, num_music_info: 20 })
    assert.equal((await getJson(`${addresses.processing}/stats`)).num_running_stats, 45)
    await runify.kill('SIGTERM')
  }
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

function read(dir: string, file: string, sql: string): string[] {
  using database = new DatabaseSync(join(dir, file), { readOnly: true })
  return database
    .prepare(sql)
    .all()
    .map(({ log_id }) => String(log_id))
}
