import assert from 'node:assert/strict'
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { runCli } from '../src/cli/testing/run-cli.fixture.ts'
import { makeMany } from '../test-support/events.ts'
import { getJson, post, type Runify, settled, spawnRunify, temporaryFolder, waitFor } from '../test-support/harness.ts'
import {
  audit,
  idsOf,
  ready,
  reason,
  rebuildAll,
  refused,
  stillRefused,
  WAIT_MS_MAX,
} from '../test-support/refused-log.ts'

/** A log that is lost or put back without the files that go with it: nothing of it is taken for what was read before. */

describe('A log that does not belong to the store', () => {
  test('is refused when it was lost, however far the new one has grown, and a rebuild goes on with it', async () => {
    await using folder = await temporaryFolder()
    await withRunify(folder.path, (runify) => sendAndSettle(runify, 50))
    await removeLog(folder.path)

    const sent = await withRunify(folder.path, async (runify) => {
      await refused(runify, /the log [0-9a-f-]{36}, but this is another log, [0-9a-f-]{36}: .*npx runify rebuild/)
      const events = await send(runify, 70)
      // Beyond the cursors by now.
      await stillRefused(runify, { stored: 50 })
      const { equal, differences } = await audit(runify)
      assert.equal(equal, false)
      assert.ok(
        (differences.missing?.length ?? 0) + (differences.doubled?.length ?? 0) > 0,
        'the audit names what is lost',
      )
      return events
    })
    await withRunify(folder.path, (runify) => stillRefused(runify, { stored: 50 }))

    await rebuildAll({ RUNIFY_DATA_DIR: folder.path })
    await withRunify(folder.path, async (runify) => {
      await ready(runify)
      await settled(runify, WAIT_MS_MAX)
      assert.deepEqual(await idsOf(runify), sent.toSorted())
      assert.equal((await getJson(`${runify.addresses.processing}/stats`)).num_running_stats, sent.length)
      assert.equal((await audit(runify)).equal, true)
    })
  })

  test('is refused when it is an older copy that has gone on otherwise', async () => {
    await using folder = await temporaryFolder()
    const copy = join(folder.path, 'copy')
    await withRunify(folder.path, (runify) => sendAndSettle(runify, 30))
    for (const file of ['log.db', 'log.db-wal', 'log.db-shm']) {
      await cp(join(folder.path, file), join(copy, file)).catch((error) => assert.equal(error.code, 'ENOENT'))
    }
    await withRunify(folder.path, (runify) => sendAndSettle(runify, 20))
    await removeLog(folder.path)
    await cp(copy, folder.path, { recursive: true })

    await withRunify(folder.path, async (runify) => {
      await refused(runify, /up to 50 .*but the log ends at 30, so it is an older copy/)
      await send(runify, 40)
      await stillRefused(runify, { stored: 50 })
      await refused(runify, /the record before that is another one there, so the log is an older copy that has gone on/)
    })
    await rebuildAll({ RUNIFY_DATA_DIR: folder.path })
    await withRunify(folder.path, async (runify) => {
      await ready(runify)
      await settled(runify, WAIT_MS_MAX)
      assert.equal((await idsOf(runify)).length, 70)
    })
  })

  test('leaves the statistics as they are until the store is of the same log again', async () => {
    await using folder = await temporaryFolder()
    await withRunify(folder.path, (runify) => sendAndSettle(runify, 10))
    for (const name of ['log', 'store', 'anomalies']) await removeFile(folder.path, name)
    await withRunify(folder.path, async (runify) => {
      await send(runify, 25)
      const { processing, storage } = runify.addresses
      await waitFor(async () => (await getJson(`${storage}/stats`)).num_running_stats === 25, WAIT_MS_MAX)
      await waitFor(async () => /but the store is of another log/.test(await reason(processing)), WAIT_MS_MAX)
      assert.equal((await getJson(`${processing}/stats`)).num_running_stats, 10)
    })
    const { code, stderr } = await runCli(['rebuild', 'statistics'], '', { RUNIFY_DATA_DIR: folder.path })
    // 1: what was counted of the other log is not what this store has.
    assert.deepEqual([code, stderr], [1, ''])
    await withRunify(folder.path, async (runify) => {
      await settled(runify, WAIT_MS_MAX)
      assert.equal((await getJson(`${runify.addresses.processing}/stats`)).num_running_stats, 25)
      assert.equal((await fetch(`${runify.addresses.processing}/health/ready`)).status, 200)
    })
  })
})

async function withRunify<T>(dir: string, work: (runify: Runify) => Promise<T>): Promise<T> {
  await using runify = await spawnRunify({ dir })
  return await work(runify)
}

/** Gives the ids of the runs that were accepted. */
async function send({ addresses }: Runify, count: number): Promise<string[]> {
  const { events } = makeMany('running', count)
  const { status, body } = await post(`${addresses.receiver}/stats/running`, events)
  assert.deepEqual([status, body.accepted], [201, count])
  return events.map(({ user_id, event_id }) => `${user_id} ${event_id}`)
}

async function sendAndSettle(runify: Runify, count: number): Promise<void> {
  await send(runify, count)
  await settled(runify, WAIT_MS_MAX)
  const detector = runify.addresses['anomaly-detector']
  await waitFor(async () => (await getJson(`${detector}/stats`)).behind === 0, WAIT_MS_MAX)
}

async function removeLog(dir: string): Promise<void> {
  await removeFile(dir, 'log')
}

async function removeFile(dir: string, name: string): Promise<void> {
  for (const ending of ['', '-wal', '-shm']) await rm(join(dir, `${name}.db${ending}`), { force: true })
}
