import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { SERVICES, URL_VARIABLES } from '../src/config.ts'
import { CANARY } from '../src/events/catalogue.ts'
import { makeRun, makeSong } from '../test-support/events.ts'
import {
  getJson,
  getList,
  type Json,
  post,
  type Runify,
  settled,
  spawnRunify,
  startInProcess,
  temporaryFolder,
  waitFor,
} from '../test-support/harness.ts'

/** The health check's own events: they take everybody's way, and are in nobody's events and statistics. */

const PROMPT = { RUNIFY_HEALTH_PERIOD_MS: '100', RUNIFY_CANARY_PERIOD_MS: '100' }

type Canary = {
  state: string
  trace_id: string
  lost_at: string | null
  detail: string | null
  hops: Record<string, { last_ms: number; last_hour: Json }>
}

describe('A canary', () => {
  test('comes all the way through, with the time of each hop', async () => {
    await using runify = await startInProcess(PROMPT)
    const { hops } = await arrived(runify)
    const { accepted, stored, counted, total } = hops
    for (const hop of [accepted, stored, counted]) assert.ok((hop?.last_ms as number) > 0)
    const sum = [accepted, stored, counted].reduce((ms, hop) => ms + (hop?.last_ms as number), 0)
    assert.ok(Math.abs((total?.last_ms as number) - sum) < 0.1)
    assert.equal(total?.last_hour.uptime, 100)
    const metrics = await (await fetch(`${runify.addresses['health-check']}/metrics`)).text()
    for (const hop of ['accepted', 'stored', 'counted', 'total']) {
      assert.match(metrics, new RegExp(`^runify_canary_seconds_count\\{.*hop="${hop}".*\\} [1-9]`, 'm'))
    }
    assert.match(metrics, /^runify_canary_arrival_timestamp_seconds\{.*\} 1\d{9}/m)
  })

  test('is in nobody’s events and statistics, and found again', async () => {
    await using runify = await startInProcess(PROMPT)
    const { receiver, storage, processing, analyzer } = runify.addresses
    await post(`${receiver}/stats/running`, [makeRun(1), makeRun(2)])
    await post(`${receiver}/stats/music`, makeSong(1))
    const { trace_id } = await arrived(runify)
    await arrived(runify, trace_id)
    await settled(runify)
    const counts = { num_running_stats: 2, num_music_info: 1 }
    assert.deepEqual(await getJson(`${storage}/stats`), counts)
    for (const address of [processing, analyzer]) {
      const { num_running_stats, num_music_info } = await getJson(`${address}/stats`)
      assert.deepEqual({ num_running_stats, num_music_info }, counts)
    }
    const { behind, last_updated } = await getJson(`${processing}/stats`)
    assert.equal(behind, 0)
    assert.ok(last_updated)
    const { changes } = await getJson(`${storage}/changes`)
    assert.equal((changes as Json[]).length, 3)
    const runs = await getList(`${storage}/stats/running`)
    assert.equal(runs.length, 2)
    assert.equal((await fetch(`${storage}/events/${trace_id}`)).status, 404)
    const found = await getJson(`${storage}/canaries/${trace_id}`)
    assert.equal(found.trace_id, trace_id)
    assert.equal((await fetch(`${storage}/canaries/${runs[0]?.trace_id}`)).status, 404, 'a run is no canary')
    const { topics } = await getJson(`${analyzer}/stats`)
    assert.ok((topics as Json[]).every(({ topic }) => topic !== CANARY.topic))
  })

  test('is refused from outside, also with a key that may write', async () => {
    const key = 'me'
    const sha256 = '2744ccd10c7533bd736ad890f9dd5cab2adb27b07d500b9493f29cdc420cb2e0'
    await using open = await startInProcess()
    await using closed = await startInProcess({ RUNIFY_API_KEYS: `me:write:${sha256}` })
    for (const { addresses } of [open, closed]) {
      for (const shown of ['', `Bearer ${key}`, `Bearer ${randomUUID()}`]) {
        const { status, body } = await post(`${addresses.receiver}${CANARY.path}`, {}, { authorization: shown })
        assert.deepEqual([status, body.code], [403, 'key_scope'])
      }
    }
    const document = JSON.stringify(await getJson(`${open.addresses.receiver}/openapi.json`))
    assert.ok(!document.includes(CANARY.path), 'clients need not know of it')
  })

  test('comes through where keys are asked for, though nobody gave the health check one', async () => {
    const sha256 = createHash('sha256').update('home').digest('hex')
    await using runify = await startInProcess({
      ...PROMPT,
      RUNIFY_API_KEYS: `home:read:${sha256},watch:write:${sha256}`,
    })
    const { receiver, storage, 'health-check': health } = runify.addresses
    const authorization = 'Bearer home'
    await post(`${receiver}/stats/running`, makeRun(1), { authorization })
    const ask = async (path: string) =>
      (await (await fetch(`${health}${path}`, { headers: { authorization } })).json()) as Json
    const status = await waitFor(async () => {
      const found = await ask('/status')
      return (found.canary as Canary).state !== 'none_yet' && found
    })
    assert.deepEqual([(status.canary as Canary).state, status.status, status.causes], ['arrived', 'healthy', []])
    await waitFor(async () => (await ask('/check')).storage === 'Storage has 1 run and 0 songs')
    assert.equal((await fetch(`${storage}/stats`)).status, 401, 'others need one as before')
  })

  test('has no way in where the Receiver does not know its key', async () => {
    await using folder = await temporaryFolder()
    await using runify = await spawnRunify({ dir: folder.path }, ['receiver'])
    const { status, body } = await post(`${runify.addresses.receiver}${CANARY.path}`, {})
    assert.deepEqual([status, body.code], [404, 'unknown_path'])
  })

  test('tells where events do not get through, though every service says that it is ready', async () => {
    await using folder = await temporaryFolder()
    const key = randomUUID()
    await using one = await startInProcess({ RUNIFY_CANARY_KEY: key })
    await using other = await startInProcess()
    await using watcher = await spawnRunify(
      {
        dir: folder.path,
        ...PROMPT,
        RUNIFY_CANARY_KEY: key,
        RUNIFY_CANARY_TIMEOUT_MS: '1500',
        ...Object.fromEntries(SERVICES.map((service) => [URL_VARIABLES[service], one.addresses[service]])),
        // It never hears of what that Receiver takes.
        [URL_VARIABLES.processing]: other.addresses.processing,
      },
      ['health-check'],
    )
    const status = await waitFor(async () => {
      const found = await getJson(`${watcher.addresses['health-check']}/status`)
      return (found.canary as Canary).lost_at === 'counted' && found
    })
    const { state, detail } = status.canary as Canary
    assert.deepEqual([state, detail], ['lost', 'Processing did not have it in time'])
    assert.equal(status.status, 'degraded')
    assert.deepEqual(status.causes, [
      {
        dependency: 'Processing',
        detail: 'Events do not get through Processing: Processing did not have it in time',
        services: ['processing'],
      },
    ])
  })
})

/** The state of canaries when one has arrived, another one than `before`. */
function arrived({ addresses }: Runify, before?: string): Promise<Canary> {
  return waitFor(async () => {
    const canary = (await getJson(`${addresses['health-check']}/status`)).canary as Canary
    return canary.state === 'arrived' && canary.trace_id !== before && canary
  })
}
