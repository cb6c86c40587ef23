import assert from 'node:assert/strict'
import { createHmac, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempDisposable } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { createTelemetry } from '../../../telemetry.ts'
import { type Anomaly, anomalyId } from '../anomaly.ts'
import type { AnomalyStore } from '../store/anomaly-store.ts'
import { openSqliteAnomalies } from '../store/sqlite-anomalies.ts'
import { anomalyTelemetry } from '../telemetry.ts'
import { retryAfterMs, retryDelayMs, WebhookSender } from './sender.ts'
import type { WebhookTiming } from './settings.ts'

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const PROMPT: WebhookTiming = { groupMs: 0, groupMax: 10, retryMs: 10, retryMsMax: 20, triesMax: 1000 }
const WAIT = { interval: 5, timeout: 20_000 }

type Received = { headers: IncomingHttpHeaders; body: string; ids: string[] }
type Reply = (response: ServerResponse, received: Received) => void

describe('A webhook', () => {
  test('is sent what is found, in order, in groups, signed', async (t) => {
    await using place = await openPlace()
    await using receiver = await openReceiver()
    await using _sender = await startSender(place, receiver)
    const ids = await place.find(25)
    await t.waitFor(() => assert.deepEqual(receiver.ids(), ids), WAIT)
    for (const { headers, body } of receiver.received) {
      const { type, data } = JSON.parse(body)
      assert.equal(type, 'anomalies.found')
      assert.ok(data.anomalies.length <= 10 + 16)
      assert.deepEqual(
        data.anomalies.map(({ timestamp }: { timestamp: string }) => timestamp),
        data.anomalies.map(() => '2024-05-01T00:00:00.000Z'),
      )
      assert.equal(headers['content-type'], 'application/json')
      assert.ok(isSigned(headers, body))
      assert.ok(!isSigned(headers, `${body} `))
    }
  })

  test('is signed with both secrets while one takes the place of the other', async (t) => {
    await using place = await openPlace()
    await using receiver = await openReceiver()
    const [mine, next] = [Buffer.alloc(32, 7), Buffer.alloc(24, 9)]
    const secrets = [next, mine].map((bytes) => `whsec_${bytes.toString('base64')}`)
    await using _sender = await startSender(place, receiver, { secrets })
    await place.find(1)
    await t.waitFor(() => assert.equal(receiver.received.length, 1), WAIT)
    const [{ headers, body }] = receiver.received as [Received]
    const expected = [signatureOf(headers, body, next), signatureOf(headers, body, mine)]
    assert.deepEqual(String(headers['webhook-signature']).split(' '), expected)
  })

  test('that says it is gone for good is parked at once, and loses nothing', async (t) => {
    await using place = await openPlace()
    let status = 410
    await using receiver = await openReceiver((response) => response.writeHead(status).end())
    const ids = await place.find(3)
    {
      await using _sender = await startSender(place, receiver, { fromStart: true })
      await t.waitFor(async () => assert.equal((await place.anomalies.webhooks.parked()).size, 1), WAIT)
    }
    assert.equal(receiver.received.length, 1)
    status = 200
    receiver.received.length = 0
    await using _sender = await startSender(place, receiver)
    await t.waitFor(() => assert.deepEqual(receiver.ids(), ids), WAIT)
  })

  test('is tried again with the same id until it takes it, and misses nothing', async (t) => {
    await using place = await openPlace()
    let tries = 0
    await using receiver = await openReceiver((response) => {
      tries++
      if (tries % 3 === 1) response.writeHead(503).end()
      else if (tries % 3 === 2) response.destroy()
      else response.writeHead(204).end()
    })
    await using _sender = await startSender(place, receiver)
    const ids = await place.find(40)
    await t.waitFor(() => assert.deepEqual(new Set(receiver.ids()), new Set(ids)), WAIT)
    const [first, second, third] = receiver.received.map(({ headers }) => headers['webhook-id'])
    assert.deepEqual([second, third], [first, first])
  })

  test('is not followed elsewhere', async (t) => {
    await using place = await openPlace()
    await using elsewhere = await openReceiver()
    await using receiver = await openReceiver((response) => {
      response.writeHead(307, { location: elsewhere.url }).end()
    })
    await using _sender = await startSender(place, receiver)
    await place.find(1)
    await t.waitFor(() => assert.ok(receiver.received.length > 3), WAIT)
    assert.equal(elsewhere.received.length, 0)
  })

  test('that is slow holds nobody up', async (t) => {
    await using place = await openPlace()
    await using slow = await openReceiver(() => {})
    await using quick = await openReceiver()
    const hanging = await startSender(place, slow, { name: 'slow' })
    await using _quick = await startSender(place, quick, { name: 'quick' })
    const ids = await place.find(30)
    await t.waitFor(() => assert.deepEqual(quick.ids(), ids), WAIT)
    assert.equal(slow.received.length, 1)
    const stopping = performance.now()
    await hanging[Symbol.asyncDispose]()
    assert.ok(performance.now() - stopping < 2000, 'nor who stops')
  })

  test('goes on where it was after a restart, and one that is new begins with what comes', async (t) => {
    await using place = await openPlace()
    await place.find(5)
    await using receiver = await openReceiver()
    let ids: string[]
    {
      await using _sender = await startSender(place, receiver)
      ids = await place.find(5)
      await t.waitFor(() => assert.deepEqual(receiver.ids(), ids), WAIT)
    }
    ids.push(...(await place.find(5)))
    await using _sender = await startSender(place, receiver)
    await t.waitFor(() => assert.deepEqual(receiver.ids(), ids), WAIT)
  })

  test('is delivered to by one instance at a time', async (t) => {
    await using place = await openPlace()
    await using receiver = await openReceiver()
    await using _one = await startSender(place, receiver)
    await using _other = await startSender(place, receiver)
    const ids: string[] = []
    for (let round = 0; round < 10; round++) ids.push(...(await place.find(3)))
    await t.waitFor(() => assert.deepEqual(receiver.ids(), ids), WAIT)
  })

  test('is parked after too many tries, and tried again when a detector starts anew', async (t) => {
    await using place = await openPlace()
    let status = 500
    await using receiver = await openReceiver((response) => response.writeHead(status).end())
    const { webhooks } = place.anomalies
    {
      await using _sender = await startSender(place, receiver, { timing: { ...PROMPT, triesMax: 3 } })
      await place.find(2)
      await t.waitFor(async () => assert.equal((await webhooks.parked()).size, 1), WAIT)
      assert.equal(receiver.received.length, 3)
      assert.equal(await webhooks.claim({ webhook: 'test', owner: 'x', now: 1e15, until: 1e15 }), false)
    }
    status = 200
    receiver.received.length = 0
    await using _sender = await startSender(place, receiver)
    await t.waitFor(() => assert.equal(receiver.ids().length, 2), WAIT)
    assert.equal((await webhooks.parked()).size, 0)
  })

  test('that refuses one anomaly for ever gets all others, before and behind it, and is told of it alone', async (t) => {
    await using place = await openPlace()
    const refused = new Set<string>()
    await using receiver = await openReceiver((response, { ids }) => {
      response.writeHead(ids.some((id) => refused.has(id)) ? 422 : 200).end()
    })
    const taken = () => receiver.received.flatMap(({ ids }) => (ids.some((id) => refused.has(id)) ? [] : ids))
    const ids = await place.find(9)
    refused.add(ids[4] as string)
    const timing = { ...PROMPT, triesMax: 3 }
    await using _sender = await startSender(place, receiver, { timing, fromStart: true })
    const others = ids.filter((id) => !refused.has(id))
    await t.waitFor(() => assert.deepEqual(taken(), others), WAIT)
    const [alone] = await place.find(1)
    refused.add(alone as string)
    const behind = await place.find(3)
    await t.waitFor(() => assert.deepEqual(new Set(taken()), new Set([...others, ...behind])), WAIT)
    assert.equal((await place.anomalies.webhooks.parked()).size, 0)
    const tries = receiver.received.filter(({ ids: sent }) => sent.length === 1 && sent[0] === ids[4])
    assert.equal(tries.length, 1 + 3)
  })

  test('that refuses everything is parked, and loses nothing', async (t) => {
    await using place = await openPlace()
    let status = 400
    await using receiver = await openReceiver((response) => response.writeHead(status).end())
    const ids = await place.find(4)
    const { webhooks } = place.anomalies
    {
      await using _sender = await startSender(place, receiver, { timing: { ...PROMPT, triesMax: 3 }, fromStart: true })
      await t.waitFor(async () => assert.equal((await webhooks.parked()).size, 1), WAIT)
    }
    status = 200
    receiver.received.length = 0
    await using _sender = await startSender(place, receiver)
    await t.waitFor(() => assert.deepEqual(receiver.ids(), ids), WAIT)
  })

  test('is not stopped by an anomaly that has no form on the wire', async (t) => {
    await using place = await openPlace()
    await using receiver = await openReceiver()
    const ids = await place.find(5)
    using database = new DatabaseSync(join(place.dir, 'anomalies.db'))
    database.exec('UPDATE anomalies SET timestamp = 9000000000000000 WHERE log_offset = 3')
    await using _sender = await startSender(place, receiver, { fromStart: true })
    await t.waitFor(() => assert.deepEqual(receiver.ids(), ids.toSpliced(3, 1)), WAIT)
  })

  test('is left alone for as long as it asks for', async (t) => {
    await using place = await openPlace()
    const times: number[] = []
    await using receiver = await openReceiver((response) => {
      times.push(performance.now())
      response.writeHead(times.length === 1 ? 429 : 200, { 'retry-after': '1' }).end()
    })
    await using _sender = await startSender(place, receiver)
    await place.find(1)
    await t.waitFor(() => assert.equal(times.length, 2), WAIT)
    const [first, second] = times as [number, number]
    assert.ok(second - first >= 990, `${second - first} ms`)
  })

  test('may ask for up to an hour, in seconds or by a date', () => {
    const now = Date.UTC(2024, 4, 1)
    const values = ['0', '7', '100000', 'Wed, 01 May 2024 00:00:30 GMT', 'Wed, 01 May 2024 03:00:00 GMT']
    assert.deepEqual(
      values.map((value) => retryAfterMs(value, now)),
      [0, 7000, 3_600_000, 30_000, 3_600_000],
    )
    for (const value of [undefined, '', 'soon', '-5', 'Tue, 30 Apr 2024 00:00:00 GMT']) {
      assert.equal(retryAfterMs(value, now), 0, `${value}`)
    }
  })

  test('has longer and longer to recover, up to the most', () => {
    const timing = { retryMs: 1000, retryMsMax: 300_000 }
    const delays = [1, 2, 3, 9, 10, 500].map((tries) => retryDelayMs(tries, timing, 1))
    assert.deepEqual(delays, [1000, 2000, 4000, 256_000, 300_000, 300_000])
    assert.equal(retryDelayMs(3, timing, 0), 2000)
  })
})

async function openPlace() {
  const opened = new AsyncDisposableStack()
  const { path: dir } = opened.use(await mkdtempDisposable(join(tmpdir(), 'runify-webhooks-')))
  const anomalies: AnomalyStore = opened.use(await openSqliteAnomalies({ dir }))
  let next = 0
  /** One in each record, but for the first, which has two. Gives their ids. */
  const find = async (count: number): Promise<string[]> => {
    const from = next
    const found = Array.from({ length: count }, (_, n) => ({ offset: from + Math.max(1, n), anomaly: anyAnomaly() }))
    next = from + count
    await anomalies.judge({
      topic: 't',
      partition: 0,
      from,
      next,
      users: [],
      judge: () => ({ found, states: new Map(), refused: [] }),
    })
    return found.map(({ anomaly }) => anomaly.anomaly_id)
  }
  return { anomalies, dir, find, [Symbol.asyncDispose]: () => opened.disposeAsync() }
}

function anyAnomaly(): Anomaly {
  const [trace_id, user_id] = [randomUUID(), randomUUID()]
  const at = Date.UTC(2024, 4, 1)
  return {
    anomaly_id: anomalyId('LongRun', trace_id),
    anomaly_type: 'LongRun',
    trace_id,
    user_id,
    description: 'A run “far” too long',
    value: 43_000,
    threshold: 42_000,
    timestamp: at,
    date_created: at,
  }
}

async function startSender(
  { anomalies, dir }: { anomalies: AnomalyStore; dir: string },
  { url }: { url: string },
  {
    name = 'test',
    timing = PROMPT,
    fromStart = false,
    secrets = [SECRET],
  }: { name?: string; timing?: WebhookTiming; fromStart?: boolean; secrets?: string[] } = {},
) {
  const stop = new AbortController()
  const store = anomalies.webhooks
  const sender = new WebhookSender({
    webhook: { name, url, secrets },
    timing,
    store,
    telemetry: anomalyTelemetry(createTelemetry('anomaly-detector', 'silent')),
    now: Date.now,
    random: () => 0,
  })
  await store.register(name)
  // One that is new begins behind what was found before; here it is to have that too.
  if (fromStart) rewind(dir)
  const running = sender.run(stop.signal)
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await running
    },
  }
}

function rewind(dir: string): void {
  using database = new DatabaseSync(join(dir, 'anomalies.db'))
  database.exec('UPDATE webhook_cursors SET next = 0')
}

async function openReceiver(reply: Reply = (response) => response.writeHead(200).end('{}')) {
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    const body = await text(request)
    const ids = JSON.parse(body).data.anomalies.map((one: Anomaly) => one.anomaly_id)
    const one = { headers: request.headers, body, ids }
    received.push(one)
    reply(response, one)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/in`,
    received,
    ids: () => received.flatMap(({ ids }) => ids),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** As a receiver checks it, written down from the specification. */
function isSigned(headers: IncomingHttpHeaders, body: string): boolean {
  return headers['webhook-signature'] === signatureOf(headers, body, Buffer.alloc(32, 7))
}

function signatureOf(headers: IncomingHttpHeaders, body: string, key: Buffer): string {
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`
  return `v1,${createHmac('sha256', key).update(signed).digest('base64')}`
}
