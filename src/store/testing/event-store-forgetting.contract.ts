import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { isFailure } from '../../errors.ts'
import type { RunifyEvent } from '../../events/catalogue.ts'
import type { Cursors } from '../../log/position.ts'
import { FORGOTTEN_TOPIC } from '../../log/tombstone.ts'
import { type EventStore, type StoredEvent, type UserPlace, userPlaceOf } from '../event-store.ts'
import type { StoreAdapter } from './event-store.contract.ts'
import {
  batchOf,
  changesOf,
  cursorsOf,
  eventsOf,
  inOrder,
  newPlay,
  newRun,
  stateOf,
  storedBy,
} from './event-store.probe.ts'

/** The part of the contract that is about users who are forgotten. */

const NOW = Date.UTC(2024, 4, 2)
const HOUR = 3_600_000
const [ANN, BOB] = ['a0000000-6c54-4b01-90e6-d701748f0851', 'b0000000-6c54-4b01-90e6-d701748f0851'] as const

function runOf(user_id: string, date_created: number): RunifyEvent {
  return { ...newRun({ user_id }), date_created }
}

function playOf(user_id: string, date_created: number): RunifyEvent {
  return { ...newPlay({ user_id }), date_created }
}

function tombstone(user_id: string, forgotten_at: number, { offset = 0, partition = 0 } = {}) {
  return {
    partition,
    from: offset,
    next: offset + 1,
    tombstone: { offset, request_id: randomUUID(), user_id, forgotten_at },
  }
}

export function forgettingContract({ open }: StoreAdapter): void {
  test('erases what was received up to then, and nothing of others or later', async () => {
    await using place = await open()
    const { store } = place
    const runs = [runOf(ANN, NOW - 1), runOf(BOB, NOW - 1), runOf(ANN, NOW), runOf(ANN, NOW + 1)]
    const plays = [playOf(BOB, 0), playOf(ANN, -1), playOf(ANN, NOW + HOUR)]
    await store.write(batchOf(runs))
    await store.write(batchOf(plays, { partition: 2 }))
    const batch = tombstone(ANN, NOW)
    assert.equal(await store.erasure(batch.tombstone.request_id), undefined)
    await store.forget(batch)
    const left = [runs[1], runs[3], plays[0], plays[2]] as RunifyEvent[]
    const ids = (events: readonly RunifyEvent[]) => events.map(({ trace_id }) => trace_id).sort()
    const stored = [...(await eventsOf(store, 'running_stats')), ...(await eventsOf(store, 'music_info'))]
    assert.deepEqual(ids(stored), ids(left))
    assert.deepEqual(await store.counts(), { running_stats: 2, music_info: 2 })
    assert.equal(await store.event(runs[0]?.trace_id as string), undefined)

    const erasure = { ...batch.tombstone, partition: 0, erased: { running_stats: 2, music_info: 1 } }
    assert.deepEqual(await store.erasure(batch.tombstone.request_id), erasure)
    const page = await store.changes({ after: [], limit: 100 })
    assert.deepEqual(page.erasures, [erasure])
    assert.deepEqual(page.changes.map(({ event }) => event.trace_id).sort(), ids(left))
    assert.deepEqual((await store.changes({ after: page.next, limit: 100 })).erasures, [])
    assert.ok((await cursorsOf(store)).includes(`${FORGOTTEN_TOPIC}:0:1`))
  })

  test('leaves out what is written later, also by another instance, and takes what was received later', async () => {
    await using place = await open()
    const other = await place.openAgain()
    await place.store.forget(tombstone(ANN, NOW))
    await place.store.forget(tombstone(ANN, NOW - HOUR, { partition: 1 }))
    const events = [runOf(ANN, NOW), runOf(BOB, NOW), runOf(ANN, NOW + 1)]
    assert.deepEqual(await other.write(batchOf(events)), { kind: 'stored', stored: 2, repeated: 0, forgotten: 1 })
    assert.deepEqual(await cursorsOf(other), [
      `${FORGOTTEN_TOPIC}:0:1`,
      `${FORGOTTEN_TOPIC}:1:1`,
      'runify.running_stats:0:3',
    ])
    assert.equal((await other.counts()).running_stats, 2)
    assert.equal(await other.event(events[0]?.trace_id as string), undefined)
  })

  test('goes by the positions of a tombstone that has some, whatever the clocks say', async () => {
    await using place = await open()
    const { store } = place
    const [day, topic] = [24 * HOUR, 'runify.running_stats'] as const
    const runs = [NOW + day, NOW - day, NOW + day, NOW - day].map((time) => runOf(ANN, time))
    const others = [runOf(BOB, NOW - day)]
    await store.write(batchOf([...runs, ...others]))
    await store.write(batchOf([runOf(ANN, NOW - day)], { partition: 1 }))
    await store.write(batchOf([playOf(ANN, NOW - day)], { partition: 0 }))
    const batch = tombstone(ANN, NOW)
    const positions = [
      { topic, partition: 0, next: 3 },
      { topic, partition: 2, next: 2 },
    ]
    assert.deepEqual(await store.held({ user_id: ANN, before: positions }), [
      { type: 'running_stats', partition: 0, events: 3, first: NOW - day, last: NOW + day },
    ])
    await store.forget({ ...batch, tombstone: { ...batch.tombstone, positions } })
    assert.deepEqual(await store.counts(), { running_stats: 3, music_info: 1 })
    const { request_id } = batch.tombstone
    assert.deepEqual((await store.erasure(request_id))?.erased, { running_stats: 3, music_info: 0 })
    assert.deepEqual(
      (await store.erasedEvents({ request_id, limit: 10 })).map(({ partition, offset }) => [partition, offset]),
      [0, 1, 2].map((offset) => [0, offset]),
    )

    // One that names less takes nothing back; and a partition that comes later was empty then.
    const less = tombstone(ANN, NOW, { offset: 1 })
    await store.forget({ ...less, tombstone: { ...less.tombstone, positions: [{ topic, partition: 2, next: 1 }] } })
    const other = await place.openAgain()
    const late = [runOf(ANN, NOW + day), runOf(ANN, NOW + day), runOf(ANN, NOW - day), runOf(BOB, NOW - day)]
    assert.deepEqual(await other.write(batchOf(late, { partition: 2 })), {
      kind: 'stored',
      stored: 2,
      repeated: 0,
      forgotten: 2,
    })
    assert.equal((await other.event(late[2]?.trace_id as string))?.offset, 2)
    const after = { from: 5, partition: 0 }
    assert.equal((await other.write(batchOf([runOf(ANN, NOW - day)], after))).kind, 'stored')
    assert.equal((await other.counts()).running_stats, 6)
    await other.clear()
    assert.deepEqual(await other.write(batchOf(runs)), { kind: 'stored', stored: 4, repeated: 0 })
  })

  test('knows what was erased by its place and hour, and not of whom it was', async () => {
    await using place = await open()
    const { store } = place
    const runs = [-1, 0, HOUR - 1, HOUR].map((time) => runOf(ANN, time))
    await store.write(batchOf(runs))
    await store.write(batchOf([playOf(ANN, 5 * HOUR)], { partition: 3 }))
    const batch = tombstone(ANN, NOW)
    await store.forget(batch)
    const { request_id } = batch.tombstone
    const expected = runs.map(({ type, trace_id }, offset) => {
      return {
        type,
        partition: 0,
        offset,
        hour: [-1, 0, 0, 1][offset],
        fingerprint: Number.parseInt(trace_id.slice(-12), 16),
      }
    })
    const erased = await store.erasedEvents({ request_id, limit: 100 })
    assert.deepEqual(erased.slice(1), expected)
    assert.deepEqual([erased[0]?.type, erased[0]?.partition, erased[0]?.hour], ['music_info', 3, 5])
    const paged = []
    for (let page = await store.erasedEvents({ request_id, limit: 2 }); page.length > 0; ) {
      paged.push(...page)
      page = await store.erasedEvents({ request_id, after: page.at(-1), limit: 2 })
    }
    assert.deepEqual(paged, erased)
    assert.deepEqual(await store.erasedEvents({ request_id: randomUUID(), limit: 100 }), [])
  })

  test('says what it holds of a user, from places in the log on', async () => {
    await using place = await open()
    const { store } = place
    await store.write(batchOf([runOf(ANN, 5), runOf(BOB, 1), runOf(ANN, 7), runOf(ANN, 9)]))
    await store.write(batchOf([playOf(ANN, 6)], { partition: 1 }))
    const [runs, plays] = ['runify.running_stats', 'runify.music_info'] as const
    assert.deepEqual(await store.held({ user_id: ANN, until: 8 }), [
      { type: 'running_stats', partition: 0, events: 2, first: 5, last: 7 },
      { type: 'music_info', partition: 1, events: 1, first: 6, last: 6 },
    ])
    const from = [
      { topic: runs, partition: 0, next: 1 },
      { topic: plays, partition: 1, next: 1 },
    ]
    assert.deepEqual(await store.held({ user_id: ANN, until: 8, from }), [
      { type: 'running_stats', partition: 0, events: 1, first: 7, last: 7 },
    ])
    assert.deepEqual(await store.held({ user_id: randomUUID(), until: 8 }), [])
  })

  test("gives a user's events of all types with their places, page by page", async () => {
    await using place = await open()
    const { store } = place
    const runs = batchOf([runOf(ANN, 3), runOf(BOB, 1), runOf(ANN, 2), runOf(ANN, 2)])
    const plays = batchOf([playOf(ANN, 1), playOf(ANN, 9)], { partition: 1 })
    for (const batch of [runs, plays]) await store.write(batch)
    const mine = [...storedBy(runs), ...storedBy(plays)].filter(({ event }) => event.fields.user_id === ANN)
    for (const limit of [1, 2, 3, 4, 5, 6]) {
      const found: StoredEvent[] = []
      for (let after: UserPlace | undefined; ; ) {
        const page = await store.userEvents({ user_id: ANN, after, limit })
        assert.ok(page.length <= limit)
        found.push(...page)
        const last = page.at(-1)
        if (last === undefined) break
        after = userPlaceOf(last)
      }
      assert.deepEqual(inOrder(found), inOrder(mine))
    }
  })

  test('changes nothing when a tombstone comes again, and refuses one behind its cursor', async () => {
    await using place = await open()
    const { store } = place
    await store.write(batchOf([runOf(ANN, NOW)]))
    const batch = tombstone(ANN, NOW)
    await store.forget(batch)
    await store.write(batchOf([runOf(ANN, NOW + 1)], { from: 1 }))
    const before = await stateOf(store)
    await store.forget(batch)
    await store.forget({ ...tombstone(ANN, NOW + 5), from: 0, next: 1 })
    assert.deepEqual(await stateOf(store), before)
    await assert.rejects(store.forget(tombstone(BOB, NOW, { offset: 2 })), (error) =>
      isFailure(error, 'position_conflict'),
    )
    await store.forget({ partition: 0, from: 1, next: 5, tombstone: undefined })
    await store.forget({ ...tombstone(BOB, NOW, { offset: 7 }), from: 5 })
    assert.ok((await cursorsOf(store)).includes(`${FORGOTTEN_TOPIC}:0:8`))
  })

  test('erases some thousands of events, by several instances at once, each once', async () => {
    await using place = await open()
    const { store } = place
    const events = Array.from({ length: 4500 }, (_, i) => runOf(i % 3 === 0 ? BOB : ANN, NOW))
    await store.write(batchOf(events))
    const batch = tombstone(ANN, NOW)
    await Promise.all([store, await place.openAgain(), await place.openAgain()].map((its) => its.forget(batch)))
    assert.equal((await store.counts()).running_stats, 1500)
    assert.equal((await eventsOf(store, 'running_stats')).length, 1500)
    assert.deepEqual((await store.erasure(batch.tombstone.request_id))?.erased, { running_stats: 3000, music_info: 0 })
  })

  test('forgets who was forgotten when it is cleared', async () => {
    await using place = await open()
    const { store } = place
    const batch = tombstone(ANN, NOW)
    await store.forget(batch)
    await store.clear()
    assert.deepEqual(await store.cursors(), [])
    assert.equal(await store.erasure(batch.tombstone.request_id), undefined)
    assert.deepEqual(await store.write(batchOf([runOf(ANN, NOW)])), { kind: 'stored', stored: 1, repeated: 0 })
    await store.forget(batch)
    assert.equal((await store.counts()).running_stats, 0)
  })

  test('stores nothing of a forgotten user, whatever is written while it is forgotten', async () => {
    const anyBatch = fc.record({
      partition: fc.nat(1),
      users: fc.array(fc.constantFrom(ANN, BOB), { minLength: 1, maxLength: 8 }),
    })
    const property = fc.asyncProperty(fc.array(anyBatch, { minLength: 1, maxLength: 12 }), async (batches) => {
      await using place = await open()
      const other = await place.openAgain()
      const ends = [0, 0]
      const write = async (stores: readonly EventStore[]) => {
        for (const [index, { partition, users }] of batches.entries()) {
          const from = ends[partition] as number
          ends[partition] = from + users.length
          const events = users.map((user) => runOf(user, NOW))
          await stores[index % stores.length]?.write(batchOf(events, { from, partition }))
        }
      }
      await Promise.all([write([place.store, other]), other.forget(tombstone(ANN, NOW))])
      const left = batches.flatMap(({ users }) => users).filter((user) => user === BOB).length
      const stored = await eventsOf(place.store, 'running_stats')
      assert.deepEqual([stored.length, (await place.store.counts()).running_stats], [left, left])
      assert.ok(stored.every(({ fields }) => fields.user_id === BOB))
    })
    await fc.assert(property, { numRuns: 8 })
  })

  test('tells a reader of changes of an erasure before it goes on: what it had is what was erased below its place', async () => {
    await using place = await open()
    const other = await place.openAgain()
    const had = new Set<string>()
    const placeOf = (type: string, partition: number, offset: number) => `${type} ${partition} ${offset}`
    let at: Cursors = []
    let done = false
    const writing = (async () => {
      for (let i = 0; i < 12; i++) {
        const events = Array.from({ length: 40 }, (_, n) => runOf(n % 2 === 0 ? ANN : BOB, NOW + i))
        await other.write(batchOf(events, { from: 40 * i }))
        if (i % 4 === 3) await other.forget(tombstone(ANN, NOW + i, { offset: (i - 3) / 4 }))
      }
      done = true
    })()
    for (let last = false; !last; ) {
      last = done
      const { changes, erasures, next } = await place.store.changes({ after: at, limit: 30 })
      for (const { request_id } of erasures) {
        for (const { type, partition, offset } of await place.store.erasedEvents({ request_id, limit: 10_000 })) {
          const below = offset < (at.find(({ topic }) => topic === 'runify.running_stats')?.next ?? 0)
          assert.equal(had.delete(placeOf(type, partition, offset)), below, `${offset}`)
        }
      }
      for (const { partition, offset, event } of changes) had.add(placeOf(event.type, partition, offset))
      if (changes.length === 0 && !done) last = false
      at = next
      await new Promise((resolve) => setImmediate(resolve))
    }
    await writing
    for (const { partition, offset, event } of await changesOf(place.store, { after: at, limit: 100 })) {
      had.add(placeOf(event.type, partition, offset))
    }
    const left = await changesOf(place.store, { limit: 100 })
    assert.deepEqual(
      [...had].sort(),
      left.map(({ partition, offset, event }) => placeOf(event.type, partition, offset)).sort(),
    )
    assert.equal(left.length, 240)
  })
}
