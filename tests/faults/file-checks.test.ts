import assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { runCli } from '../../src/cli/testing/run-cli.fixture.ts'
import { makeMany } from '../../test-support/events.ts'
import { getJson, getList, post, settled, spawnRunify, temporaryFolder, waitFor } from '../../test-support/harness.ts'

/** Bytes that change while nobody reads them, and who finds them. */

const RUNS = 3000

describe('The check of files', () => {
  test('finds pages that were overwritten while Runify runs: the service that has the file is not ready', async () => {
    await using folder = await temporaryFolder()
    await fill(folder.path)
    await using runify = await spawnRunify({ dir: folder.path, RUNIFY_CHECK_PERIOD_MS: '500' })
    const { storage, receiver } = runify.addresses
    const metric = async (name: string) =>
      (await (await fetch(`${storage}/metrics`)).text()).match(new RegExp(`^${name} (\\S+)$`, 'm'))?.[1]
    const damaged = 'runify_file_damaged\\{file="store.db",service="storage"\\}'
    await waitFor(async () => (await metric(damaged)) === '0')
    assert.equal((await fetch(`${storage}/health/ready`)).status, 200)
    overwriteSomeLeaf(join(folder.path, 'store.db'))
    const { detail } = await waitFor(async () => {
      const response = await fetch(`${storage}/health/ready`)
      return response.status === 503 && ((await response.json()) as { detail: string })
    })
    assert.match(detail, /store\.db is damaged \(.+\): .*npx runify check, then npx runify rebuild store/)
    await waitFor(async () => (await metric(damaged)) === '1')
    assert.equal((await post(`${receiver}/stats/running`, makeMany('running', 1).events)).status, 201)
    assert.deepEqual(await runify.kill('SIGTERM'), { code: 0, signal: null })

    const checked = await runCli(['check'], '', { RUNIFY_DATA_DIR: folder.path })
    assert.equal(checked.code, 1, checked.stderr)
    assert.match(checked.stdout, /^ok {9}\S+log\.db\ndamaged {4}\S+store\.db is damaged \(.+\): .+rebuild store\n/)
  })

  test('finds a value that was changed to another valid one, by the log; rebuild store brings it back', async () => {
    await using folder = await temporaryFolder()
    await fill(folder.path)
    const variables = { RUNIFY_DATA_DIR: folder.path }
    const whole = await runCli(['check'], '', variables)
    assert.deepEqual([whole.code, whole.stderr], [0, ''])
    assert.match(whole.stdout, new RegExp(`^ok {9}${RUNS} events compared with the log, 0 different$`, 'm'))
    {
      using store = new DatabaseSync(join(folder.path, 'store.db'))
      store.exec('UPDATE running_stats SET distance = distance + 1 WHERE log_offset = 17')
    }
    const changed = await runCli(['check'], '', variables)
    assert.equal(changed.code, 1, changed.stderr)
    assert.match(changed.stdout, new RegExp(`^changed {4}${RUNS} events compared with the log, 1 different$`, 'm'))
    assert.match(changed.stdout, /:0 offset 17, trace_id [0-9a-f-]{36}$/m)
    assert.equal((await runCli(['rebuild', 'store', '--quiet'], '', variables)).code, 0)
    assert.equal((await runCli(['check'], '', variables)).code, 0)
  })

  test('leaves the events uncompared while Runify runs, and says so', async () => {
    await using folder = await temporaryFolder()
    await using runify = await spawnRunify({ dir: folder.path })
    assert.equal((await post(`${runify.addresses.receiver}/stats/running`, makeMany('running', 5).events)).status, 201)
    const { code, stdout } = await runCli(['check'], '', { RUNIFY_DATA_DIR: folder.path })
    assert.equal(code, 0, stdout)
    assert.match(stdout, /^not done {3}events were not compared with the log: .*another process/m)
  })
})

async function fill(dir: string): Promise<void> {
  await using runify = await spawnRunify({ dir })
  assert.equal((await post(`${runify.addresses.receiver}/stats/running`, makeMany('running', RUNS).events)).status, 201)
  await settled(runify)
  assert.equal((await getList(`${runify.addresses.storage}/stats/running`)).length, 1000)
  assert.equal((await getJson(`${runify.addresses.storage}/stats`)).num_running_stats, RUNS)
  await runify.kill('SIGTERM')
}

/** The last page of a table's tree that is a leaf: nobody reads it when Runify starts. */
function overwriteSomeLeaf(path: string): void {
  const bytes = readFileSync(path)
  const size = bytes.readUInt16BE(16)
  const LEAF_OF_TABLE = 13
  const pages = Array.from({ length: bytes.length / size }, (_, page) => page).filter((page) => page > 0)
  const leaf = pages.findLast((page) => bytes[page * size] === LEAF_OF_TABLE)
  assert.ok(leaf !== undefined)
  const fd = openSync(path, 'r+')
  try {
    writeSync(fd, Buffer.alloc(size, 0xa5), 0, size, leaf * size)
  } finally {
    closeSync(fd)
  }
}
