import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as others } from 'node:timers/promises'
import { Failure, RecordsTooLarge } from '../../errors.ts'
import { CATALOGUE } from '../../events/catalogue.ts'
import type { EventLog, NewRecord } from '../../log/event-log.ts'
import { type Append, CANARY_KEY, openReceiver } from './testing/receiver.fixture.ts'

const SONG = CATALOGUE.music_info.example
const REFUSED = 'runify_appends_refused_total{code="log_unavailable",service="receiver"}'
const ACCEPTED = 'runify_events_accepted_total{type="music_info",service="receiver"}'
const REJECTED = 'runify_events_rejected_total{type="music_info",service="receiver"}'

describe('what the log refuses is counted', () => {
  for (const [form, type, body] of [
    ['one event', 'application/json', JSON.stringify(SONG)],
    ['an array', 'application/json', JSON.stringify([SONG, SONG])],
    ['a stream', 'application/x-ndjson', ndjson([SONG, SONG])],
  ] as const) {
    test(form, async () => {
      await using receiver = await openReceiver(refuseFrom(1))
      assert.equal((await post(receiver.address, CATALOGUE.music_info.path, { type, body })).status, 503)
      const counted = await metricsOf(receiver)
      assert.deepEqual([counted.get(REFUSED), counted.get(ACCEPTED)], [1, 0])
    })
  }

  test('a canary', async () => {
    await using receiver = await openReceiver(refuseFrom(1))
    const { status } = await post(receiver.address, '/canary', { type: 'application/json', body: '', key: CANARY_KEY })
    assert.equal(status, 503)
    assert.equal((await metricsOf(receiver)).get(REFUSED), 1)
  })
})

test('what a stream brought before the log refused it is counted as what it is', async () => {
  await using receiver = await openReceiver(refuseFrom(3))
  const lines = Array.from({ length: 3000 }, (_, n) => (n % 500 === 0 ? 'no song' : SONG))
  const sent = { type: 'application/x-ndjson', body: ndjson(lines) }
  const { status, body } = await post(receiver.address, CATALOGUE.music_info.path, sent)
  assert.deepEqual([status, body.code, body.accepted, body.rejected], [503, 'log_unavailable', 2000, 6])
  const counted = await metricsOf(receiver)
  assert.deepEqual([counted.get(ACCEPTED), counted.get(REJECTED), counted.get(REFUSED)], [2000, 6, 1])
})

test('a stream that goes on is counted as it goes', async () => {
  await using receiver = await openReceiver((log, records) => log.append(records))
  const pieces = new TransformStream<Uint8Array, Uint8Array>()
  const writer = pieces.writable.getWriter()
  const init = { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body: pieces.readable }
  const answer = fetch(receiver.address + CATALOGUE.music_info.path, { ...init, duplex: 'half' } as RequestInit)
  await writer.write(Buffer.from(ndjson([...Array(1000).fill(SONG), 'no song'])))
  const counted = async () => {
    const metrics = await metricsOf(receiver)
    return [metrics.get(ACCEPTED), metrics.get(REJECTED)]
  }
  const deadline = AbortSignal.timeout(20_000)
  while ((await counted()).some((count) => !count)) {
    deadline.throwIfAborted()
    await others()
  }
  assert.deepEqual(await counted(), [1000, 1])
  await writer.close()
  assert.deepEqual((await answer).status, 207)
  assert.deepEqual(await counted(), [1000, 1])
})

describe('what the log can never take', () => {
  const large = { ...SONG, song_name: 'x'.repeat(500) }

  test('is 413 with the limit where it is one event', async () => {
    await using receiver = await openReceiver(refuseLarge)
    const sent = { type: 'application/json', body: JSON.stringify(large) }
    const { status, body } = await post(receiver.address, CATALOGUE.music_info.path, sent)
    assert.deepEqual([status, body.code, body.limit_bytes], [413, 'event_too_large', BYTES_MAX])
    const counted = await metricsOf(receiver)
    assert.deepEqual([counted.get(REJECTED), counted.get(REFUSED)], [1, 0])
  })

  for (const [form, type, encode] of [
    ['an array', 'application/json', (events: readonly unknown[]) => JSON.stringify(events)],
    ['a stream', 'application/x-ndjson', ndjson],
  ] as const) {
    test(`is rejected with its place, and the others are taken, where it is in ${form}`, async () => {
      await using receiver = await openReceiver(refuseLarge)
      const body = encode([SONG, large, 'no song', SONG, large, SONG])
      const answer = await post(receiver.address, CATALOGUE.music_info.path, { type, body })
      const { accepted, rejected, errors } = answer.body as { accepted: number; rejected: number; errors: Told[] }
      assert.deepEqual([answer.status, accepted, rejected], [207, 3, 3])
      assert.deepEqual(
        errors.map(({ index }) => index),
        [1, 2, 4],
      )
      assert.match(errors[0]?.detail ?? '', /^is too large: .* at most 400 bytes$/)
      const counted = await metricsOf(receiver)
      assert.deepEqual([counted.get(ACCEPTED), counted.get(REJECTED), counted.get(REFUSED)], [3, 3, 0])
      assert.equal((await receiver.log.partitions(CATALOGUE.music_info.topic))[0]?.next, 3)
    })
  }
})

type Told = { index: number; detail: string }

const BYTES_MAX = 400

/** As a log whose topics take small records only. */
async function refuseLarge(log: EventLog, records: readonly NewRecord[]): Promise<void> {
  const isLarge = ({ value }: NewRecord) => value.byteLength > BYTES_MAX
  await log.append(records.filter((record) => !isLarge(record)))
  const indexes = [...records.keys()].filter((index) => isLarge(records[index] as NewRecord))
  if (indexes.length > 0) throw new RecordsTooLarge(indexes, BYTES_MAX)
}

/** A log that takes appends up to this one. */
function refuseFrom(first: number): Append {
  let count = 0
  return async (log, records) => {
    if (++count >= first) throw new Failure('log_unavailable', 'it is unavailable', { retryable: true })
    await log.append(records)
  }
}

function ndjson(lines: readonly unknown[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('')
}

async function post(address: string, path: string, { type, body, key }: { type: string; body: string; key?: string }) {
  const headers = { 'content-type': type, ...(key !== undefined && { authorization: `Bearer ${key}` }) }
  const response = await fetch(address + path, { method: 'POST', headers, body })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

async function metricsOf({
  telemetry,
}: {
  telemetry: { metrics: () => Promise<string> }
}): Promise<{ get: (name: string) => number }> {
  const rows = (await telemetry.metrics()).matchAll(/^(\S+) (\d+)$/gm)
  const counts = new Map([...rows].map(([, name, count]) => [name as string, Number(count)]))
  return { get: (name) => counts.get(name) ?? 0 }
}
