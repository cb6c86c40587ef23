import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { EmbeddedLog } from '../../../log/embedded/embedded-log.ts'
import { LagWatch } from './lag.ts'

const TOPIC = 'runify.running_stats'
const GROUP = 'reader'

test('A group that stands is behind by all that came since, and falls further behind by the clock', async (t) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-'))
  await using log = new EmbeddedLog({ dir: folder.path, partitions: 2 })
  const read = t.mock.method(log, 'read')
  const append = (keys: number) =>
    log.append(Array.from({ length: keys }, (_, key) => ({ topic: TOPIC, key: `${key}`, value: Buffer.of(key) })))
  const commitAll = async () => {
    const cursors = (await log.partitions(TOPIC)).map(({ partition, next }) => ({ topic: TOPIC, partition, next }))
    await log.commit(GROUP, cursors)
  }
  let now = Date.now()
  using watch = new LagWatch({ log, now: () => now, periodMs: 3_600_000 })
  const look = async (secondsLater: number) => {
    now += secondsLater * 1000
    const [lag, ...others] = await watch.of(TOPIC)
    assert.deepEqual([lag?.group, others], [GROUP, []])
    return lag
  }

  await append(20)
  await commitAll()
  assert.deepEqual(await look(0), {
    ...{ group: GROUP, lag: 0, lag_seconds: 0, catch_up_seconds: 0 },
    ...{ trend: null, appended_per_second: null, read_per_second: null },
  })

  const began = Date.now()
  await append(20)
  now = Date.now()
  const tookSeconds = (now - began) / 1000
  const standing = await look(10)
  assert.deepEqual([standing?.lag, standing?.trend, standing?.read_per_second], [20, 'growing', 0])
  assert.equal(standing?.catch_up_seconds, null, 'at this pace it never does')
  assert.ok((standing?.lag_seconds ?? 0) >= 10 && (standing?.lag_seconds ?? 0) <= 10 + tookSeconds)
  const reads = read.mock.callCount()
  const later = await look(60)
  assert.equal(later?.lag, 20)
  assert.equal(Math.round(((later?.lag_seconds ?? 0) - (standing?.lag_seconds ?? 0)) * 1000), 60_000)
  assert.equal(read.mock.callCount(), reads, 'the record that it stands before is read once')

  await commitAll()
  const caughtUp = await look(2)
  assert.deepEqual([caughtUp?.lag, caughtUp?.lag_seconds, caughtUp?.catch_up_seconds], [0, 0, 0])
})

test('A group that stands before what retention has removed is behind by what is left', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-'))
  await using log = new EmbeddedLog({ dir: folder.path, partitions: 1 })
  using watch = new LagWatch({ log, periodMs: 3_600_000 })
  await log.append(Array.from({ length: 10 }, (_, at) => ({ topic: TOPIC, key: 'key', value: Buffer.of(at) })))
  await log.commit(GROUP, [{ topic: TOPIC, partition: 0, next: 2 }])
  await log.deleteBefore({ topic: TOPIC, partition: 0, offset: 7 })
  assert.deepEqual(
    (await watch.of(TOPIC)).map(({ group, lag }) => ({ group, lag })),
    [{ group: GROUP, lag: 3 }],
  )
})
