import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { Anomaly } from '../anomaly.ts'
import type { AnomalyStore } from '../store/anomaly-store.ts'
import type { AnomalyAdapter } from './anomaly-store.contract.ts'

/** How far the webhooks have come, in every store of anomalies. */
export function webhookContract({ open }: AnomalyAdapter, anomalyOf: (more: Partial<Anomaly>) => Anomaly): void {
  /** Judges a batch of ten records, the given ones of which showed something; gives the ids in their order. */
  const find = async (store: AnomalyStore, at: { topic: string; batch: number }, offsets: readonly number[]) => {
    const from = at.batch * 10
    const found = offsets.map((offset) => ({ offset: from + offset, anomaly: anomalyOf({ trace_id: randomUUID() }) }))
    const judge = () => ({ found, states: new Map(), refused: [] })
    await store.judge({ topic: at.topic, partition: 0, from, next: from + 10, users: [], judge })
    return found.map(({ anomaly }) => anomaly.anomaly_id)
  }
  const pendingIds = async ({ webhooks }: AnomalyStore, webhook: string, limit = 100) =>
    (await webhooks.pending(webhook, limit)).anomalies.map(({ anomaly_id }) => anomaly_id)

  test('give one that is new what is found from then on, in the order of the log, and each its own', async () => {
    await using place = await open()
    const { anomalies } = place
    const { webhooks } = anomalies
    await find(anomalies, { topic: 'a', batch: 0 }, [1, 2])
    await webhooks.register('one')
    assert.deepEqual(await webhooks.pending('one', 10), { anomalies: [], cursors: [] })
    const ids = await find(anomalies, { topic: 'a', batch: 1 }, [0, 3, 9])
    await webhooks.register('two')
    await webhooks.register('one')
    assert.deepEqual(await pendingIds(anomalies, 'one'), ids)
    assert.deepEqual(await pendingIds(await place.openAgain(), 'one'), ids)
    assert.deepEqual(await pendingIds(anomalies, 'two'), [])
    const others = await find(anomalies, { topic: 'b', batch: 0 }, [5])
    assert.deepEqual(new Set(await pendingIds(anomalies, 'one')), new Set([...ids, ...others]))
    assert.deepEqual(await pendingIds(anomalies, 'two'), others)
  })

  test('go through all of it in groups, and never apart what one record showed', async () => {
    await using place = await open()
    const { anomalies } = place
    const { webhooks } = anomalies
    await webhooks.register('one')
    const ids: string[] = []
    for (const topic of ['a', 'b']) {
      for (let batch = 0; batch < 4; batch++) {
        ids.push(...(await find(anomalies, { topic, batch }, [0, 1, 1, 1, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 9])))
      }
    }
    const seen: string[] = []
    for (;;) {
      const { anomalies: some, cursors } = await webhooks.pending('one', 7)
      if (some.length === 0) break
      assert.ok(some.length <= 7 + 16)
      assert.deepEqual(
        await pendingIds(anomalies, 'one', 7),
        some.map((one) => one.anomaly_id),
        'the same again',
      )
      seen.push(...some.map(({ anomaly_id }) => anomaly_id))
      await webhooks.advance('one', cursors)
    }
    assert.equal(seen.length, ids.length)
    assert.deepEqual(new Set(seen), new Set(ids))
    await webhooks.advance('one', [{ topic: 'a', partition: 0, next: 0 }])
    assert.deepEqual(await pendingIds(anomalies, 'one'), [], 'a position never goes back')
  })

  test('have one owner at a time, until the lease runs out or is given back', async () => {
    await using place = await open()
    const { webhooks } = place.anomalies
    await webhooks.register('one')
    const claim = (owner: string, now: number) => webhooks.claim({ webhook: 'one', owner, now, until: now + 100 })
    assert.equal(await claim('x', 1000), true)
    assert.equal(await claim('y', 1099), false)
    assert.equal(await claim('x', 1050), true)
    assert.equal(await claim('y', 1149), false)
    assert.equal(await claim('y', 1151), true)
    assert.equal(await claim('x', 1151), false)
    await webhooks.release({ webhook: 'one', owner: 'x' })
    assert.equal(await claim('x', 1152), false)
    await webhooks.release({ webhook: 'one', owner: 'y' })
    const all = await Promise.all(['x', 'y', 'z'].map((owner) => claim(owner, 1153)))
    assert.equal(all.filter(Boolean).length, 1)
  })

  test('have no owner while they are parked', async () => {
    await using place = await open()
    const { webhooks } = place.anomalies
    await webhooks.register('one')
    await webhooks.register('two')
    await webhooks.park('one', 1234)
    assert.deepEqual(await webhooks.parked(), new Map([['one', 1234]]))
    assert.equal(await webhooks.claim({ webhook: 'one', owner: 'x', now: 5000, until: 6000 }), false)
    await webhooks.register('one')
    assert.deepEqual(await webhooks.parked(), new Map())
    assert.equal(await webhooks.claim({ webhook: 'one', owner: 'x', now: 5000, until: 6000 }), true)
  })
}
