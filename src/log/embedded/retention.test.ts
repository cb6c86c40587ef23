import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { TOPICS } from '../../events/catalogue.ts'
import { FORGOTTEN_TOPIC } from '../tombstone.ts'
import { EmbeddedLog } from './embedded-log.ts'
import { removeOld } from './retention.ts'

const DAY_MS = 86_400_000
const [RUNS] = TOPICS as [string]

test('The retention of the embedded log removes what is old and was read by every group, and nothing else', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-'))
  await using log = new EmbeddedLog({ dir: folder.path, retentionMs: DAY_MS })
  const append = (topic: string) => log.append([{ topic, key: 'k', value: Buffer.from('v') }])
  for (let i = 0; i < 5; i++) await append(RUNS)
  await append(FORGOTTEN_TOPIC)
  const firsts = async () => {
    const ranges = await Promise.all([RUNS, FORGOTTEN_TOPIC].map((topic) => log.partitions(topic)))
    return ranges.map(([range]) => range?.first)
  }
  const later = (ms: number) => removeOld(log, { retentionMs: DAY_MS, now: () => Date.now() + ms })

  await later(2 * DAY_MS)
  assert.deepEqual(await firsts(), [0, 0], 'nobody has read it')
  await log.commit('one', [{ topic: RUNS, partition: 0, next: 5 }])
  await log.commit('other', [{ topic: RUNS, partition: 0, next: 3 }])
  await later(0)
  assert.deepEqual(await firsts(), [0, 0], 'it is not old')
  await later(2 * DAY_MS)
  assert.deepEqual(await firsts(), [3, 0], 'one group has more to read')
  await log.commit('other', [{ topic: RUNS, partition: 0, next: 5 }])
  await later(2 * DAY_MS)
  assert.deepEqual(await firsts(), [5, 0])
  assert.deepEqual([await log.retentionMs(RUNS), await log.retentionMs(FORGOTTEN_TOPIC)], [DAY_MS, undefined])
})
