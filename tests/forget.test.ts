import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCli } from '../src/cli/testing/run-cli.fixture.ts'
import { makeMany } from '../test-support/events.ts'
import {
  getJson,
  getList,
  type Json,
  post,
  type Runify,
  settled,
  spawnRunify,
  temporaryFolder,
  waitFor,
} from '../test-support/harness.ts'
import { recount, statisticsOf } from '../test-support/recount.ts'

const EVENTS = 6000

test('A user who is being forgotten when the process is killed is forgotten, and stays so in a store that is filled anew', async () => {
  await using folder = await temporaryFolder()
  const gone = makeMany('running', EVENTS)
  const stays = { running: makeMany('running', 200), music: makeMany('music', 200) }
  let asked = false
  for (const killAfterMs of [30, 60, 5, 120]) {
    await using runify = await spawnRunify({ dir: folder.path })
    if (!asked) {
      await send(runify, 'running', [...gone.events, ...stays.running.events])
      await send(runify, 'music', stays.music.events)
      await settled(runify)
    }
    const asking = fetch(`${runify.addresses.storage}/users/${gone.user_id}`, { method: 'DELETE' }).then(
      ({ status }) => assert.equal(status, 200),
      // Killed before it answered.
      () => {},
    )
    asked = true
    await sleep(killAfterMs)
    await runify.kill('SIGKILL')
    await asking
  }
  // Whatever came of those, this one is answered.
  await using runify = await spawnRunify({ dir: folder.path })
  const { code, stderr } = await runCli(['forget', '--user', gone.user_id, '--storage', runify.addresses.storage])
  assert.deepEqual([code, stderr], [0, ''])
  await checkLeft(runify, gone.user_id)
  await runify.kill('SIGTERM')

  const rebuilt = await runCli(['rebuild', 'store'], '', { RUNIFY_DATA_DIR: folder.path })
  assert.deepEqual([rebuilt.code, rebuilt.stderr], [0, ''])
  assert.match(rebuilt.stdout, /^stored {4}400\n/)
  await using again = await spawnRunify({ dir: folder.path })
  await checkLeft(again, gone.user_id)
})

async function send({ addresses }: Runify, kind: 'running' | 'music', events: Json[]): Promise<void> {
  for (let at = 0; at < events.length; at += 1000) {
    assert.equal((await post(`${addresses.receiver}/stats/${kind}`, events.slice(at, at + 1000))).status, 201)
  }
}

/** Nothing of the user is there, all of the others is, and statistics are a recount of it. */
async function checkLeft(runify: Runify, userId: string): Promise<void> {
  const { storage, processing } = runify.addresses
  const [runs, songs] = await Promise.all(
    ['running', 'music'].map((kind) => getList(`${storage}/stats/${kind}?limit=10000`)),
  )
  assert.deepEqual([runs?.length, songs?.length], [200, 200])
  assert.deepEqual(await getJson(`${storage}/stats`), { num_running_stats: 200, num_music_info: 200 })
  const expected = recount({ runs: runs as Json[], songs: songs as Json[] })
  await waitFor(async () => {
    assert.deepEqual(statisticsOf(await getJson(`${processing}/stats`)), expected)
    return true
  })
  assert.equal((await getJson(`${processing}/stats?user_id=${userId}`)).num_running_stats, 0)
  assert.deepEqual(await getJson(`${storage}/users/${userId}/events`), { events: [], next: null })
}
