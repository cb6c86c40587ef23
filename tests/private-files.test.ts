import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { makeRun } from '../test-support/events.ts'
import { post, settled, spawnRunify, temporaryFolder } from '../test-support/harness.ts'

/** Who else may read what Runify keeps. */

const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8)

async function modesIn(dir: string): Promise<Record<string, string>> {
  const names = await readdir(dir)
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await modeOf(join(dir, name))])))
}

/** Starts Runify, has it write all its files, and stops it. */
async function useFolder(dir: string): Promise<Record<string, string>> {
  await using runify = await spawnRunify({ dir })
  assert.equal((await post(`${runify.addresses.receiver}/stats/running`, makeRun(1, { event_id: 'one' }))).status, 201)
  await settled(runify)
  return modesIn(dir)
}

describe('The data folder', () => {
  test('is its owner’s alone where Runify makes it, and so is each file in it', async () => {
    await using folder = await temporaryFolder()
    const dir = join(folder.path, 'data')
    const modes = await useFolder(dir)
    assert.equal(await modeOf(dir), '700')
    for (const name of ['log.db', 'log.db-wal', 'store.db', 'statistics.db', 'anomalies.db', 'lock.db']) {
      assert.equal(modes[name], '600', name)
    }
    assert.deepEqual(
      Object.entries(modes).filter(([, mode]) => mode !== '600'),
      [],
    )
  })

  test('has files of an older version that others could read, and they can no longer', async () => {
    await using folder = await temporaryFolder()
    const dir = join(folder.path, 'data')
    await mkdir(dir, { mode: 0o755 })
    for (const name of Object.keys(await useFolder(dir))) {
      await chmod(join(dir, name), 0o644).catch((error: NodeJS.ErrnoException) => assert.equal(error.code, 'ENOENT'))
    }
    const modes = await useFolder(dir)
    assert.deepEqual(
      Object.entries(modes).filter(([, mode]) => mode !== '600'),
      [],
    )
    assert.equal(await modeOf(dir), '755', 'a folder that was there is left to whoever made it')
  })
})
