import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { RunifyEvent } from '../../events/catalogue.ts'
import type { OpenedStore, StoreAdapter } from './event-store.contract.ts'
import {
  batchOf,
  byTraceId,
  changesOf,
  cursorsOf,
  eventsOf,
  newPlay,
  newRun,
  refusedOf,
  stateOf,
  storedBy,
  topicOf,
} from './event-store.probe.ts'

/** The part of the contract that is about what events say: told apart when they come again, and kept exactly. */

const RUNS = topicOf('running_stats')
const PLAYS = topicOf('music_info')

export function repeatContract({ open }: StoreAdapter): void {
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
    const batch = batchOf(other, { from: 2 })
    assert.deepEqual(
      refusedOf(await store.write(batch)),
      [3, 5].map((offset) => [offset, 'conflict']),
    )
    assert.deepEqual(await stateOf(store), before)

    const rest = { ...batch, events: batch.events.filter(({ offset }) => offset !== 3 && offset !== 5) }
    assert.deepEqual(await store.write(rest), { kind: 'stored', stored: 2, repeated: 0 })
    assert.deepEqual(await cursorsOf(store), [`${RUNS}:0:6`])
    assert.deepEqual(await store.event(first.trace_id), { partition: 0, offset: 0, event: first })
  })

  test('sees a conflict between two events of one batch', async () => {
    await using place = await open()
    const event = newRun({ duration: 0.1 + 0.2 })
    const other = newRun({ ...event.fields, duration: 0.3 }, event.trace_id)
    assert.deepEqual(
      refusedOf(await place.store.write(batchOf([newRun(), event, other]))),
      [2].map((offset) => [offset, 'conflict']),
    )
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
      others.map((change) => newPlay({ ...event.fields, ...change }, event.trace_id)),
      { from: 1 },
    )
    assert.deepEqual(
      refusedOf(await store.write(batch)),
      [1, 2, 3, 4, 5, 6].map((offset) => [offset, 'conflict']),
    )
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

export function refusalContract({ open }: StoreAdapter): void {
  test('names what the database itself refuses, and takes the thousands around it', async () => {
    await using place = await open()
    const { store } = place
    await place.refuseSong('refuse me')
    const [bad, twin, good] = [newPlay({ song_name: 'refuse me' }), newPlay(), newPlay()]
    const events = Array.from({ length: 3000 }, () => newPlay())
    for (const offset of [0, 1, 77, 1500, 2999]) events[offset] = { ...bad, trace_id: randomUUID() }
    await store.write(batchOf([good]))
    const conflicting = { ...good, fields: { ...good.fields, artist: 'another' } }
    const batch = batchOf([...events, twin, good, conflicting], { from: 1 })
    const outcome = await store.write(batch)
    assert.deepEqual(refusedOf(outcome), [
      ...[1, 2, 78, 1501, 3000].map((offset) => [offset, 'unstorable']),
      [3003, 'conflict'],
    ])
    assert.ok(outcome.kind === 'refused' && outcome.events.every(({ detail }) => detail.length > 10))
    assert.equal((await store.counts()).music_info, 1, 'nothing of the batch is in')

    const refused = new Set(refusedOf(outcome).map(([offset]) => offset))
    const rest = { ...batch, events: batch.events.filter(({ offset }) => !refused.has(offset)) }
    assert.deepEqual(await store.write(rest), { kind: 'stored', stored: 2996, repeated: 1 })
    assert.deepEqual(await cursorsOf(store), [`${PLAYS}:0:3004`])
  })

  test('refuses, without an end, only what is alone refused', async () => {
    await using place = await open()
    await place.refuseSong('refuse me')
    const events = Array.from({ length: 9 }, () => newPlay({ song_name: 'refuse me' }))
    const outcome = await place.store.write(batchOf(events))
    assert.deepEqual(
      refusedOf(outcome),
      events.map((_, offset) => [offset, 'unstorable']),
    )
    assert.deepEqual(await place.store.cursors(), [])
  })
}

export function valueContract({ open }: StoreAdapter): void {
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
  async function assertKept({ store, openAgain }: OpenedStore, events: RunifyEvent[]): Promise<void> {
    const { type } = events[0] as RunifyEvent
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
