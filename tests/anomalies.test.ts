import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { makeRun, makeSong } from '../test-support/events.ts'
import { getJson, getList, type Json, post, type Runify, startInProcess, waitFor } from '../test-support/harness.ts'

/** What somebody sees of the anomaly detector who sends events that are not as they should be. */

describe('The anomaly detector', () => {
  let runify: Runify
  let url: string
  before(async () => {
    runify = await startInProcess()
    url = runify.addresses['anomaly-detector']
  })
  after(() => runify?.[Symbol.asyncDispose]())

  const send = async (kind: 'running' | 'music', event: Json): Promise<string> => {
    const { status, body } = await post(`${runify.addresses.receiver}/stats/${kind}`, event)
    assert.equal(status, 201)
    return body.trace_id as string
  }
  const judged = () => waitFor(async () => (await getJson(`${url}/stats`)).behind === 0)

  test('finds by the thresholds that are promised, and only what is beyond them', async () => {
    const user_id = randomUUID()
    const at = (day: number) => ({ user_id, timestamp: `2024-05-0${day}T06:00:00Z` })
    const expected = [
      [
        'LongRun',
        42_000.5,
        42_000,
        await send('running', makeRun(1, { ...at(1), distance: 42_000.5, duration: 12_000 })),
      ],
      ['ShortRun', 299.5, 300, await send('running', makeRun(2, { ...at(2), distance: 900, duration: 299.5 }))],
      ['LongSong', 900.25, 900, await send('music', makeSong(3, { ...at(3), song_duration: 900.25 }))],
      ['ShortSong', 29.75, 30, await send('music', makeSong(4, { ...at(4), song_duration: 29.75 }))],
    ] as const
    await send('running', makeRun(5, { ...at(5), distance: 42_000, duration: 12_000 }))
    await send('running', makeRun(6, { ...at(6), distance: 900, duration: 300 }))
    await send('music', makeSong(7, { ...at(7), song_duration: 900 }))
    await send('music', makeSong(8, { ...at(8), song_duration: 30 }))
    await judged()

    const found = await getList(`${url}/anomalies?user_id=${user_id}`)
    const seen = found.map(({ anomaly_type, value, threshold, trace_id }) => [anomaly_type, value, threshold, trace_id])
    assert.deepEqual(new Set(seen), new Set(expected.map((one) => [...one])))
    for (const anomaly of found) {
      const event = await getJson(`${runify.addresses.storage}/events/${anomaly.trace_id}`)
      assert.deepEqual(
        [anomaly.user_id, anomaly.timestamp, anomaly.date_created],
        [event.user_id, event.timestamp, event.date_created],
      )
      assert.match(anomaly.description as string, /^The (run|song) .+, (more|less) than .+\.$/)
      assert.deepEqual(await getJson(`${url}/anomalies/${anomaly.anomaly_id}`), anomaly)
    }
    const { num_anomalies, by_type } = await getJson(`${url}/stats`)
    const { LongRun, ShortRun, LongSong, ShortSong } = by_type as Record<string, number>
    assert.deepEqual([num_anomalies, LongRun, ShortRun, LongSong, ShortSong], [4, 1, 1, 1, 1])

    const erased = await fetch(`${runify.addresses.storage}/users/${user_id}`, { method: 'DELETE' })
    assert.equal(erased.status, 200)
    await waitFor(async () => (await getJson(`${url}/stats`)).num_anomalies === 0)
    assert.deepEqual(await getList(`${url}/anomalies?user_id=${user_id}`), [], 'a user who is forgotten has none')
  })
})

test('A webhook that was given up goes on where it was when it is resumed', async () => {
  let status = 500
  const taken: string[] = []
  const receiver = createServer(async (request, response) => {
    const { data } = JSON.parse(await text(request)) as { data: { anomalies: Json[] } }
    if (status === 200) taken.push(...data.anomalies.map(({ trace_id }) => trace_id as string))
    response.writeHead(status).end()
  })
  receiver.listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  const at = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
  try {
    await using runify = await startInProcess({
      RUNIFY_WEBHOOKS: `phone=${at}#whsec_${randomBytes(32).toString('base64')}`,
      WEBHOOK_TRIES_MAX: '2',
      WEBHOOK_RETRY_MS: '100',
      WEBHOOK_GROUP_MS: '0',
    })
    const url = runify.addresses['anomaly-detector']
    const resume = (body: Json) => post(`${url}/webhooks/resume`, body)
    const parkedSince = async () => ((await getJson(`${url}/stats`)).webhooks as Json[])[0]?.parked_since
    const sent: string[] = []
    for (const distance of [43_000, 44_000]) {
      const { body } = await post(
        `${runify.addresses.receiver}/stats/running`,
        makeRun(1, { distance, duration: 12_000 }),
      )
      sent.push(body.trace_id as string)
      await waitFor(async () => (await parkedSince()) !== null)
    }
    status = 200
    assert.equal((await resume({ webhook: 'tablet' })).body.code, 'not_found')
    assert.equal((await resume({ name: 'phone' })).body.code, 'invalid_body')
    assert.deepEqual((await resume({ webhook: 'phone' })).body, { webhook: 'phone', parked_since: null })
    await waitFor(async () => new Set(taken).size === 2)
    assert.deepEqual([...new Set(taken)], sent)
    assert.equal(await parkedSince(), null)
  } finally {
    receiver.closeAllConnections()
    receiver.close()
  }
})
