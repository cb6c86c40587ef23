import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { runCli } from '../../src/cli/testing/run-cli.fixture.ts'
import { EmbeddedLog } from '../../src/log/embedded/embedded-log.ts'
import { FORGOTTEN_TOPIC } from '../../src/log/tombstone.ts'
import { asStored, fromNdjson, makeMany, toNdjson } from '../../test-support/events.ts'
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
} from '../../test-support/harness.ts'

/** The catalogue is the one list of types and fields: what is added to it is everywhere, and needs only its migration. */

const THIRD_TYPE = new URL('third-type.fixture.ts', import.meta.url).href
const OPTIONAL_FIELD = new URL('optional-field.fixture.ts', import.meta.url).href
const DAY_MS = 86_400_000

const start = (dir: string, fixture: string, environment: Record<string, string> = {}) =>
  spawnRunify({ dir, ...environment }, undefined, { flags: [`--import=${fixture}`] })

/** The command line tool of the same version. */
const run = (fixture: string, args: readonly string[], variables: Record<string, string> = {}) =>
  runCli(args, '', { NODE_OPTIONS: `--import=${fixture}`, ...variables })

function makeSleeps(count: number): { user_id: string; events: Json[] } {
  const user_id = randomUUID()
  const events = Array.from({ length: count }, (_, n) => {
    const timestamp = new Date(Date.UTC(2024, 0, 1 + n)).toISOString()
    return {
      user_id,
      slept: 20_000 + n,
      ...(n % 2 === 0 && { place: `bed "${n}"` }),
      timestamp,
      event_id: `sleep-${n}`,
    }
  })
  return { user_id, events }
}

async function allDone({ addresses }: Runify): Promise<void> {
  await settled({ addresses })
  await waitFor(async () => (await getJson(`${addresses['anomaly-detector']}/stats`)).behind === 0)
}

const asSent = ({ trace_id: _, date_created: __, ...sent }: Json) => sent

test('a third type of event is checked, kept, counted by hour, exported, audited and forgotten like the others', async () => {
  await using folder = await temporaryFolder()
  const [stays, goes] = [makeSleeps(5), makeSleeps(4)]
  const runs = makeMany('running', 3)
  {
    await using runify = await start(folder.path, THIRD_TYPE)
    const { receiver, storage, processing, analyzer } = runify.addresses
    assert.equal((await post(`${receiver}/stats/running`, runs.events)).status, 201)
    assert.equal((await post(`${receiver}/stats/sleep`, stays.events)).status, 201)
    const refused = await post(`${receiver}/stats/sleep`, { ...goes.events[0], slept: -1, rem: 1 })
    assert.deepEqual([refused.status, pointers(refused.body)], [400, ['/slept', '/rem']])
    // The lines' fields tell what they are.
    const file = join(folder.path, 'events.ndjson')
    await writeFile(file, toNdjson([...goes.events, ...makeMany('music', 2).events]))
    const sent = await run(THIRD_TYPE, ['send', file, '--to', receiver, '--quiet'])
    assert.deepEqual([sent.code, sent.stderr], [0, ''])
    await allDone(runify)

    const counts = await getJson(`${storage}/stats`)
    assert.deepEqual(counts, { num_running_stats: 3, num_music_info: 2, num_sleep: 9 })
    const stored = await getList(`${storage}/stats/sleep?user_id=${stays.user_id}&limit=100`)
    assert.deepEqual(stored.map(asSent), stays.events)
    assert.deepEqual(asSent((await getJson(`${analyzer}/sleep?index=0`)) as Json).slept, 20_000)
    assert.equal((await getJson(`${analyzer}/stats`)).num_sleep, 9)
    // What has no sums is in none of them, whatever the sums of others are.
    const statistics = await getJson(`${processing}/stats`)
    assert.deepEqual([statistics.num_running_stats, statistics.num_music_info, statistics.uncounted], [3, 2, 0])
    const users = await getList(`${processing}/users?limit=100`)
    assert.ok(
      !users.some(({ user_id }) => user_id === stays.user_id),
      'of whom nothing is summed is not among its users',
    )
    const audit = await run(THIRD_TYPE, ['audit', '--analyzer', analyzer, '--json'])
    assert.equal(audit.code, 0, audit.stdout)
    const { hours } = JSON.parse(audit.stdout) as { hours: Json[] }
    const ofType = hours.filter(({ type }) => type === 'sleep')
    assert.deepEqual(sums(ofType, ['accepted', 'stored', 'counted']), [9, 9, 9])

    const exported = await run(THIRD_TYPE, ['export', '--storage', storage, '--quiet'])
    assert.deepEqual([exported.code, fromNdjson(exported.stdout).length], [0, 14])
    const csv = await run(THIRD_TYPE, ['export', '--storage', storage, '--type', 'sleep', '--format', 'csv', '--quiet'])
    const lines = csv.stdout.split('\r\n')
    assert.equal(lines[0], 'user_id,slept,place,timestamp,event_id,trace_id,date_created')
    assert.equal(lines.length, 11)

    const held = (await getJson(`${storage}/users/${goes.user_id}/events`)) as { events: Json[] }
    assert.equal(held.events.length, 4)
    const answer = await fetch(`${storage}/users/${goes.user_id}`, { method: 'DELETE' })
    const { erased, in_log } = (await answer.json()) as Record<string, Json>
    assert.deepEqual(erased, { num_running_stats: 0, num_music_info: 0, num_sleep: 4 })
    assert.equal((in_log as unknown as Json[]).length, 1)
    await allDone(runify)
    assert.equal((await getJson(`${storage}/stats`)).num_sleep, 5)
    const after = await run(THIRD_TYPE, ['audit', '--analyzer', analyzer, '--json'])
    assert.equal(after.code, 0, after.stdout)
    await runify.kill('SIGTERM')
  }
  for (const what of ['store', 'statistics']) {
    const rebuilt = await run(THIRD_TYPE, ['rebuild', what], { RUNIFY_DATA_DIR: folder.path })
    assert.deepEqual([rebuilt.code, rebuilt.stderr], [0, ''])
  }
  await using again = await start(folder.path, THIRD_TYPE)
  await allDone(again)
  assert.equal((await getJson(`${again.addresses.storage}/stats`)).num_sleep, 5)
})

test('retention removes a third type of event by one tombstone a user', async () => {
  await using folder = await temporaryFolder()
  const old = makeSleeps(3)
  const date_created = new Date(Date.now() - 100 * DAY_MS).toISOString()
  {
    await using log = new EmbeddedLog({ dir: folder.path })
    await log.append(
      old.events.map((sent) => {
        const value = Buffer.from(JSON.stringify({ ...sent, trace_id: randomUUID(), date_created }))
        return { topic: 'runify.sleep', key: old.user_id, value }
      }),
    )
  }
  const kept = makeSleeps(2)
  {
    await using runify = await start(folder.path, THIRD_TYPE)
    const { receiver, storage } = runify.addresses
    assert.equal((await post(`${receiver}/stats/sleep`, kept.events)).status, 201)
    await allDone(runify)
    assert.equal((await getJson(`${storage}/stats`)).num_sleep, 5)
    await runify.kill('SIGTERM')
  }
  {
    await using runify = await start(folder.path, THIRD_TYPE, { RUNIFY_RETENTION_DAYS: '30' })
    const { storage } = runify.addresses
    await waitFor(async () => (await getJson(`${storage}/stats`)).num_sleep === 2)
    await runify.kill('SIGTERM')
  }
  await using log = new EmbeddedLog({ dir: folder.path })
  const [tombstones] = await log.partitions(FORGOTTEN_TOPIC)
  assert.equal(tombstones?.next, 1)
})

test('an optional field is added by a migration of its own, to a new folder and to one of the version before', async () => {
  await using before = await temporaryFolder()
  await using fresh = await temporaryFolder()
  const { user_id, events } = makeMany('running', 3)
  const [first, second, third] = events as [Json, Json, Json]
  {
    await using runify = await spawnRunify({ dir: before.path })
    assert.equal((await post(`${runify.addresses.receiver}/stats/running`, first)).status, 201)
    const refused = await post(`${runify.addresses.receiver}/stats/running`, { ...first, weather: 'rain' })
    assert.deepEqual(pointers(refused.body), ['/weather'])
    await settled(runify)
    await runify.kill('SIGTERM')
  }
  const added = [second, { ...third, weather: 'rain' }]
  for (const [dir, there] of [
    [before.path, [first]],
    [fresh.path, []],
  ] as const) {
    await using runify = await start(dir, OPTIONAL_FIELD)
    const { receiver, storage, analyzer } = runify.addresses
    assert.equal((await post(`${receiver}/stats/running`, added)).status, 201)
    await allDone(runify)
    const all = [...there, ...added].map(asStored)
    const stored = await getList(`${storage}/stats/running?user_id=${user_id}&limit=10`)
    assert.deepEqual(stored.map(asSent), all)
    assert.equal((await getJson(`${analyzer}/running?index=${all.length - 1}`)).weather, 'rain')
    const exported = await run(OPTIONAL_FIELD, ['export', '--storage', storage, '--quiet'])
    assert.deepEqual(fromNdjson(exported.stdout).map(asSent), all)
    const answer = await fetch(`${storage}/users/${user_id}`, { method: 'DELETE' })
    assert.equal(((await answer.json()) as { erased: Json }).erased.num_running_stats, all.length)
    await runify.kill('SIGTERM')
  }
  assert.equal(tableOf(fresh.path, 'running_stats'), tableOf(before.path, 'running_stats'))
})

test('an older version waits before an event that is newer than itself, keeps all, and shows it', async () => {
  await using folder = await temporaryFolder()
  const { user_id, events } = makeMany('running', 4)
  const [first, second, third, fourth] = events as [Json, Json, Json, Json]
  const newer = { ...third, weather: 'rain' }
  {
    await using runify = await spawnRunify({ dir: folder.path })
    assert.equal((await post(`${runify.addresses.receiver}/stats/running`, first)).status, 201)
    await settled(runify)
    await runify.kill('SIGTERM')
  }
  {
    // The newer Receiver before the others, which is the wrong order.
    await using runify = await spawnRunify({ dir: folder.path }, ['receiver'], {
      flags: [`--import=${OPTIONAL_FIELD}`],
    })
    for (const event of [second, newer, fourth])
      assert.equal((await post(`${runify.addresses.receiver}/stats/running`, event)).status, 201)
    await runify.kill('SIGTERM')
  }
  {
    await using runify = await spawnRunify({ dir: folder.path })
    const { storage, processing, analyzer } = runify.addresses
    for (const service of ['storage', 'anomaly-detector'] as const) {
      const ready = await waitFor(async () => {
        const response = await fetch(`${runify.addresses[service]}/health/ready`)
        return response.status === 503 && ((await response.json()) as Json)
      })
      assert.deepEqual([ready.code, ready.detail], ['newer_events', 'newer events in the log: upgrade this service'])
    }
    // What holds nothing new is read, although a newer version wrote it; and what comes behind the newer one waits.
    await waitFor(async () => (await getJson(`${processing}/stats`)).num_running_stats === 2)
    assert.equal((await getJson(`${processing}/stats`)).behind, 2)
    const stored = await getList(`${storage}/stats/running?user_id=${user_id}&limit=10`)
    assert.deepEqual(stored.map(asSent), [first, second].map(asStored))
    assert.deepEqual(await getList(`${analyzer}/dead-letters`), [])
    assert.deepEqual((await getJson(`${analyzer}/running?index=2`)).event_id, third.event_id)
    assert.equal((await fetch(`${storage}/health/ready`)).status, 503, 'it is not ready from one look to the next')
    await runify.kill('SIGTERM')
  }
  await using runify = await start(folder.path, OPTIONAL_FIELD)
  await allDone(runify)
  const stored = await getList(`${runify.addresses.storage}/stats/running?user_id=${user_id}&limit=10`)
  assert.deepEqual(stored.map(asSent), [first, second, newer, fourth].map(asStored))
  assert.equal((await fetch(`${runify.addresses.storage}/health/ready`)).status, 200)
})

function pointers({ errors }: Json): string[] {
  return (errors as { pointer: string }[]).map(({ pointer }) => pointer)
}

function sums(rows: readonly Json[], names: readonly string[]): number[] {
  return names.map((name) => rows.reduce((sum, row) => sum + (row[name] as number), 0))
}

function tableOf(dir: string, name: string): string {
  using database = new DatabaseSync(join(dir, 'store.db'), { readOnly: true })
  return String(database.prepare('SELECT sql FROM sqlite_master WHERE name = ?').get(name)?.sql)
}
