import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { fieldsOf, type RunifyEvent } from '../../events/catalogue.ts'
import { toWire } from '../../events/codec.ts'
import { anyEvent } from '../../events/testing/event.arbitrary.ts'
import { type Cursors, nextOf } from '../../log/position.ts'
import type { EventStore, PageQuery, StoreBatch, TextPage } from '../event-store.ts'
import type { StoreAdapter } from './event-store.contract.ts'
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
} from './event-store.probe.ts'

/** The part of the contract that is about pages of a range and the feed of changes. */

export function pageContract({ open }: StoreAdapter): void {
  test('gives the events of a range of time: its beginning is in it, its end is not', async () => {
    await using place = await open()
    const times = [-1, 0, 1, 2, 3]
    const events = times.map((timestamp) => newRun({ timestamp }))
    await place.store.write(batchOf(events))
    const timesOf = async (range: { from?: number; to?: number }) => {
      const found = await place.store.page({
        type: 'running_stats',
        by: 'timestamp',
        order: 'asc',
        limit: 100,
        ...range,
      })
      return found.map(({ fields }) => fields.timestamp)
    }
    assert.deepEqual(await timesOf({}), times)
    assert.deepEqual(await timesOf({ from: 0 }), [0, 1, 2, 3])
    assert.deepEqual(await timesOf({ to: 2 }), [-1, 0, 1])
    assert.deepEqual(await timesOf({ from: 0, to: 2 }), [0, 1])
    assert.deepEqual(await timesOf({ from: 2, to: 2 }), [])
    assert.deepEqual(await timesOf({ from: 3, to: 0 }), [])
  })

  test('orders events of one time by the bytes of their trace_id', async () => {
    await using place = await open()
    const ids = [
      '00000000-0000-0000-0000-000000000000',
      '00000000-0000-0000-0000-000000000001',
      '0a000000-0000-0000-0000-000000000000',
      '7fffffff-ffff-ffff-ffff-ffffffffffff',
      '80000000-0000-0000-0000-000000000000',
      'a0000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
    ]
    await place.store.write(batchOf([3, 6, 0, 5, 1, 4, 2].map((i) => newRun({ timestamp: 5 }, ids[i] as string))))
    for (const order of ['asc', 'desc'] as const) {
      const found = await place.store.page({ type: 'running_stats', by: 'timestamp', order, limit: 100 })
      assert.deepEqual(
        found.map(({ trace_id }) => trace_id),
        order === 'asc' ? ids : ids.toReversed(),
      )
    }
  })

  test('gives no event of another type or user', async () => {
    await using place = await open()
    const [user_id, other] = [randomUUID(), randomUUID()]
    const mine = newRun({ user_id })
    await place.store.write(batchOf([mine, newRun({ user_id: other })]))
    await place.store.write(batchOf([newPlay({ user_id })]))
    const query = { type: 'running_stats', by: 'timestamp', order: 'asc', limit: 100 } as const
    assert.deepEqual(await place.store.page({ ...query, user_id }), [mine])
    assert.deepEqual(await place.store.page({ ...query, user_id: user_id.toUpperCase() }), [mine])
    assert.deepEqual(await place.store.page({ ...query, user_id: randomUUID() }), [])
  })

  test('gives, page by page, just what filtering and sorting everything would give', async () => {
    const users = [randomUUID(), randomUUID(), randomUUID()]
    // Few times, so that many events share one and pages end in the middle of it.
    const times = [-62_167_219_200_000, -1, 0, 1, 1_700_000_000_000, 253_402_300_799_999]
    const anyTime = fc.constantFrom(...times)
    const anyRun = anyEvent('running_stats', {
      user_id: fc.constantFrom(...users),
      timestamp: anyTime,
      date_created: anyTime,
    })
    const anyRuns = fc.uniqueArray(anyRun, { selector: ({ trace_id }) => trace_id, maxLength: 60, size: 'max' })
    const anyBound = fc.option(fc.oneof(anyTime, fc.integer({ min: -3, max: 3 })), { nil: undefined })
    const anyQuery: fc.Arbitrary<PageQuery> = fc.record({
      type: fc.constant('running_stats' as const),
      by: fc.constantFrom('timestamp', 'date_created'),
      order: fc.constantFrom('asc', 'desc'),
      from: anyBound,
      to: anyBound,
      user_id: fc.option(fc.constantFrom(...users), { nil: undefined }),
      limit: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 70 })),
    })
    const property = fc.asyncProperty(
      anyRuns,
      fc.array(anyQuery, { minLength: 20, maxLength: 20 }),
      async (events, queries) => {
        await using place = await open()
        if (events.length > 0) await place.store.write(batchOf(events))
        for (const query of queries) assert.deepEqual(await pagesOf(place.store, query), naivePage(events, query))
      },
    )
    await fc.assert(property, { numRuns: 20 })
  })

  test('ends a page of text, and one of changes, where long events have filled it, and goes on behind them', async () => {
    const long = '€'.repeat(512)
    const plays = Array.from({ length: 3000 }, (_, n) => newPlay({ song_name: long, artist: long, timestamp: n }))
    await using place = await open()
    await place.store.write(batchOf(plays))
    const query = { type: 'music_info', by: 'timestamp', order: 'asc', limit: 3000, format: 'ndjson' } as const
    let events = 0
    for (let after: PageQuery['after']; ; ) {
      const page = await place.store.textPage({ ...query, after, bytesMax: 1_000_000 })
      events += page.events
      if (page.next === undefined) break
      assert.ok(page.text.byteLength >= 1_000_000 && page.text.byteLength < 1_010_000, `${page.text.byteLength}`)
      after = page.next
    }
    assert.equal(events, plays.length)

    const offsets: number[] = []
    for (let after: Cursors = []; ; ) {
      const { changes, next, complete } = await place.store.changes({ after, limit: 10_000 })
      assert.ok(changes.length < 2700, `${changes.length} of over 3 KB in a page`)
      offsets.push(...changes.map(({ offset }) => offset))
      after = next
      if (complete) break
      assert.ok(changes.length > 2000, `${changes.length}`)
    }
    assert.deepEqual(
      offsets,
      plays.map((_, n) => n),
    )
  })

  test('gives the same as text, and the place to go on from while there is more', async () => {
    const users = [randomUUID(), randomUUID()]
    const times = [-1, 0, 1_700_000_000_000]
    const ours = { user_id: fc.constantFrom(...users), timestamp: fc.constantFrom(...times) }
    const events = [
      ...fc.sample(anyEvent('running_stats', ours), { numRuns: 30, seed: 1 }),
      newRun({ distance: -0, duration: 1e-7, timestamp: 1, event_id: '"\\\n\u2028é𝄞, ' }),
      newRun({ distance: 1e21, duration: 0.1, timestamp: 1 }),
    ]
    const plays = [newPlay({ song_name: ' \u0000\u001f"', artist: "a,b\r\n'" }), newPlay()]
    await using place = await open()
    await place.store.write(batchOf(events))
    await place.store.write(batchOf(plays))
    const query = { by: 'timestamp', order: 'asc', limit: 100 } as const
    const playTexts = await place.store.textPage({ ...query, type: 'music_info', format: 'csv' })
    const playLines = (await eventsOf(place.store, 'music_info')).map((event) => `${csvOf(event)}\r\n`)
    assert.deepEqual(textsOf(playTexts), { text: playLines.join(''), events: 2, next: undefined })
    for (const [by, order, user_id] of [
      ['timestamp', 'asc', undefined],
      ['date_created', 'desc', undefined],
      ['timestamp', 'desc', users[0]],
      ['date_created', 'asc', users[1]],
    ] as const) {
      const whole = await place.store.page({ type: 'running_stats', by, order, user_id, limit: 100 })
      for (const limit of [1, 7, whole.length, whole.length + 1]) {
        const texts: string[] = []
        for (let after: PageQuery['after']; ; ) {
          const query = { type: 'running_stats', by, order, user_id, after, limit } as const
          const page = await place.store.textPage({ ...query, format: 'ndjson' })
          const array = await place.store.textPage({ ...query, format: 'json' })
          const { text } = textsOf(page)
          assert.deepEqual(textsOf(array), { ...textsOf(page), text: `[${text.trimEnd().replaceAll('\n', ',')}]` })
          texts.push(...text.split('\n').slice(0, -1))
          const last = whole[texts.length - 1]
          if (page.next === undefined) break
          assert.deepEqual(page.next, last && { time: timeOf(last, query), trace_id: last.trace_id })
          assert.equal(page.events, limit)
          after = page.next
        }
        assert.deepEqual(
          texts,
          whole.map((event) => JSON.stringify(toWire(event))),
        )
      }
    }
  })

  test('goes on behind a place where no event is, or none any more', async () => {
    await using place = await open()
    const events = [1, 2, 2, 3].map((timestamp, i) => newRun({ timestamp }, `${i}0000000-0000-4000-8000-000000000000`))
    await place.store.write(batchOf(events))
    const query = { type: 'running_stats', by: 'timestamp', limit: 100 } as const
    const after = { time: 2, trace_id: '18000000-0000-4000-8000-000000000000' }
    assert.deepEqual(await place.store.page({ ...query, order: 'asc', after }), events.slice(2))
    assert.deepEqual(await place.store.page({ ...query, order: 'desc', after }), events.slice(0, 2).toReversed())
  })
}

export function changesContract({ open }: StoreAdapter): void {
  test('gives everything once, by offset within each partition, whatever the limit', async () => {
    await using place = await open()
    const batches = [
      batchOf(newRuns(7)),
      batchOf(newRuns(5), { partition: 1 }),
      batchOf([newPlay(), newPlay(), newPlay()]),
      batchOf(newRuns(4), { from: 7 }),
      batchOf([newPlay()], { from: 3 }),
      batchOf(newRuns(1), { partition: 10 }),
    ]
    for (const batch of batches) await place.store.write(batch)
    const expected = inOrder(batches.flatMap(storedBy))
    for (let limit = 1; limit <= expected.length + 2; limit++) {
      const found = await changesOf(place.store, { limit })
      assert.deepEqual(inOrder(found), expected)
      for (const some of Object.values(Object.groupBy(found, ({ partition, event }) => `${event.type}:${partition}`))) {
        assert.deepEqual(some, inOrder(some ?? []))
      }
    }
  })

  test('leads over offsets that hold no event, up to the cursor', async () => {
    await using place = await open()
    const { store } = place
    const batch = gappyBatch({ from: 0, next: 100, offsets: [3, 50, 51] })
    await store.write(batch)
    for (const limit of [1, 2, 3, 4, 100]) {
      assert.deepEqual(await changesOf(store, { limit }), storedBy(batch))
    }
    const { next, complete, stored } = await store.changes({ after: [], limit: 100 })
    const end = [{ topic: topicOf('running_stats'), partition: 0, next: 100 }]
    assert.deepEqual({ next, complete, stored }, { next: end, complete: true, stored: end })
    assert.deepEqual((await store.changes({ after: [], limit: 1 })).stored, end, 'also on a page that ends before')
    await store.write(gappyBatch({ from: 100, next: 200, offsets: [] }))
    await store.write(gappyBatch({ from: 200, next: 300, offsets: [299] }))
    assert.deepEqual(
      (await changesOf(store, { after: next, limit: 1 })).map(({ offset }) => offset),
      [299],
    )
  })

  test('gives what lies behind each cursor, and from the beginning of a partition that is not named', async () => {
    await using place = await open()
    const runs = topicOf('running_stats')
    await place.store.write(batchOf(newRuns(5)))
    await place.store.write(batchOf(newRuns(5), { partition: 1 }))
    const after = [{ topic: runs, partition: 0, next: 3 }]
    const found = await changesOf(place.store, { after, limit: 100 })
    assert.deepEqual(
      inOrder(found).map(({ partition, offset }) => `${partition}:${offset}`),
      ['0:3', '0:4', '1:0', '1:1', '1:2', '1:3', '1:4'],
    )
    const end = [0, 1].map((partition) => ({ topic: runs, partition, next: 5 }))
    assert.deepEqual(await changesOf(place.store, { after: end, limit: 100 }), [])
  })

  test('does not lead back a reader that is further than the store', async () => {
    await using place = await open()
    const runs = topicOf('running_stats')
    await place.store.write(batchOf(newRuns(5)))
    const ahead = [{ topic: runs, partition: 0, next: 9 }]
    assert.deepEqual(await place.store.changes({ after: ahead, limit: 10 }), {
      changes: [],
      erasures: [],
      next: ahead,
      complete: true,
      stored: [{ topic: runs, partition: 0, next: 5 }],
    })
  })

  test('leaves out no event for a reader that keeps its place, whatever is written in between', async () => {
    const anyStep = fc.oneof(
      fc.record({ partition: fc.nat({ max: 2 }), size: fc.integer({ min: 1, max: 6 }), gap: fc.nat({ max: 3 }) }),
      fc.record({ limit: fc.integer({ min: 1, max: 9 }) }),
    )
    const property = fc.asyncProperty(fc.array(anyStep, { maxLength: 40, size: 'max' }), async (steps) => {
      await using place = await open()
      const { store } = place
      const written: StoreBatch[] = []
      const seen: ReturnType<typeof storedBy> = []
      let at: Cursors = []
      const read = async (limit: number) => {
        const { changes, next, complete } = await store.changes({ after: at, limit })
        seen.push(...changes)
        at = next
        return complete
      }
      for (const step of steps) {
        if ('limit' in step) await read(step.limit)
        else {
          const { partition, size, gap } = step
          const from = nextOf(await store.cursors(), { topic: topicOf('running_stats'), partition })
          const batch = batchOf(newRuns(size), { partition, from })
          const spread = batch.events.map(({ event }, i) => ({ event, offset: from + gap + i * (gap + 1) }))
          const spreadBatch = { ...batch, events: spread, next: from + (size + 1) * (gap + 1) }
          await store.write(spreadBatch)
          written.push(spreadBatch)
        }
      }
      while (!(await read(5)));
      assert.deepEqual(inOrder(seen), inOrder(written.flatMap(storedBy)))
    })
    await fc.assert(property, { numRuns: 20 })
  })
}

/** A batch whose offsets hold an event here and there only. */
function gappyBatch({ from, next, offsets }: { from: number; next: number; offsets: number[] }): StoreBatch {
  return {
    type: 'running_stats',
    partition: 0,
    from,
    next,
    events: offsets.map((offset) => ({ offset, event: newRun() })),
  }
}

/** Every page of a query, each asked for with the place of the last event of the one before. */
async function pagesOf(store: EventStore, query: PageQuery): Promise<RunifyEvent[]> {
  const all: RunifyEvent[] = []
  for (let after: PageQuery['after']; ; ) {
    const page = await store.page({ ...query, after })
    assert.ok(page.length <= query.limit)
    all.push(...page)
    assert.ok(all.length <= 1000, 'the pages come round again')
    const last = page.at(-1)
    if (last === undefined || page.length < query.limit) return all
    after = { time: timeOf(last, query), trace_id: last.trace_id }
  }
}

function naivePage(events: readonly RunifyEvent[], query: PageQuery): RunifyEvent[] {
  const { from = -Infinity, to = Infinity, user_id } = query
  const found = events.filter((event) => {
    const time = timeOf(event, query)
    return from <= time && time < to && (user_id === undefined || event.fields.user_id === user_id)
  })
  found.sort((a, b) => timeOf(a, query) - timeOf(b, query) || (a.trace_id < b.trace_id ? -1 : 1))
  return query.order === 'asc' ? found : found.toReversed()
}

function textsOf({ text, ...page }: TextPage) {
  return { ...page, text: text.toString() }
}

/** By the rules of RFC 4180, written another way than the store does. */
function csvOf(event: RunifyEvent): string {
  const wire = toWire(event)
  const names = [...fieldsOf(event.type).map(([name]) => name), 'trace_id', 'date_created']
  return names
    .map((name) => String(wire[name] ?? ''))
    .map((value) => (/[\n\r",]/.test(value) ? `"${value.split('"').join('""')}"` : value))
    .join(',')
}

function timeOf(event: RunifyEvent, { by }: PageQuery): number {
  return by === 'timestamp' ? event.fields.timestamp : event.date_created
}
