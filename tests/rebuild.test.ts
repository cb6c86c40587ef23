import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { runCli } from '../src/cli/testing/run-cli.fixture.ts'
import { makeMany } from '../test-support/events.ts'
import { getJson, getList, post, type Runify, settled, spawnRunify, temporaryFolder } from '../test-support/harness.ts'

test('runify rebuild store brings back what the log holds, and the statistics with it', async () => {
  await using folder = await temporaryFolder()
  const runs = makeMany('running', 700).events
  const songs = makeMany('music', 300).events
  const before = await withRunify(folder.path, async (runify) => {
    for (const [kind, events] of [
      ['running', [...runs, ...runs.slice(0, 50)]],
      ['music', songs],
    ] as const) {
      assert.equal((await post(`${runify.addresses.receiver}/stats/${kind}`, events)).status, 201)
    }
    await settled(runify)
    return whatUsersSee(runify)
  })
  assert.equal(before.runs.length, 700)

  const store = new DatabaseSync(join(folder.path, 'store.db'))
  store.exec('DELETE FROM running_stats WHERE log_offset % 3 = 1; UPDATE music_info SET song_duration = 0')
  store.close()
  const damaged = await withRunify(folder.path, whatUsersSee)
  assert.notDeepEqual(damaged, before)

  const { code, stdout, stderr } = await runCli(['rebuild', 'store'], '', { RUNIFY_DATA_DIR: folder.path })
  assert.deepEqual([code, stderr], [0, ''])
  assert.match(stdout, /^stored {4}1000\nduration {2}\d+\.\d s\n$/)
  const after = await withRunify(folder.path, async (runify) => {
    await settled(runify)
    return whatUsersSee(runify)
  })
  assert.deepEqual(after, before)
})

test('runify rebuild store leaves a running Runify alone, and says in a line why', async () => {
  await using folder = await temporaryFolder()
  await using _ = await spawnRunify({ dir: folder.path })
  const { code, stdout, stderr } = await runCli(['rebuild', 'store'], '', { RUNIFY_DATA_DIR: folder.path })
  assert.deepEqual([code, stdout], [2, ''])
  assert.match(stderr, /^runify rebuild: RUNIFY_DATA_DIR: another process uses .*\n$/)
  assert.ok(stderr.includes(folder.path))
})

test('runify rebuild statistics counts anew what the store holds, and says what was different', async () => {
  await using folder = await temporaryFolder()
  const songs = makeMany('music', 300).events
  const runs = makeMany('running', 300).events
  const before = await withRunify(folder.path, async (runify) => {
    for (const [kind, events] of [
      ['running', runs],
      ['music', songs],
    ] as const) {
      assert.equal((await post(`${runify.addresses.receiver}/stats/${kind}`, events)).status, 201)
    }
    await settled(runify)
    return whatIsCounted(runify)
  })

  const rebuild = () => runCli(['rebuild', 'statistics'], '', { RUNIFY_DATA_DIR: folder.path })
  const same = await rebuild()
  assert.deepEqual([same.code, same.stderr], [0, ''])
  assert.match(same.stdout, /^counted {4}600\ncompared {3}\d{3,} rows\ndifferent {2}0\nduration {3}\d+\.\d s\n$/)

  const statistics = new DatabaseSync(join(folder.path, 'statistics.db'))
  statistics.exec(
    'UPDATE play_lists SET plays = plays + 1 WHERE list = 1; UPDATE counted_hours SET events = events - 1; ' +
      'DELETE FROM quarter_hours WHERE scope <> zeroblob(0); INSERT INTO play_months SELECT 7, item, 1, 1, NULL FROM play_names',
  )
  statistics.close()
  const damaged = await withRunify(folder.path, whatIsCounted)
  assert.notDeepEqual(damaged, before)
  const other = await rebuild()
  assert.deepEqual([other.code, other.stderr], [1, ''])
  assert.match(other.stdout, /^counted {4}600\ncompared {3}\d{3,} rows\ndifferent {2}\d{3,}\n/)
  assert.match(other.stdout, /\n {2}quarter_hours \{"scope":"[0-9a-f]{32}","day":\d+\}: was nothing, is \{/)
  assert.deepEqual(await withRunify(folder.path, whatIsCounted), before)
  assert.match((await rebuild()).stdout, /\ndifferent {2}0\n/)
})

test('runify rebuild statistics finds the same after somebody was forgotten, of whom there is something again', async () => {
  await using folder = await temporaryFolder()
  const [gone, stays] = [makeMany('music', 400), makeMany('music', 300)]
  const runs = makeMany('running', 200)
  const again = gone.events.slice(0, 30).map((event) => ({ ...event, event_id: `later ${event.event_id}` }))
  await withRunify(folder.path, async (runify) => {
    const { receiver, storage } = runify.addresses
    const send = async (kind: 'running' | 'music', events: object[]) =>
      assert.equal((await post(`${receiver}/stats/${kind}`, events)).status, 201)
    await send('music', [...gone.events, ...stays.events])
    await send('running', runs.events)
    await settled(runify)
    assert.equal((await fetch(`${storage}/users/${gone.user_id}`, { method: 'DELETE' })).status, 200)
    await send('music', again)
    await settled(runify)
  })
  const { code, stdout, stderr } = await runCli(['rebuild', 'statistics'], '', { RUNIFY_DATA_DIR: folder.path })
  assert.deepEqual([code, stderr], [0, ''])
  assert.match(stdout, /^counted {4}530\ncompared {3}\d{3,} rows\ndifferent {2}0\n/)
})

test('runify rebuild says what it can rebuild', async () => {
  for (const args of [[], ['everything'], ['store', 'store']]) {
    const { code, stderr } = await runCli(['rebuild', ...args])
    assert.deepEqual(
      [code, stderr],
      [2, 'runify rebuild: say what to rebuild: store, statistics or anomalies, see runify rebuild --help\n'],
    )
  }
})

async function withRunify<T>(dir: string, work: (runify: Runify) => Promise<T>): Promise<T> {
  await using runify = await spawnRunify({ dir })
  return await work(runify)
}

async function whatIsCounted({ addresses: { processing } }: Runify) {
  const { last_updated: _, ...statistics } = await getJson(`${processing}/stats`)
  const [daily, songs, artists] = await Promise.all(
    ['daily', 'songs', 'artists'].map((name) => getList(`${processing}/stats/${name}?limit=1000`)),
  )
  return { statistics, daily, songs, artists }
}

async function whatUsersSee({ addresses: { storage, processing } }: Runify) {
  const { last_updated: _, ...statistics } = await getJson(`${processing}/stats`)
  const [runs, songs] = await Promise.all(
    ['running', 'music'].map((kind) => getList(`${storage}/stats/${kind}?limit=10000`)),
  )
  return { statistics, stored: await getJson(`${storage}/stats`), runs: runs ?? [], songs: songs ?? [] }
}
