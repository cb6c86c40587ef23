import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import { SERVICES, type ServiceName } from '../src/config.ts'
import { getJson, type Json, spawnRunify, startInProcess, temporaryFolder, waitFor } from '../test-support/harness.ts'

/** Runify while the servers that it stands on are unavailable, from its start on. What needs real servers is in `servers/`. */

const STOP_MS_MAX = 10_000
const ANSWER_MS_MAX = 3000
/** No resolver knows a name below it (RFC 6761). */
const NOWHERE = 'nowhere.invalid'
const UNKNOWN_NAME = /ENOTFOUND|EAI_AGAIN/

describe('While the log is unavailable', () => {
  for (const [how, open] of [
    ['takes no connections', async () => ({ address: '127.0.0.1:9', [Symbol.asyncDispose]: async () => {} })],
    ['is silent', openSilent],
  ] as const) {
    test(`and ${how}, what is counted and found is told, and that nobody knows what is missing`, async () => {
      await using broker = await open()
      await using runify = await startInProcess({ RUNIFY_LOG: `kafka://${broker.address}` })
      const { processing, 'anomaly-detector': anomalies, 'health-check': health } = runify.addresses
      for (const url of [`${processing}/stats`, `${anomalies}/stats`]) {
        const began = performance.now()
        const { behind, num_running_stats, num_anomalies } = await getJson(url)
        assert.deepEqual([behind, num_running_stats ?? num_anomalies], [null, 0], url)
        assert.ok(performance.now() - began < ANSWER_MS_MAX, `${url} took too long`)
      }
      // It counts from the store, and has nothing else to do.
      assert.equal((await fetch(`${processing}/health/ready`)).status, 200)
      await waitFor(async () => (await getJson(`${health}/check`)).processing === 'Processing has 0 runs and 0 songs')
      const { status, body } = await ready(anomalies)
      assert.deepEqual([status, body.code], [503, 'log_unavailable'])
    })
  }
})

describe('Before the servers are there', () => {
  for (const [how, open, why] of [
    [
      'their names are unknown',
      async () => ({ address: NOWHERE, [Symbol.asyncDispose]: async () => {} }),
      UNKNOWN_NAME,
    ],
    ['they are silent', openSilent, /waiting for MySQL at 127\.0\.0\.1:\d+: /],
  ] as const) {
    test(`and ${how}, all services live, are not ready and say why, and end with 0`, async () => {
      await using folder = await temporaryFolder()
      await using server = await open()
      const address = server.address.includes(':') ? server.address : `${server.address}:9`
      await using runify = await spawnRunify({
        dir: folder.path,
        RUNIFY_LOG: `kafka://${address}`,
        RUNIFY_STORE: `mysql://runify:secret@${address}/runify`,
      })
      const lacking: Partial<Record<ServiceName, string>> = {
        receiver: 'log_unavailable',
        storage: 'store_unavailable',
        processing: 'statistics_unavailable',
        analyzer: 'log_unavailable',
        'anomaly-detector': 'anomalies_unavailable',
      }
      for (const service of SERVICES) {
        const url = runify.addresses[service]
        assert.equal((await fetch(`${url}/health/live`)).status, 200)
        const began = performance.now()
        const { status, body } = await ready(url)
        assert.ok(performance.now() - began < ANSWER_MS_MAX, `${service} took too long to say that it is not ready`)
        assert.deepEqual([service, status, body.code], [service, lacking[service] ? 503 : 200, lacking[service]])
        if (lacking[service] !== undefined && lacking[service] !== 'log_unavailable') {
          assert.match(body.detail as string, why)
          assert.match(body.detail as string, /^waiting for MySQL at .*:\d+: /)
        }
        assert.doesNotMatch(JSON.stringify(body), /secret/)
      }
      const stopping = performance.now()
      assert.deepEqual(await runify.kill('SIGTERM'), { code: 0, signal: null })
      assert.ok(performance.now() - stopping < STOP_MS_MAX)
      assert.equal(runify.stderr(), '')
    })
  }
})

async function ready(url: string): Promise<{ status: number; body: Json }> {
  const response = await fetch(`${url}/health/ready`)
  return { status: response.status, body: (await response.json()) as Json }
}

/** A server that takes connections, and answers nothing. */
async function openSilent() {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await once(server.close(), 'close')
    },
  }
}
