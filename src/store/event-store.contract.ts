import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { isFailure } from '../errors.ts'
import {
  batchOf,
  changesOf,
  eventsOf,
  inOrder,
  newPlay,
  newRun,
  newRuns,
  storedBy,
  topicOf,
  watchWholeBatches,
} from './event-store.probe.ts'
import type { EventStore } from './event-store.ts'
import { changesContract, pageContract } from './event-store-reading.contract.ts'

/** A store in a fresh place. Disposing of it closes every instance of the place and removes what is in it. */
export type OpenedStore = AsyncDisposable & {
  store: EventStore
  /** Another instance on the same place. Those opened before stay open until they are closed. */
  openAgain(): Promise<EventStore>
}

export type StoreAdapter = { name: string; open(): Promise<OpenedStore> }

/** What every event store does, whatever it is made of. */
export function eventStoreContract(adapter: StoreAdapter): void {
  describe(`event store: ${adapter.name}`, () => {
    describe('write', () => writeContract(adapter))
    describe('repeats and conflicts', () => repeatContract(adapter))
    describe('values', () => valueContract(adapter))
    describe('page', () => pageContract(adapter))
    describe('changes', () => changesContract(adapter))
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
    assert.deepEqual(await store.changes({ after: [], limit: 10 }), { changes: [], next: [], complete: true })
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
    const buried = newRun({ ...event.fields, distance: 2 } as object, event.trace_id)
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

function repeatContract({ open }: StoreAdapter): void {
  test('stores an event once that comes again: in its batch, in another one, in another partition', async () => {
    await using place = await open()
    const { store } = place
    const event = newPlay({ event_id: 'e1' })
    const again = { ...event, date_created: event.date_created + 5000 }
    assert.deepEqual(await store.write(batchOf([event, again])), { kind: 'stored', stored: 1, repeated: 1 })
    assert.deepEqual(await store.write(batchOf([newPlay(), again], { from: 2 })), {
      kind: 'stored',
      stored: 1,
      repeated: 1,
    })
    assert.deepEqual(await store.write(batchOf([again], { partition: 1 })), { kind: 'stored', stored: 0, repeated: 1 })
    assert.deepEqual(await store.event(event.trace_id), { partition: 0, offset: 0, event })
    assert.deepEqual(await cursorsOf(store), [`${PLAYS}:0:4`, `${PLAYS}:1:1`])
    assert.equal((await store.counts()).music_info, 2)
    assert.equal((await changesOf(store, { limit: 1 })).length, 2)
  })

  test('writes nothing of a batch with conflicts, and names their offsets', async () => {
    await using place = await open()
    const { store } = place
    const [first, second] = [newRun({ distance: 1 }), newRun({ event_id: 'e' })]
    await store.write(batchOf([first, second]))
    const before = await stateOf(store)
    const { event_id: _, ...withoutId } = second.fields
    const other = [
      newRun(),
      { ...first, fields: { ...first.fields, distance: 2 } },
      newRun(),
      { ...second, fields: withoutId },
    ]
    const batch = batchOf(other as (typeof first)[], { from: 2 })
    assert.deepEqual(await store.write(batch), { kind: 'conflicts', offsets: [3, 5] })
    assert.deepEqual(await stateOf(store), before)

    const rest = { ...batch, events: batch.events.filter(({ offset }) => offset !== 3 && offset !== 5) }
    assert.deepEqual(await store.write(rest), { kind: 'stored', stored: 2, repeated: 0 })
    assert.deepEqual(await cursorsOf(store), [`${RUNS}:0:6`])
    assert.deepEqual(await store.event(first.trace_id), { partition: 0, offset: 0, event: first })
  })

  test('sees a conflict between two events of one batch', async () => {
    await using place = await open()
    const event = newRun({ duration: 0.1 + 0.2 })
    const other = newRun({ ...event.fields, duration: 0.3 } as object, event.trace_id)
    assert.deepEqual(await place.store.write(batchOf([newRun(), event, other])), { kind: 'conflicts', offsets: [2] })
    assert.deepEqual(await place.store.cursors(), [])
    assert.deepEqual(await place.store.write(batchOf([newRun(), event])), { kind: 'stored', stored: 2, repeated: 0 })
  })

  test('sees texts as other content that only look or sort alike', async () => {
    await using place = await open()
    const { store } = place
    const event = newPlay({ song_name: 'Café', artist: 'a' })
    await store.write(batchOf([event]))
    const others = [
      { song_name: 'Cafe\u0301' },
      { song_name: 'CAFÉ' },
      { song_name: 'Cafe' },
      { artist: 'a ' },
      { artist: 'A' },
      { artist: 'a\0' },
    ]
    const batch = batchOf(
      others.map((change) => newPlay({ ...event.fields, ...change } as object, event.trace_id)),
      { from: 1 },
    )
    assert.deepEqual(await store.write(batch), { kind: 'conflicts', offsets: [1, 2, 3, 4, 5, 6] })
  })

  test('takes trace ids for 16 bytes, however they are written', async () => {
    await using place = await open()
    const { store } = place
    const event = newRun({}, 'abcdefab-cdef-4abc-8def-abcdefabcdef')
    await store.write(batchOf([event]))
    const upper = { ...event, trace_id: event.trace_id.toUpperCase() }
    assert.deepEqual(await store.write(batchOf([upper], { from: 1 })), { kind: 'stored', stored: 0, repeated: 1 })
    assert.deepEqual(await store.event(upper.trace_id), { partition: 0, offset: 0, event })
  })
}

function valueContract({ open }: StoreAdapter): void {
  test('keeps text of any script, to the code point', async () => {
    await using place = await open()
    const texts = [
      '\0',
      'a\0b\0',
      ' ',
      '  leading and trailing  ',
      '\t\r\n\u2028',
      '😀',
      '👩‍👩‍👧‍👦🏳️‍🌈',
      '𝄞'.repeat(512),
      '\u{10ffff}\uffff\ufffd\ufeff',
      'שלום עולם',
      '\u202emal\u202c',
      'مرحبا',
      '日本語の曲',
      'e\u0301',
      '\u00e9',
      `'"\`\\%_;--`,
      'NULL',
    ]
    await assertKept(
      place,
      texts.flatMap((text) => [newPlay({ song_name: text, artist: text }), newPlay({ event_id: text.slice(0, 64) })]),
    )
  })

  test('keeps doubles exactly', async () => {
    await using place = await open()
    const numbers = [0, 5e-324, 2.2250738585072014e-308, 0.1, 0.1 + 0.2, 1 / 3, 1, 4689.24, 9_999_999.999_999_998, 1e7]
    const durations = [31_536_000, 31_535_999.999_999_996, 1e-7, 86_400]
    await assertKept(place, [
      ...numbers.map((distance) => newRun({ distance })),
      ...durations.map((duration) => newRun({ duration })),
    ])
  })

  test('keeps instants to the millisecond, from the year 0000 to 9999', async () => {
    await using place = await open()
    const instants = [
      '0000-01-01T00:00:00.000Z',
      '0000-02-29T12:34:56.789Z',
      '0099-12-31T23:59:59.999Z',
      '1582-10-10T00:00:00.001Z',
      '1969-12-31T23:59:59.999Z',
      '1970-01-01T00:00:00.000Z',
      '2038-01-19T03:14:08.001Z',
      '9999-12-31T23:59:59.999Z',
    ].map((text) => Date.parse(text))
    const events = instants.flatMap((instant) => [
      newRun({ timestamp: instant }),
      { ...newRun(), date_created: instant },
    ])
    await assertKept(place, events)
  })

  test('keeps an event with its event_id and without', async () => {
    await using place = await open()
    await assertKept(place, [newRun({ event_id: 'e' }), newRun(), newRun({ event_id: '😀'.repeat(128) })])
  })

  /** Whether the events come back as they are from every method, now and after opening the store again. */
  async function assertKept({ store, openAgain }: OpenedStore, events: ReturnType<typeof newRun>[]): Promise<void> {
    const { type } = events[0] as (typeof events)[number]
    const batch = batchOf(events)
    await store.write(batch)
    for (const some of [store, await openAgain()]) {
      assert.deepEqual(await changesOf(some, { limit: 7 }), storedBy(batch))
      assert.deepEqual(byTraceId(await eventsOf(some, type)), byTraceId(events))
      for (const event of events) assert.deepEqual((await some.event(event.trace_id))?.event, event)
      // Written again, all are repeats: what is kept compares equal too.
      const again = batchOf(events, { from: (await some.cursors())[0]?.next ?? 0 })
      assert.deepEqual(await some.write(again), { kind: 'stored', stored: 0, repeated: events.length })
    }
  }
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

/** All that a store says of what it holds. */
async function stateOf(store: EventStore) {
  return {
    cursors: await cursorsOf(store),
    counts: await store.counts(),
    changes: inOrder(await changesOf(store, { limit: 1000 })),
    runs: await eventsOf(store, 'running_stats'),
    plays: await eventsOf(store, 'music_info'),
  }
}

async function cursorsOf(store: EventStore): Promise<string[]> {
  return (await store.cursors()).map(({ topic, partition, next }) => `${topic}:${partition}:${next}`).sort()
}

function byTraceId<T extends { trace_id: string }>(events: readonly T[]): T[] {
  return events.toSorted((a, b) => (a.trace_id < b.trace_id ? -1 : 1))
}
