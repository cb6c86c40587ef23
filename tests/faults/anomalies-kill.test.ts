import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { toNdjson } from '../../test-support/events.ts'
import { getJson, getList, type Json, post, spawnRunify, temporaryFolder, waitFor } from '../../test-support/harness.ts'

/** The anomaly detector through kill -9: each anomaly once, as if nothing had been killed, and each delivered. */

const USERS = 20
const RUNS = 4000
const KILLS = 4
const SECRET = `whsec_${Buffer.alloc(32, 3).toString('base64')}`

test('kill -9 makes the anomaly detector neither miss nor double anything', async (t) => {
  await using folder = await temporaryFolder()
  await using receiver = await openReceiver()
  const environment = {
    dir: folder.path,
    RUNIFY_WEBHOOKS: `test=${receiver.url}#${SECRET}`,
    // Many small transactions, to be killed in the midst of one.
    RUNIFY_BATCH_RECORDS_MAX: '20',
    ANOMALY_EVENTS_PER_MINUTE: '1000000',
  }
  const { runs, expected } = makeRuns()
  let killedAtWork = false
  for (let kill = 0; kill < KILLS; kill++) {
    await using runify = await spawnRunify(environment)
    const { receiver: receiving, 'anomaly-detector': url } = runify.addresses
    const part = toNdjson(runs.slice((kill * RUNS) / KILLS, ((kill + 1) * RUNS) / KILLS))
    const { status } = await post(`${receiving}/stats/running`, part, { 'content-type': 'application/x-ndjson' })
    assert.equal(status, 201)
    const { behind } = await getJson(`${url}/stats`)
    await runify.kill('SIGKILL')
    t.diagnostic(`killed with ${behind} records to be judged`)
    killedAtWork ||= (behind as number) > 0
  }
  assert.ok(killedAtWork)

  await using runify = await spawnRunify(environment)
  const url = runify.addresses['anomaly-detector']
  await waitFor(async () => (await getJson(`${url}/stats`)).behind === 0, 60_000)
  const found = await getList(`${url}/anomalies?limit=1000`)
  const seen = found.map(({ anomaly_type, user_id, timestamp }) => `${anomaly_type} ${user_id} ${timestamp}`)
  assert.deepEqual(seen.toSorted(), expected.toSorted())
  const { num_anomalies, by_type } = await getJson(`${url}/stats`)
  assert.equal(num_anomalies, expected.length)
  assert.equal((by_type as Record<string, number>).OverlappingRun, USERS)
  const ids = found.map(({ anomaly_id }) => anomaly_id)
  await waitFor(async () => ids.every((id) => receiver.ids.has(id as string)), 60_000)
  assert.equal(receiver.ids.size, ids.length, 'nothing was delivered that is not there')
})

/** Runs of many users in turn, each with one that is far from usual, one that overlaps, and one that is too long. */
function makeRuns(): { runs: Json[]; expected: string[] } {
  const users = Array.from({ length: USERS }, () => randomUUID())
  const expected: string[] = []
  const runs = Array.from({ length: RUNS }, (_, n): Json => {
    const user_id = users[n % USERS]
    const round = Math.floor(n / USERS)
    const [day, hours] = round === 50 ? [49, 6.1] : [round, 6]
    const timestamp = new Date(Date.UTC(2024, 0, 1) + (day * 24 + hours) * 3_600_000).toISOString()
    const distance = round === 40 ? 25_000 : round === 60 ? 43_000 : 5000 + ((n * 37) % 500)
    if (round === 40) expected.push(`UnusualDistance ${user_id} ${timestamp}`)
    if (round === 50) expected.push(`OverlappingRun ${user_id} ${timestamp}`)
    if (round === 60) expected.push(`LongRun ${user_id} ${timestamp}`, `UnusualDistance ${user_id} ${timestamp}`)
    return { user_id, distance, duration: distance * 0.36, timestamp, event_id: `run-${n}` }
  })
  return { runs, expected }
}

async function openReceiver() {
  const ids = new Set<string>()
  const server = createServer(async (request, response) => {
    const body = JSON.parse(await text(request)) as { data: { anomalies: { anomaly_id: string }[] } }
    for (const { anomaly_id } of body.data.anomalies) ids.add(anomaly_id)
    response.writeHead(204).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    ids,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
