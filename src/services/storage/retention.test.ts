import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { RunifyEvent } from '../../events/catalogue.ts'
import { MS_PER_DAY } from '../../events/instant.ts'
import { FORGOTTEN_TOPIC } from '../../log/tombstone.ts'
import type { EventStore, PageQuery } from '../../store/event-store.ts'
import { createTelemetry } from '../../telemetry.ts'
import { Forgetter } from './forgetter.ts'
import { Retention } from './retention.ts'
import { storageTelemetry } from './telemetry.ts'
import { append, BEGIN, openStorage, USERS, WAIT } from './testing/storage.fixture.ts'

type System = Awaited<ReturnType<typeof openStorage>>

const telemetry = storageTelemetry(createTelemetry('storage', 'silent'))
const NOON = BEGIN + MS_PER_DAY / 2

function receivedAt(date_created: number, user: number): RunifyEvent {
  const common = { trace_id: randomUUID(), date_created }
  const user_id = USERS[user] as string
  return user === 0
    ? { ...common, type: 'running_stats', fields: { user_id, duration: 1, distance: 1, timestamp: BEGIN } }
    : {
        ...common,
        type: 'music_info',
        fields: { user_id, song_name: 'a', artist: 'a', song_duration: 1, timestamp: BEGIN },
      }
}

async function countStored({ address }: System): Promise<number> {
  const counts = (await (await fetch(`${address}/stats`)).json()) as Record<string, number>
  return Object.values(counts).reduce((sum, count) => sum + count)
}

async function changesOf({ address }: System) {
  const response = await fetch(`${address}/changes?limit=10000`)
  type Change = { event: { trace_id: string } }
  return (await response.json()) as { changes: Change[]; erasures: { user_id: string; erased: object }[] }
}

test('What was received before the days that are kept is removed, whoever it is of, and all else stays', async (t) => {
  await using system = await openStorage({ partitions: 2 })
  const { log, store } = system
  const from = BEGIN - 3 * MS_PER_DAY
  const old = [receivedAt(0, 0), receivedAt(from - 1, 0), receivedAt(from - 1, 1), receivedAt(from - MS_PER_DAY, 1)]
  const many = Array.from({ length: 2500 }, (_, index) => receivedAt(from - 5000 - index, 2))
  const kept = [receivedAt(from, 0), receivedAt(from + 1, 1), receivedAt(NOON, 1), receivedAt(NOON + MS_PER_DAY, 2)]
  await append(log, [...old, ...many, ...kept])
  await t.waitFor(async () => assert.equal(await countStored(system), 2508), WAIT)

  const deps = { log, store, forgetter: new Forgetter({ log, store, telemetry }), telemetry, days: 3 }
  await new Retention({ ...deps, now: () => NOON }).removeOld()
  const { changes, erasures } = await changesOf(system)
  assert.deepEqual(changes.map(({ event }) => event.trace_id).sort(), kept.map(({ trace_id }) => trace_id).sort())
  const erased = new Map(erasures.map(({ user_id, erased }) => [user_id, erased]))
  assert.deepEqual(erased.get(USERS[0] as string), { num_running_stats: 2, num_music_info: 0 })
  assert.deepEqual(erased.get(USERS[1] as string), { num_running_stats: 0, num_music_info: 2 })
  assert.deepEqual(erased.get(USERS[2] as string), { num_running_stats: 0, num_music_info: 2500 })
  assert.equal(erasures.length, 3)

  // Again on the same day there is nothing to do, and a day later what is older then.
  await new Retention({ ...deps, now: () => NOON + 1 }).removeOld()
  assert.equal((await changesOf(system)).erasures.length, 3)
  await new Retention({ ...deps, now: () => NOON + MS_PER_DAY }).removeOld()
  assert.equal(await countStored(system), 2)
})

test('Retention looks again a minute after a look that failed, and an hour after one that did not', async () => {
  await using system = await openStorage({})
  const { log, store } = system
  let looks = 0
  const page = (query: PageQuery) =>
    looks++ === 0 ? Promise.reject(new Error('the database is unavailable')) : store.page(query)
  const failing: EventStore = Object.create(store, { page: { value: page } })
  const stop = new AbortController()
  const minutes: number[] = []
  const pause = async (ms: number) => {
    minutes.push(ms / 60_000)
    if (minutes.length === 3) stop.abort()
  }
  const forgetter = new Forgetter({ log, store, telemetry })
  const retention = new Retention({ log, store: failing, forgetter, telemetry, days: 3, now: Date.now, pause })
  await retention.run(stop.signal)
  assert.deepEqual(minutes, [1, 60, 60])
})

test('Storage looks for what is too old when it starts, if days are named', async (t) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-'))
  const dir = folder.path
  {
    await using system = await openStorage({ dir })
    await append(system.log, [receivedAt(0, 0), receivedAt(Date.now(), 0)])
    await t.waitFor(async () => assert.equal(await countStored(system), 2), WAIT)
    const tombstones = await system.log.partitions(FORGOTTEN_TOPIC)
    assert.deepEqual(
      tombstones.map(({ next }) => next),
      [0],
    )
  }
  await using system = await openStorage({ dir, retentionDays: 30 })
  await t.waitFor(async () => assert.equal(await countStored(system), 1), WAIT)
})
