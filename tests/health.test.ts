import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PORT_VARIABLES, type ServiceName, URL_VARIABLES } from '../src/config.ts'
import { makeRun, makeSong } from './events.ts'
import { getJson, type Json, post, settled, spawnRunify, startInProcess, temporaryFolder, waitFor } from './harness.ts'

/** The health check of a running system, and of services that come and go. */

const PROMPT = { RUNIFY_HEALTH_PERIOD_MS: '100', RUNIFY_HEALTH_TIMEOUT_MS: '1000' }

describe('GET /check', () => {
  test('has a sentence for every service, with what it holds', async () => {
    await using runify = await startInProcess(PROMPT)
    const { receiver, 'health-check': health } = runify.addresses
    await post(
      `${receiver}/stats/running`,
      [1, 2, 3, 4, 5, 6].map((n) => makeRun(n)),
    )
    await post(`${receiver}/stats/music`, makeSong(1))
    await settled(runify)
    await waitFor(async () => (await getJson(`${health}/check`)).processing === 'Processing has 6 runs and 1 song')
    const { last_updated, 'anomaly-detector': anomalies, ...check } = await getJson(`${health}/check`)
    assert.deepEqual(check, {
      receiver: 'Healthy',
      storage: 'Storage has 6 runs and 1 song',
      processing: 'Processing has 6 runs and 1 song',
      analyzer: 'Analyzer has 6 runs and 1 song',
      dashboard: 'Healthy',
    })
    assert.match(anomalies as string, /^Anomaly detector has \d+ anomal(y|ies)$/)
    assert.ok(Math.abs(Date.now() - Date.parse(last_updated as string)) < 60_000)
    const { status, services } = await getJson(`${health}/status`)
    assert.equal(status, 'healthy')
    for (const { service, last_day } of services as { service: string; last_day: Json }[]) {
      assert.equal(last_day.uptime, 100, `nothing was asked before it listened: ${service}`)
    }
  })
})

describe('The health check', () => {
  test('follows services that stop and start again', async () => {
    await using opened = new AsyncDisposableStack()
    // Each on a folder of its own, as far as the embedded pair is concerned.
    const folders = await Promise.all([0, 1, 2].map(async () => opened.use(await temporaryFolder()).path))
    const start = async (service: 'receiver' | 'storage', port = '0') => {
      const dir = folders[service === 'receiver' ? 0 : 1] as string
      return opened.use(await spawnRunify({ dir, [PORT_VARIABLES[service]]: port }, [service]))
    }
    let receiver = await start('receiver')
    const storage = await start('storage')
    const { port } = new URL(receiver.addresses.receiver)
    const watcher = opened.use(
      await spawnRunify(
        {
          dir: folders[2] as string,
          ...PROMPT,
          [URL_VARIABLES.receiver]: receiver.addresses.receiver,
          [URL_VARIABLES.storage]: `${storage.addresses.storage}/`,
        },
        ['health-check'],
      ),
    )
    const address = watcher.addresses['health-check']
    const says = async (service: ServiceName) => (await getJson(`${address}/check`))[service]
    assert.equal((await fetch(`${address}/health/ready`)).status, 200, 'it stands on nothing')
    assert.equal(await says('processing'), 'Unavailable', 'nobody has said where it is')
    await waitFor(async () => (await says('receiver')) === 'Healthy')
    await waitFor(async () => (await says('storage')) === 'Storage has 0 runs and 0 songs')

    await receiver.kill('SIGKILL')
    await waitFor(async () => (await says('receiver')) === 'Unavailable')
    assert.equal(await says('storage'), 'Storage has 0 runs and 0 songs')
    const cause = await waitFor(async () => {
      const { causes } = await getJson(`${address}/status`)
      return (causes as Json[]).find(({ dependency }) => dependency === 'Receiver')
    })
    assert.deepEqual(cause.services, ['receiver'])
    assert.equal(cause.detail, 'Receiver does not answer: nothing listens there')

    receiver = await start('receiver', port)
    await waitFor(async () => (await says('receiver')) === 'Healthy')
    const { services } = await getJson(`${address}/status`)
    const [seen] = services as { state: string; last_hour: Record<string, number> }[]
    assert.equal(seen?.state, 'healthy')
    const { uptime, latency_p50, latency_p99 } = seen?.last_hour ?? {}
    assert.ok((uptime as number) > 0 && (uptime as number) < 100, `${uptime}`)
    assert.ok((latency_p50 as number) > 0 && (latency_p99 as number) >= (latency_p50 as number))
    const metrics = await (await fetch(`${address}/metrics`)).text()
    assert.match(metrics, /^runify_watched_up\{watched="receiver",service="health-check"\} 1$/m)
    assert.match(metrics, /^runify_watched_up\{watched="processing",service="health-check"\} 0$/m)
  })
})
