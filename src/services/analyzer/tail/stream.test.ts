import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { CATALOGUE, EVENT_TYPES, type EventType, type RunifyEvent } from '../../../events/catalogue.ts'
import { encodeEvent } from '../../../events/codec.ts'
import { EmbeddedLog } from '../../../log/embedded/embedded-log.ts'
import { within } from '../../../log/testing/event-log.probe.ts'
import { LiveLog } from './live-log.ts'
import { parseTailPosition } from './position.ts'
import { streamTail, type TailOptions } from './stream.ts'

const USERS = ['d290f1ee-6c54-4b01-90e6-d701748f0851', '2f3c1a52-0d0e-4a7e-9c5a-5b5c0d2b7d11']
const LIVE_BYTES = 1024 * 1024

/** One piece of the stream: a comment, an id alone, or an event. */
type Piece = { event?: string; data?: Record<string, unknown>; id?: string; comment?: string }
type Place = { log: EmbeddedLog; live: LiveLog }

describe('A tail', () => {
  test('gives every event once, in the order of each partition, however often its client reconnects', async () => {
    const anyRun = fc.record({
      partitions: fc.constantFrom(1, 3),
      before: fc.nat(30),
      // How many events come while a client is connected, and how many of what there is it takes before it is gone.
      visits: fc.array(fc.record({ appended: fc.nat(20), taken: fc.nat(15) }), { maxLength: 6 }),
      type: fc.constantFrom(...EVENT_TYPES, undefined),
    })
    const property = fc.asyncProperty(anyRun, async ({ partitions, before, visits, type }) => {
      await using place = await openPlace({ partitions })
      const types = type === undefined ? EVENT_TYPES : [type]
      const sent: string[] = []
      const send = async (count: number) => sent.push(...(await append(place.log, count, types)))
      await send(before)
      const seen: Piece[] = []
      let id = types.map((one) => `${one}:0`).join(',')
      for (const { appended, taken } of visits) {
        const pieces = tailOf(place, { types, after: parseTailPosition(id) })
        await pieces.next()
        await send(appended)
        for (let i = 0; i < Math.min(taken, sent.length - seen.length); i++) seen.push(await nextEvent(pieces))
        id = seen.at(-1)?.id ?? id
        await pieces.return(undefined)
      }
      const rest = tailOf(place, { types, after: parseTailPosition(id) })
      while (seen.length < sent.length) seen.push(await nextEvent(rest))
      await rest.return(undefined)
      assert.deepEqual(seen.map(({ data }) => data?.trace_id).sort(), sent.sort())
      for (const some of Map.groupBy(seen, ({ data }) => `${data?.type}:${data?.partition}`).values()) {
        const offsets = some.map(({ data }) => data?.offset)
        assert.deepEqual(offsets, [...offsets.keys()])
      }
    })
    await fc.assert(property, { numRuns: 25 })
  })

  test('begins at the end of the log, and gives what comes then', async () => {
    await using place = await openPlace()
    await append(place.log, 3)
    const pieces = tailOf(place)
    assert.equal((await pieces.next()).value?.id, 'running_stats:3,music_info:0')
    const [id] = await append(place.log, 1)
    assert.equal((await nextEvent(pieces)).data?.trace_id, id)
    await pieces.return(undefined)
  })

  test('gives the events of one user, and a position that goes on while others send', async () => {
    await using place = await openPlace()
    const pieces = tailOf(place, { userId: USERS[1], heartbeatMs: 20 })
    await pieces.next()
    await append(place.log, 8)
    let events = 0
    // The last may be the other user's: then only a comment tells that it went by.
    for (let piece = await next(pieces); piece.id !== 'running_stats:8,music_info:0'; piece = await next(pieces)) {
      if (piece.event === undefined) continue
      assert.equal(piece.data?.user_id, USERS[1])
      events++
    }
    assert.ok(events === 3 || events === 4)
    let quiet = await next(pieces)
    while (quiet.event !== undefined) quiet = await next(pieces)
    assert.deepEqual(quiet, { comment: 'nothing new', id: 'running_stats:8,music_info:0' })
    await pieces.return(undefined)
  })

  test('tells a slow reader what it has missed, holds no more for it, and goes on with the newest', async () => {
    await using place = await openPlace({ bytesMax: 20_000 })
    let missed = 0
    const told = (what: { missed?: number }) => (missed += what.missed ?? 0)
    const slow = tailOf(place, { told })
    const fast = tailOf(place)
    await Promise.all([slow.next(), fast.next()])
    const sent = await append(place.log, 20)
    const first = await nextEvent(slow)
    for (let i = 0; i < 100; i++) sent.push(...(await append(place.log, 20)))
    // Others are not held up: they get the last of them while the slow one stands still.
    while ((await nextEvent(fast)).data?.trace_id !== sent.at(-1));
    // It has got what had been written to it before it stood still.
    const seen = [first]
    let piece = await nextEvent(slow)
    for (; piece.event !== 'missed'; piece = await nextEvent(slow)) seen.push(piece)
    const { why, records, partitions } = piece.data as { why: string; records: number; partitions: unknown[] }
    const [from, to] = [seen.length, seen.length + records]
    assert.deepEqual([why, partitions], ['slow', [{ type: 'running_stats', partition: 0, from, to }]])
    assert.equal(missed, records)
    assert.ok(records > 1000)
    assert.equal(piece.id, `running_stats:${to},music_info:0`)
    assert.equal((await nextEvent(slow)).data?.trace_id, sent[to])
    await Promise.all([slow.return(undefined), fast.return(undefined)])
  })

  test('tells what retention has removed behind its position, and goes on with what is left', async () => {
    await using place = await openPlace()
    const sent = await append(place.log, 10)
    await place.log.deleteBefore({ topic: CATALOGUE.running_stats.topic, partition: 0, offset: 4 })
    const pieces = tailOf(place, { after: { running_stats: [1] } })
    await pieces.next()
    const { event, data } = await nextEvent(pieces)
    assert.deepEqual([event, data?.why, data?.records], ['missed', 'removed', 3])
    assert.equal((await nextEvent(pieces)).data?.trace_id, sent[4])
    await pieces.return(undefined)
  })

  test('tells a record that is no event as such', async () => {
    await using place = await openPlace()
    const pieces = tailOf(place)
    await pieces.next()
    await place.log.append([
      { topic: CATALOGUE.music_info.topic, key: 'a', value: Buffer.from('\n\ndata: forged\n\n') },
    ])
    const { event, data } = await nextEvent(pieces)
    assert.deepEqual([event, data?.type, data?.offset], ['undecodable', 'music_info', 0])
    await pieces.return(undefined)
  })

  test('ends behind as many events as it was asked for, when its client goes, and when the service stops', async () => {
    await using place = await openPlace()
    await append(place.log, 5)
    const limited = tailOf(place, { after: { running_stats: [0] }, limit: 2 })
    await limited.next()
    const both = [await nextEvent(limited), await nextEvent(limited)]
    assert.deepEqual(
      both.map(({ data }) => data?.offset),
      [0, 1],
    )
    assert.equal((await limited.next()).done, true)
    const client = new AbortController()
    const waits = [tailOf(place, { signal: client.signal }), tailOf(place)]
    await Promise.all(waits.map((pieces) => pieces.next()))
    const ends = waits.map((pieces) => pieces.next())
    client.abort()
    assert.equal((await within(ends[0] as Promise<IteratorResult<Piece>>, 'the first ends')).done, true)
    place.live.close()
    assert.equal((await within(ends[1] as Promise<IteratorResult<Piece>>, 'the other ends')).done, true)
  })
})

async function openPlace({ partitions = 1, bytesMax = LIVE_BYTES } = {}): Promise<Place & AsyncDisposable> {
  await using opened = new AsyncDisposableStack()
  const { path: dir } = opened.use(await mkdtempDisposable(join(tmpdir(), 'runify-')))
  const log = opened.use(new EmbeddedLog({ dir, partitions }))
  const live = new LiveLog({ log, bytesMax, failed: (error) => assert.fail(String(error)) })
  opened.defer(() => live.close())
  const all = opened.move()
  return { log, live, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

async function* tailOf({ log, live }: Place, options: Partial<TailOptions> = {}): AsyncGenerator<Piece> {
  const { signal } = new AbortController()
  const text = streamTail({ log, live, types: EVENT_TYPES, heartbeatMs: 60_000, signal, told: () => {}, ...options })
  for await (const chunk of text) yield* chunk.split('\n\n').filter(Boolean).map(readPiece)
}

function readPiece(text: string): Piece {
  const piece: Piece = {}
  for (const line of text.split('\n')) {
    const [, name, value = ''] = /^(\w*): (.*)$/.exec(line) ?? assert.fail(line)
    if (name === 'data') piece.data = JSON.parse(value) as Record<string, unknown>
    else if (name === 'id' || name === 'event') piece[name] = value
    else if (name === '') piece.comment = value
  }
  return piece
}

async function next(pieces: AsyncGenerator<Piece>): Promise<Piece> {
  const { value, done } = await within(pieces.next(), 'something comes')
  assert.ok(!done, 'the stream has ended')
  return value
}

async function nextEvent(pieces: AsyncGenerator<Piece>): Promise<Piece> {
  for (;;) {
    const piece = await next(pieces)
    if (piece.event !== undefined) return piece
  }
}

let made = 0

/** Of all users and types in turn; resolves to their trace_ids. */
async function append(
  log: EmbeddedLog,
  count: number,
  types: readonly EventType[] = ['running_stats'],
): Promise<string[]> {
  const events = Array.from({ length: count }, () => makeEvent(types[made % types.length] as EventType, made++))
  await log.append(
    events.map((event) => ({
      topic: CATALOGUE[event.type].topic,
      key: event.fields.user_id,
      value: encodeEvent(event),
    })),
  )
  return events.map(({ trace_id }) => trace_id)
}

function makeEvent(type: EventType, n: number): RunifyEvent {
  const trace_id = `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
  const fields = { ...CATALOGUE[type].example, user_id: USERS[(n >> 1) % 2], timestamp: 0 }
  return { type, trace_id, date_created: 0, fields } as unknown as RunifyEvent
}
