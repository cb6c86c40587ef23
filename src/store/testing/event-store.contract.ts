import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { isFailure } from '../../errors.ts'
import type { EventStore } from '../event-store.ts'
import {
  batchOf,
  byTraceId,
  changesOf,
  cursorsOf,
  eventsOf,
  inOrder,
  newPlay,
  newRun,
  newRuns,
  stateOf,
  storedBy,
  topicOf,
  watchWholeBatches,
} from './event-store.probe.ts'
import { canaryContract } from './event-store-canary.contract.ts'
import { refusalContract, repeatContract, valueContract } from './event-store-content.contract.ts'
import { forgettingContract } from './event-store-forgetting.contract.ts'
import { changesContract, pageContract } from './event-store-reading.contract.ts'

/** A store in a fresh place. Disposing of it closes every instance of the place and removes what is in it. */
export type OpenedStore = AsyncDisposable & {
  store: EventStore
  /** Another instance on the same place. Those opened before stay open until they are closed. */
  openAgain(): Promise<EventStore>
  /** Makes the database itself refuse plays of this song, by a means of its own. */
  refuseSong(name: string): Promise<void>
}

export type StoreAdapter = { name: string; open(): Promise<OpenedStore> }

/** What every event store does, whatever it is made of. */
export function eventStoreContract(adapter: StoreAdapter): void {
  describe(`event store: ${adapter.name}`, () => {
    describe('write', () => writeContract(adapter))
    describe('repeats and conflicts', () => repeatContract(adapter))
    describe('refusals', () => refusalContract(adapter))
    describe('values', () => valueContract(adapter))
    describe('page', () => pageContract(adapter))
    describe('changes', () => changesContract(adapter))
    describe('forget', () => forgettingContract(adapter))
    describe('canaries', () => canaryContract(adapter))
    describe('several instances', () => instanceContract(adapter))
  })
}

const RUNS = topicOf('running_stats')
const PLAYS = topicOf('music_info')

function writeContract({ open }: StoreAdapter): void {
  test('holds nothing at first', async () => {
    await using place = await open()
    const { store } = place
    await store.checkReady()
    assert.deepEqual(await store.cursors(), [])
    assert.deepEqual(await store.counts(), { running_stats: 0, music_info: 0 })
    assert.equal(await store.event(randomUUID()), undefined)
    assert.deepEqual(await eventsOf(store, 'running_stats'), [])
    assert.deepEqual(await store.changes({ after: [], limit: 10 }), {
      changes: [],
      erasures: [],
      next: [],
      complete: true,
      stored: [],
    })
  })

  test('holds nothing after clear, and is written from the beginning again, also by those who had it open', async () => {
    await using place = await open()
    const { store } = place
    const other = await place.openAgain()
    const batch = batchOf(newRuns(3))
    await other.write(batch)
    await store.clear()
    for (const cleared of [store, other]) {
      assert.deepEqual(await cleared.counts(), { running_stats: 0, music_info: 0 })
      assert.deepEqual(await eventsOf(cleared, 'running_stats'), [])
      assert.deepEqual(await cleared.cursors(), [])
    }
    await assert.rejects(other.write(batchOf(newRuns(3), { from: 3 })), (error) =>
      isFailure(error, 'position_conflict'),
    )
    assert.deepEqual(await other.write(batch), { kind: 'stored', stored: 3, repeated: 0 })
    assert.deepEqual(await changesOf(store, { limit: 100 }), storedBy(batch))
  })

  test('keeps a batch and moves its cursor', async () => {
    await using place = await open()
    const { store } = place
    const events = newRuns(3)
    assert.deepEqual(await store.write(batchOf(events)), { kind: 'stored', stored: 3, repeated: 0 })
    assert.deepEqual(await store.cursors(), [{ topic: RUNS, partition: 0, next: 3 }])
    assert.deepEqual(await store.counts(), { running_stats: 3, music_info: 0 })
    for (const [offset, event] of events.entries()) {
      assert.deepEqual(await store.event(event.trace_id), { partition: 0, offset, event })
    }
    assert.deepEqual(byTraceId(await eventsOf(store, 'running_stats')), byTraceId(events))
  })

  test('keeps types and partitions apart', async () => {
    await using place = await open()
    const { store } = place
    await store.write(batchOf(newRuns(2)))
    await store.write(batchOf(newRuns(3), { partition: 7 }))
    await store.write(batchOf([newPlay()], { partition: 7 }))
    await store.write(batchOf(newRuns(4), { from: 2 }))
    assert.deepEqual(await cursorsOf(store), [`${PLAYS}:7:1`, `${RUNS}:0:6`, `${RUNS}:7:3`])
    assert.deepEqual(await store.counts(), { running_stats: 9, music_info: 1 })
  })

  test('changes nothing when a batch is written again', async () => {
    await using place = await open()
    const { store } = place
    const batch = batchOf(newRuns(5))
    await store.write(batch)
    await store.write(batchOf(newRuns(5), { from: 5 }))
    const before = await stateOf(store)
    for (let i = 0; i < 2; i++) assert.deepEqual(await store.write(batch), { kind: 'stored', stored: 0, repeated: 5 })
    assert.deepEqual(await stateOf(store), before)
  })

  test('skips of a batch what lies before the cursor', async () => {
    await using place = await open()
    const { store } = place
    const events = newRuns(8)
    await store.write(batchOf(events.slice(0, 5)))
    assert.deepEqual(await store.write(batchOf(events.slice(2), { from: 2 })), {
      kind: 'stored',
      stored: 3,
      repeated: 3,
    })
    assert.deepEqual(await cursorsOf(store), [`${RUNS}:0:8`])
    assert.deepEqual(inOrder(await changesOf(store, { limit: 100 })), storedBy(batchOf(events)))
    assert.equal((await store.counts()).running_stats, 8)
  })

  test('does not judge again what lies before the cursor', async () => {
    await using place = await open()
    const { store } = place
    const event = newRun({ distance: 1 })
    const buried = newRun({ ...event.fields, distance: 2 }, event.trace_id)
    const batch = batchOf([event, buried])
    await store.write({ ...batch, events: batch.events.slice(0, 1) })
    const again = await store.write(batchOf([event, buried, newRun()]))
    assert.deepEqual(again, { kind: 'stored', stored: 1, repeated: 2 })
    assert.deepEqual((await store.event(event.trace_id))?.event, event)
  })

  test('refuses a batch that would leave records out, and writes nothing of it', async () => {
    await using place = await open()
    const { store } = place
    const conflict = (error: unknown) => isFailure(error, 'position_conflict') && error.retryable
    await assert.rejects(store.write(batchOf(newRuns(2), { from: 1 })), conflict)
    assert.deepEqual(await store.cursors(), [])
    await store.write(batchOf(newRuns(3)))
    const before = await stateOf(store)
    await assert.rejects(store.write(batchOf(newRuns(2), { from: 4 })), conflict)
    await assert.rejects(store.write(batchOf(newRuns(2), { from: 3, partition: 1 })), conflict)
    assert.deepEqual(await stateOf(store), before)
  })

  test('moves the cursor over records that are not events', async () => {
    await using place = await open()
    const { store } = place
    const event = newRun()
    const batch = { type: 'running_stats', partition: 0, from: 0, next: 10, events: [{ offset: 4, event }] } as const
    assert.deepEqual(await store.write(batch), { kind: 'stored', stored: 1, repeated: 0 })
    const none = { type: 'running_stats', partition: 0, from: 10, next: 15, events: [] } as const
    assert.deepEqual(await store.write(none), { kind: 'stored', stored: 0, repeated: 0 })
    assert.deepEqual(await cursorsOf(store), [`${RUNS}:0:15`])
    assert.deepEqual(await changesOf(store, { limit: 100 }), [{ partition: 0, offset: 4, event }])
  })

  test('takes a batch of some thousands of events', async () => {
    await using place = await open()
    const { store } = place
    const events = newRuns(5000)
    assert.deepEqual(await store.write(batchOf(events)), { kind: 'stored', stored: 5000, repeated: 0 })
    assert.equal((await store.counts()).running_stats, 5000)
    assert.deepEqual(byTraceId(await eventsOf(store, 'running_stats')), byTraceId(events))
  })
}

function instanceContract({ open }: StoreAdapter): void {
  test('keeps everything when it is closed and opened again', async () => {
    await using place = await open()
    await place.store.write(batchOf(newRuns(20)))
    await place.store.write(batchOf([newPlay(), newPlay({ event_id: 'e' })], { partition: 2 }))
    const before = await stateOf(place.store)
    await place.store[Symbol.asyncDispose]()
    const again = await place.openAgain()
    assert.deepEqual(await stateOf(again), before)
    assert.deepEqual(await again.write(batchOf(newRuns(1), { from: 20 })), { kind: 'stored', stored: 1, repeated: 0 })
  })

  test('shows a batch to every instance as soon as it is written', async () => {
    await using place = await open()
    const other = await place.openAgain()
    for (let i = 0; i < 5; i++) {
      await place.store.write(batchOf(newRuns(2), { from: 2 * i }))
      assert.deepEqual(await stateOf(other), await stateOf(place.store))
      assert.equal((await other.counts()).running_stats, 2 * (i + 1))
    }
  })

  test('stores a batch once that two instances write at the same time', async () => {
    await using place = await open()
    const other = await place.openAgain()
    for (let i = 0; i < 10; i++) {
      const batch = batchOf(newRuns(10), { from: 10 * i })
      const outcomes = await Promise.all([place.store, other, place.store].map((store) => store.write(batch)))
      const stored = outcomes.map((outcome) => (outcome.kind === 'stored' ? outcome.stored : Number.NaN))
      assert.deepEqual(stored.toSorted(), [0, 0, 10])
      assert.equal((await other.counts()).running_stats, 10 * (i + 1))
    }
  })

  test('lets a writer that was left behind change nothing', async () => {
    await using place = await open()
    const zombie = await place.openAgain()
    const events = newRuns(9)
    await zombie.write(batchOf(events.slice(0, 3)))
    await place.store.write(batchOf(events.slice(3), { from: 3 }))
    const before = await stateOf(place.store)
    assert.deepEqual(await zombie.write(batchOf(events.slice(3, 6), { from: 3 })), {
      kind: 'stored',
      stored: 0,
      repeated: 3,
    })
    assert.deepEqual(await stateOf(place.store), before)
  })

  test('never shows half a batch to a reader', async () => {
    await using place = await open()
    const other = await place.openAgain()
    const write = async (partition: number) => {
      for (let i = 0; i < 10; i++) await other.write(batchOf(newRuns(20), { from: 20 * i, partition }))
    }
    const written = Promise.all([write(0), write(1)])
    const watched = [place.store, other].map((store) => watchWholeBatches(store, { size: 20, written }))
    assert.deepEqual(await Promise.all(watched), [400, 400])
  })

  test('may be closed twice', async () => {
    await using place = await open()
    await place.store[Symbol.asyncDispose]()
    await place.store[Symbol.asyncDispose]()
  })
}
