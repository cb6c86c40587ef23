import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { PORT_VARIABLES, type ServiceName, URL_VARIABLES } from '../src/config.ts'
import { makeRun, makeSong } from '../test-support/events.ts'
import {
  getJson,
  type Json,
  post,
  settled,
  spawnRunify,
  startInProcess,
  temporaryFolder,
  waitFor,
} from '../test-support/harness.ts'

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
      // A connection that was kept open is cut off first.
      return (causes as Json[]).find(({ detail }) => detail === 'Receiver does not answer: nothing listens there')
    })
    assert.deepEqual([cause.dependency, cause.services], ['Receiver', ['receiver']])

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

  test('remembers after a kill how the day was, and that its services were unavailable meanwhile', async () => {
    await using opened = new AsyncDisposableStack()
    const { path: dir } = opened.use(await temporaryFolder())
    const file = join(dir, 'health-history.json')
    const start = async () => opened.use(await spawnRunify({ dir, ...PROMPT }))
    const statusOf = async ({ addresses }: Awaited<ReturnType<typeof start>>) =>
      (await getJson(`${addresses['health-check']}/status`)) as unknown as Status
    const first = await start()
    const before = await statusOf(first)
    assert.deepEqual(new Set(before.services.map(({ last_day }) => last_day.uptime)), new Set([100]))
    await waitFor(async () => existsSync(file))
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    await first.kill('SIGKILL')
    await waitFor(async () => Date.now() > Date.parse(before.last_updated) + 1000)

    const second = await start()
    const after = await statusOf(second)
    for (const { service, last_day } of after.services) {
      assert.ok((last_day.uptime as number) < 100, `${service} was unavailable: ${last_day.uptime}`)
    }
    assert.ok(after.history_since <= before.watching_since, `${after.history_since}`)
    assert.ok(after.history_since < after.watching_since)
    await second.kill('SIGTERM')

    await writeFile(file, '{"version":1,"since":')
    const third = await start()
    const { services, history_since, watching_since } = await statusOf(third)
    assert.deepEqual(new Set(services.map(({ last_day }) => last_day.uptime)), new Set([100]), 'it begins anew')
    assert.ok(Date.parse(history_since) - Date.parse(watching_since) < 1000)
  })
})

type Status = {
  services: { service: string; last_day: { asked: number; uptime: number | null } }[]
  history_since: string
  watching_since: string
  last_updated: string
}
