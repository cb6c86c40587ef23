import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { ServiceName } from '../../src/config.ts'
import { makeRun } from '../../test-support/events.ts'
import {
  getJson,
  type Json,
  post,
  type RunifyProcess,
  spawnRunify,
  temporaryFolder,
  waitFor,
} from '../../test-support/harness.ts'

/** What operators and disks do to the data folder while Runify runs. */

const PROMPT = { RUNIFY_HEALTH_PERIOD_MS: '100' }

type Ready = { status: number; detail: string }

async function readiness({ addresses }: RunifyProcess, service: ServiceName): Promise<Ready> {
  const response = await fetch(`${addresses[service]}/health/ready`)
  const { detail = '' } = (await response.json()) as { detail?: string }
  return { status: response.status, detail }
}

async function notReady(runify: RunifyProcess, service: ServiceName, why: RegExp): Promise<void> {
  const { detail } = await waitFor(async () => {
    const ready = await readiness(runify, service)
    return ready.status === 503 && why.test(ready.detail) && ready
  })
  assert.match(detail, why)
}

async function ready(runify: RunifyProcess, services: readonly ServiceName[]): Promise<void> {
  for (const service of services) await waitFor(async () => (await readiness(runify, service)).status === 200)
}

const KEEPERS = {
  'store.db': 'storage',
  'statistics.db': 'processing',
  'anomalies.db': 'anomaly-detector',
} as const satisfies Record<string, ServiceName>

describe('Files that are taken away while Runify runs', () => {
  test('all of them: nothing is acknowledged any more, and nobody says that it is ready', async () => {
    await using folder = await temporaryFolder()
    await using runify = await spawnRunify({ dir: folder.path, ...PROMPT })
    const url = `${runify.addresses.receiver}/stats/running`
    await waitFor(async () => (await post(url, makeRun(1, { event_id: 'one' }))).status === 201)
    await ready(runify, ['receiver', 'storage', 'processing', 'anomaly-detector'])
    for (const name of readdirSync(folder.path)) rmSync(join(folder.path, name))

    const { status, body, headers } = await post(url, makeRun(2))
    assert.deepEqual([status, body.code, headers.get('retry-after')], [503, 'log_unavailable', '1'])
    assert.match(body.detail as string, /log\.db was removed while it was in use/)
    await notReady(runify, 'receiver', /log\.db was removed/)
    for (const [name, service] of Object.entries(KEEPERS))
      await notReady(runify, service, new RegExp(`${name} was removed`))
    const causes = await waitFor(async () => {
      const found = (await getJson(`${runify.addresses['health-check']}/status`)).causes as Json[]
      return found.length >= 4 && found
    })
    assert.match(JSON.stringify(causes), /log\.db was removed/)
    assert.equal((await fetch(`${runify.addresses.receiver}/metrics`)).status, 200)
  })

  test('before the first event: no other log is made in its place', async () => {
    await using folder = await temporaryFolder()
    await using runify = await spawnRunify({ dir: folder.path })
    for (const name of readdirSync(folder.path)) rmSync(join(folder.path, name))
    const { status, body } = await post(`${runify.addresses.receiver}/stats/running`, makeRun(1))
    assert.deepEqual([status, body.code], [503, 'log_unavailable'])
    assert.ok(!readdirSync(folder.path).includes('log.db'))
  })

  for (const [what, take] of [
    ['the write-ahead log of the log', (dir: string) => rmSync(join(dir, 'log.db-wal'))],
    ['the log, another in its place', (dir: string) => replace(join(dir, 'log.db'))],
    ['the folder', (dir: string) => rmSync(dir, { recursive: true })],
  ] as const) {
    test(`${what}: nothing is acknowledged`, async () => {
      await using folder = await temporaryFolder()
      const dir = join(folder.path, 'data')
      await using runify = await spawnRunify({ dir })
      const url = `${runify.addresses.receiver}/stats/running`
      await waitFor(async () => (await post(url, makeRun(1, { event_id: 'one' }))).status === 201)
      take(dir)
      const { status, body } = await post(url, makeRun(2))
      assert.deepEqual([status, body.code], [503, 'log_unavailable'])
      assert.match(body.detail as string, /log\.db(-wal)? was (removed|replaced)/)
      await notReady(runify, 'receiver', /was (removed|replaced)/)
    })
  }

  for (const [name, service] of Object.entries(KEEPERS)) {
    test(`${name} alone: ${service} says so, writes nothing, and events are taken as before`, async () => {
      await using folder = await temporaryFolder()
      await using runify = await spawnRunify({ dir: folder.path })
      const url = `${runify.addresses.receiver}/stats/running`
      await waitFor(async () => (await post(url, makeRun(1, { event_id: 'one' }))).status === 201)
      await ready(runify, ['receiver', service])
      renameSync(join(folder.path, name), join(folder.path, 'elsewhere'))
      await notReady(runify, service, new RegExp(`^${name} was removed`))
      assert.equal((await post(url, makeRun(2))).status, 201)
      await ready(runify, ['receiver'])
      // Put back, it is the file that is open: all goes on.
      renameSync(join(folder.path, 'elsewhere'), join(folder.path, name))
      await ready(runify, [service])
      await waitFor(async () => (await getJson(`${runify.addresses.processing}/stats`)).num_running_stats === 2)
    })
  }
})

describe('A disk that is full', { skip: withoutMounts() }, () => {
  test('is said by its name wherever somebody looks, until there is room; what was acknowledged is there', async () => {
    await using folder = await temporaryFolder()
    const dir = folder.path
    const mounted = ['unshare', '-m', 'sh', '-c', `mount -t tmpfs -o size=24m tmpfs ${dir} && exec "$@"`, 'sh']
    await using runify = await spawnRunify({ dir, ...PROMPT }, undefined, { within: mounted })
    const { receiver, processing, 'health-check': health } = runify.addresses
    const seen = `/proc/${runify.pid}/root${dir}/filler`
    const url = `${receiver}/stats/running`
    const acknowledged = new Set<string>()
    const send = async (n: number): Promise<Json> => {
      const { status, body } = await post(url, makeRun(n, { event_id: `run-${n}` }))
      if (status === 201) acknowledged.add(body.trace_id as string)
      return { status, ...body }
    }
    await waitFor(async () => (await send(0)).status === 201)
    await ready(runify, ['receiver', 'storage', 'processing', 'anomaly-detector'])

    fill(seen)
    let n = 1
    const refused = await waitFor(async () => {
      const answer = await send(n++)
      return answer.status === 503 && answer
    })
    assert.deepEqual([refused.code, refused.detail], ['log_unavailable', `the disk is full: ${dir}`])
    await notReady(runify, 'receiver', /^the disk is full: /)
    await waitFor(async () => JSON.stringify(await getJson(`${health}/status`)).includes(`the disk is full: ${dir}`))
    assert.ok((await metric(receiver, 'runify_data_free_bytes')) < 1024 * 1024)
    assert.ok((await metric(receiver, 'runify_data_size_bytes')) > 1024 * 1024)

    rmSync(seen)
    await ready(runify, ['receiver', 'storage', 'processing', 'anomaly-detector'])
    for (let again = 0; again < n; again++) assert.equal((await send(again)).status, 201)
    await waitFor(async () => (await getJson(`${processing}/stats`)).num_running_stats === n)
    for (const id of acknowledged) await getJson(`${runify.addresses.storage}/events/${id}`)
    assert.ok((await metric(receiver, 'runify_data_free_bytes')) > 1024 * 1024)
  })
})

function withoutMounts(): string | false {
  try {
    execFileSync('unshare', ['-m', 'sh', '-c', 'mount -t tmpfs -o size=1m tmpfs /mnt'], { stdio: 'pipe' })
    return false
  } catch (error) {
    return `needs root and a mount namespace of its own: ${(error as Error).message}`
  }
}

/** Takes the last byte there is. */
function fill(path: string): void {
  for (const bytes of [1024 * 1024, 4096, 1]) {
    try {
      while (true) writeFileSync(path, Buffer.alloc(bytes), { flag: 'a' })
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
    }
  }
}

function replace(path: string): void {
  copyFileSync(path, `${path}.copy`)
  renameSync(`${path}.copy`, path)
  assert.ok(statSync(path).size > 0)
}

async function metric(address: string, name: string): Promise<number> {
  const text = await (await fetch(`${address}/metrics`)).text()
  return Number(new RegExp(`^${name}\\{.*\\} (\\S+)$`, 'm').exec(text)?.[1])
}
