import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type ClientRequest, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import {
  asStored,
  byEventId,
  fromNdjson,
  type Kind,
  makeEvent,
  makeMany,
  makeRun,
  toNdjson,
} from '../test-support/events.ts'
import {
  type Answer,
  getJson,
  getList,
  type Json,
  post,
  type Runify,
  settled,
  startInProcess,
} from '../test-support/harness.ts'

/** Many events in one request, events that contradict each other, and what is read back of them. */

const NDJSON = { 'content-type': 'application/x-ndjson' }
const STREAM_LINES = 20_000
/** Prime, so that the cuts fall everywhere: within lines, within characters. */
const CUT_BYTES = 65_521

describe('many events', () => {
  let runify: Runify
  before(async () => {
    runify = await startInProcess()
  })
  after(() => runify?.[Symbol.asyncDispose]())

  const send = (kind: Kind, body: unknown, headers: Record<string, string> = {}): Promise<Answer> => {
    return post(`${runify.addresses.receiver}/stats/${kind}`, body, headers)
  }
  const storedOf = async (kind: Kind, user_id: string): Promise<Json[]> => {
    await settled(runify)
    return getList(`${runify.addresses.storage}/stats/${kind}?user_id=${user_id}&limit=10000`)
  }
  const checkStored = async (kind: Kind, { user_id, events }: { user_id: string; events: Json[] }) => {
    const stored = byEventId(await storedOf(kind, user_id))
    assert.deepEqual(stored, byEventId(events.map(asStored)))
  }

  for (const kind of ['running', 'music'] as const) {
    for (const [form, encode, headers] of [
      ['a JSON array', (events: Json[]) => JSON.stringify(events), {}],
      ['a JSON array, gzip', (events: Json[]) => gzipSync(JSON.stringify(events)), { 'content-encoding': 'gzip' }],
      ['NDJSON', toNdjson, NDJSON],
      ['NDJSON, gzip', (events: Json[]) => gzipSync(toNdjson(events)), { ...NDJSON, 'content-encoding': 'gzip' }],
      [
        'NDJSON, zstd',
        (events: Json[]) => zstdCompressSync(toNdjson(events)),
        { ...NDJSON, 'content-encoding': 'zstd' },
      ],
      ['NDJSON, blank lines in it', (events: Json[]) => toNdjson(events).replaceAll('\n', '\r\n\r\n \r\n'), NDJSON],
      ['NDJSON, no last newline', (events: Json[]) => toNdjson(events).trimEnd(), NDJSON],
    ] as const) {
      test(`are all stored: ${kind} as ${form}`, async () => {
        const many = makeMany(kind, 50)
        const { status, body } = await send(kind, encode(many.events), headers)
        assert.deepEqual([status, body], [201, { accepted: 50, rejected: 0 }])
        await checkStored(kind, many)
      })
    }
  }

  for (const [form, encode, headers] of [
    ['a JSON array', (items: unknown[]) => JSON.stringify(items), {}],
    ['NDJSON', toNdjson, NDJSON],
  ] as const) {
    test(`that are partly bad are kept but for those that are named: ${form}`, async () => {
      const { user_id, events } = makeMany('running', 3)
      const [a, b, c] = events as [Json, Json, Json]
      const bad = [{ ...b, duration: '3600' }, 'a string', { ...b, pace: 5, distance: -1 }]
      const { status, body } = await send('running', encode([a, ...bad, b, c]), headers)
      assert.equal(status, 207)
      const { errors, ...counts } = body
      assert.deepEqual(counts, { accepted: 3, rejected: 3 })
      const named = (errors as Json[]).map(({ index, pointer }) => [index, pointer])
      assert.deepEqual(named, [
        [1, '/duration'],
        [2, ''],
        [3, '/distance'],
        [3, '/pace'],
      ])
      for (const { detail } of errors as Json[]) assert.match(detail as string, /^(must be|is not)/)
      await checkStored('running', { user_id, events })
    })

    test(`that are partly bad have their first hundred errors told: ${form}`, async () => {
      const bad = Array.from({ length: 150 }, (_, n) => makeRun(n, { user_id: n }))
      const { status, body } = await send('running', encode([makeRun(0), ...bad]), headers)
      const errors = body.errors as Json[]
      assert.deepEqual([status, body.accepted, body.rejected, errors.length], [207, 1, 150, 100])
      assert.deepEqual([errors[0]?.index, errors[99]?.index], [1, 100])
    })

    test(`of which none is good are 400 with the reasons: ${form}`, async () => {
      const user_id = randomUUID()
      const bad = [makeRun(0, { user_id, distance: null }), makeRun(1, { user_id, timestamp: '2024-02-30T00:00:00Z' })]
      const { status, headers: answered, body } = await send('running', encode(bad), headers)
      assert.deepEqual([status, body.code, body.accepted, body.rejected], [400, 'invalid_events', 0, 2])
      assert.match(answered.get('content-type') ?? '', /^application\/problem\+json/)
      const named = (body.errors as Json[]).map(({ index, pointer }) => [index, pointer])
      assert.deepEqual(named, [
        [0, '/distance'],
        [1, '/timestamp'],
      ])
      assert.deepEqual(await storedOf('running', user_id), [])
    })
  }

  test('tell how many were accepted before their stream broke off', async () => {
    const { events } = makeMany('running', 5000)
    const whole = gzipSync(toNdjson(events))
    const { status, body } = await send('running', whole.subarray(0, -5), { ...NDJSON, 'content-encoding': 'gzip' })
    assert.deepEqual([status, body.code, body.rejected], [400, 'invalid_encoding', 0])
    await settled(runify)
    const stored = await storedOf('running', events[0]?.user_id as string)
    assert.equal(body.accepted, stored.length)
  })

  test(`go in and out as a stream: ${STREAM_LINES} lines`, async () => {
    const many = makeMany('music', STREAM_LINES)
    const { status, body } = await stream(`${runify.addresses.receiver}/stats/music`, toNdjson(many.events))
    assert.deepEqual([status, body], [201, { accepted: STREAM_LINES, rejected: 0 }])
    await settled(runify)

    const all = `${runify.addresses.storage}/stats/music?user_id=${many.user_id}`
    const lines = await (await fetch(all, { headers: { accept: 'application/x-ndjson' } })).text()
    const streamed = fromNdjson(lines)
    assert.deepEqual(byEventId(streamed), byEventId(many.events.map(asStored)))
    assert.deepEqual(await readPages(`${all}&limit=7000`), streamed)
    const backwards = await readPages(`${all}&limit=9000&order=desc&by=date_created`)
    assert.deepEqual(byEventId(backwards), byEventId(streamed))
    assert.deepEqual(await readChanges(runify, many.user_id), byEventId(streamed))
  })
})

describe('an event_id', () => {
  let runify: Runify
  before(async () => {
    runify = await startInProcess()
  })
  after(() => runify?.[Symbol.asyncDispose]())

  const deadLetters = async (): Promise<number> => {
    const metrics = await (await fetch(`${runify.addresses.storage}/metrics`)).text()
    return Number(/^runify_dead_letters_total\{.*reason="conflict".*\} (\d+)$/m.exec(metrics)?.[1] ?? 0)
  }

  test('that comes again with another content is a dead letter, and stops nothing', async () => {
    const { receiver, storage } = runify.addresses
    const event = makeRun(1, { event_id: 'one' })
    const first = await post(`${receiver}/stats/running`, event)
    await settled(runify)
    const stored = await getList(`${storage}/stats/running`)
    const second = await post(`${receiver}/stats/running`, { ...event, distance: 1 })
    assert.deepEqual([first.status, second.status], [201, 201])
    assert.equal(second.body.trace_id, first.body.trace_id)
    await settled(runify)
    assert.equal(await deadLetters(), 1)
    assert.deepEqual(await getList(`${storage}/stats/running`), stored)

    const next = await post(`${receiver}/stats/running`, makeRun(2, { event_id: 'two' }))
    await settled(runify)
    assert.equal((await getJson(`${storage}/events/${next.body.trace_id}`)).event_id, 'two')
    assert.equal((await getJson(`${runify.addresses.processing}/stats`)).num_running_stats, 2)
  })

  test('is one event for a user however the user_id is spelled, and another for each user and type', async () => {
    const { receiver, storage } = runify.addresses
    const user_id = randomUUID()
    const idOf = async (kind: Kind, user: string): Promise<unknown> => {
      const event = makeEvent(kind, 1, { user_id: user, event_id: 'same' })
      const { status, body } = await post(`${receiver}/stats/${kind}`, event)
      assert.equal(status, 201)
      return body.trace_id
    }
    const lower = await idOf('running', user_id)
    assert.equal(await idOf('running', user_id.toUpperCase()), lower)
    assert.notEqual(await idOf('music', user_id), lower)
    assert.notEqual(await idOf('running', randomUUID()), lower)
    await settled(runify)
    const stored = await getList(`${storage}/stats/running?user_id=${user_id.toUpperCase()}`)
    assert.deepEqual(
      stored.map((event) => [event.user_id, event.trace_id]),
      [[user_id, lower]],
    )
  })

  test('and an Idempotency-Key are the same thing', async () => {
    const { receiver } = runify.addresses
    const user_id = randomUUID()
    const inBody = await post(`${receiver}/stats/running`, makeRun(1, { user_id, event_id: 'key' }))
    const inHeader = await post(`${receiver}/stats/running`, makeRun(1, { user_id }), { 'idempotency-key': 'key' })
    const inBoth = await post(`${receiver}/stats/running`, makeRun(1, { user_id, event_id: 'key' }), {
      'idempotency-key': 'key',
    })
    assert.deepEqual([inHeader.body.trace_id, inBoth.body.trace_id], [inBody.body.trace_id, inBody.body.trace_id])
  })
})

/** Sends the text as NDJSON in odd pieces, each when the one before is on its way, with no length told before. */
async function stream(url: string, lines: string): Promise<{ status: number | undefined; body: unknown }> {
  const sending: ClientRequest = request(url, { method: 'POST', headers: NDJSON, agent: false })
  const answered = once(sending, 'response')
  const bytes = Buffer.from(lines)
  for (let at = 0; at < bytes.length; at += CUT_BYTES) {
    if (!sending.write(bytes.subarray(at, at + CUT_BYTES))) await once(sending, 'drain')
  }
  sending.end()
  const [response] = await answered
  return { status: response.statusCode, body: JSON.parse(await text(response)) }
}

async function readPages(url: string): Promise<Json[]> {
  const found: Json[] = []
  for (let next: string | undefined = url; next !== undefined; ) {
    const response = await fetch(next)
    assert.equal(response.status, 200)
    found.push(...((await response.json()) as Json[]))
    const link = /^<(.+)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
    next = link === undefined ? undefined : new URL(link, url).href
  }
  return found
}

/** All of one user's events by `event_id`, as a reader of the feed sees them that keeps its position. */
async function readChanges({ addresses: { storage } }: Runify, user_id: string): Promise<Map<string, Json>> {
  const events: Json[] = []
  let after = ''
  for (let complete = false; !complete; ) {
    const page = await getJson(`${storage}/changes?limit=10000&after=${encodeURIComponent(after)}`)
    events.push(...(page.changes as { event: Json }[]).map(({ event }) => event))
    after = page.next as string
    complete = page.complete as boolean
  }
  return byEventId(events.filter((event) => event.user_id === user_id))
}
