import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { isFailure } from '../../errors.ts'
import { CANARY } from '../../events/catalogue.ts'
import type { Cursors } from '../../log/position.ts'
import { CANARIES_KEPT, type CanaryBatch } from '../canaries.ts'
import type { StoreAdapter } from './event-store.contract.ts'
import { batchOf, changesOf, cursorsOf, newRuns, stateOf } from './event-store.probe.ts'

/** The part of the contract that is about the health check's own events. */
export function canaryContract({ open }: StoreAdapter): void {
  test('finds a canary that it has, with its place in the log', async () => {
    await using place = await open()
    const { store } = place
    const batch = newCanaries(3, { from: 5, partition: 2 })
    const [, second] = batch.canaries
    assert.equal(await store.canary(second?.trace_id as string), undefined)
    await store.writeCanaries(newCanaries(5, { partition: 2 }))
    await store.writeCanaries(batch)
    assert.deepEqual(await store.canary(second?.trace_id as string), { ...second, partition: 2 })
    assert.equal(await store.canary(randomUUID()), undefined)
    assert.deepEqual(await cursorsOf(store), [`${CANARY.topic}:2:8`])
  })

  test('has canaries in nobody’s events, counts and changes', async () => {
    await using place = await open()
    const { store } = place
    await store.write(batchOf(newRuns(3)))
    const before = await stateOf(store)
    const batch = newCanaries(2)
    await store.writeCanaries(batch)
    const { cursors, ...after } = await stateOf(store)
    const { cursors: cursorsBefore, ...others } = before
    assert.deepEqual(after, others)
    assert.deepEqual(cursors, [`${CANARY.topic}:0:2`, ...cursorsBefore])
    for (const { trace_id } of batch.canaries) assert.equal(await store.event(trace_id), undefined)
  })

  test('takes canaries again and changes nothing, and refuses what would leave some out', async () => {
    await using place = await open()
    const { store } = place
    const batch = newCanaries(4)
    await store.writeCanaries({ ...batch, next: 2, canaries: batch.canaries.slice(0, 2) })
    for (let i = 0; i < 2; i++) await store.writeCanaries(batch)
    assert.deepEqual(await cursorsOf(store), [`${CANARY.topic}:0:4`])
    await assert.rejects(store.writeCanaries(newCanaries(1, { from: 5 })), (error) =>
      isFailure(error, 'position_conflict'),
    )
    for (const canary of batch.canaries)
      assert.deepEqual(await store.canary(canary.trace_id), { ...canary, partition: 0 })
  })

  test('gives a canary that was appended twice the place of its first', async () => {
    await using place = await open()
    const { store } = place
    const { canaries } = newCanaries(1)
    const again = canaries.map((canary) => ({ ...canary, offset: 1 }))
    await store.writeCanaries({ partition: 0, from: 0, next: 2, canaries: [...canaries, ...again] })
    assert.equal((await store.canary(canaries[0]?.trace_id as string))?.offset, 0)
  })

  test(`keeps the newest ${CANARIES_KEPT} of each partition`, async () => {
    await using place = await open()
    const { store } = place
    const old = newCanaries(2)
    const other = newCanaries(1, { partition: 1 })
    const many = newCanaries(CANARIES_KEPT - 1, { from: 2 })
    for (const batch of [old, other, many]) await store.writeCanaries(batch)
    const isThere = async ({ canaries }: CanaryBatch, at: number) =>
      (await store.canary(canaries[at]?.trace_id as string)) !== undefined
    const seen = [await isThere(old, 0), await isThere(old, 1), await isThere(many, 0), await isThere(other, 0)]
    assert.deepEqual(seen, [false, true, true, true])
    // All at once, as after a long time away.
    const flood = newCanaries(CANARIES_KEPT + 5, { from: many.next })
    await store.writeCanaries(flood)
    assert.deepEqual([await isThere(many, 5), await isThere(flood, 4), await isThere(flood, 5)], [false, false, true])
  })

  test('lets a reader of the changes pass a canary when it has all that was stored before', async () => {
    await using place = await open()
    const { store } = place
    const runs = batchOf(newRuns(5))
    await store.write(runs)
    await store.writeCanaries(newCanaries(1))
    let after: Cursors = []
    const seen: number[] = []
    for (let complete = false; !complete; ) {
      const page = await store.changes({ after, limit: 2 })
      ;({ next: after, complete } = page)
      seen.push(page.changes.length)
      assert.equal(
        after.some(({ topic }) => topic === CANARY.topic),
        complete,
      )
    }
    assert.deepEqual(seen, [2, 2, 1])
    await store.writeCanaries(newCanaries(1, { from: 1 }))
    const { changes, next, stored } = await store.changes({ after, limit: 2 })
    assert.deepEqual(changes, [])
    assert.deepEqual(next, stored)
    assert.equal((await changesOf(store, { limit: 100 })).length, 5)
  })

  test('has no canaries after clear', async () => {
    await using place = await open()
    const { store } = place
    const batch = newCanaries(1)
    await store.writeCanaries(batch)
    await store.clear()
    assert.deepEqual(await cursorsOf(store), [])
    assert.equal(await store.canary(batch.canaries[0]?.trace_id as string), undefined)
    await store.writeCanaries(batch)
  })
}

function newCanaries(count: number, { from = 0, partition = 0 } = {}): CanaryBatch {
  const canaries = Array.from({ length: count }, (_, n) => {
    return { offset: from + n, trace_id: randomUUID(), date_created: Date.UTC(2026, 10, 25) + n }
  })
  return { partition, from, next: from + count, canaries }
}
