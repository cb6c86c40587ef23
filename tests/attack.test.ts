import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import { SERVICES } from '../src/config.ts'
import { makeRun, makeSong, toNdjson } from '../test-support/events.ts'
import {
  getJson,
  post,
  type RunifyProcess,
  settled,
  spawnRunify,
  temporaryFolder,
  waitFor,
  within,
} from '../test-support/harness.ts'
import { startFlags } from '../test-support/start-flags.ts'

/** What clients do who want to use up memory or files of the one process: it is bounded, and others are served. */

const RSS_MIB_MAX = 250
const STOP_MS_MAX = 10_000
/** As long as names may be, of characters that take three bytes. */
const LONG = '€'.repeat(256)
const SONGS = 10_000

describe('Clients that send requests without reading the answers', () => {
  test('cost little memory, wherever the answers are large, and do not hold up the end', async () => {
    await using folder = await temporaryFolder()
    await storeLongSongs(folder.path)
    await using runify = await spawnRunify({ dir: folder.path }, SERVICES, { flags: startFlags() })
    await settled(runify)
    const { receiver, storage, dashboard } = runify.addresses
    await using clients = new AsyncDisposableStack()
    const rss = clients.adopt(watchRss(runify), ({ stop }) => void stop())
    const page = await (await fetch(dashboard)).text()
    const [, script] = /src="(\/assets\/[^"]+)"/.exec(page) ?? assert.fail('the page has no script')
    const floods = [
      ...flood(clients, dashboard, { connections: 40, requests: 100, path: script as string }),
      ...flood(clients, storage, { connections: 20, requests: 200, path: '/stats/music?limit=10000' }),
      ...flood(clients, storage, { connections: 4, requests: 10, path: '/changes?limit=10000' }),
      ...flood(clients, dashboard, { connections: 4, requests: 10, path: '/storage/stats/music?limit=10000' }),
      ...flood(clients, storage, {
        connections: 4,
        requests: 10,
        path: '/stats/music',
        headers: 'accept: text/csv\r\n',
      }),
    ]
    // What takes too much memory waits, and is answered or refused in the end.
    await waitFor(async () => floods.filter((socket) => socket.bytesRead > 0).length > floods.length / 2, 60_000)
    const { status } = await post(`${receiver}/stats/music`, makeSong(SONGS))
    assert.equal(status, 201)
    assert.equal((await getJson(`${storage}/health/ready`)).status, 'ready')
    assert.deepEqual(await within(STOP_MS_MAX, runify.kill('SIGTERM'), 'stopping'), { code: 0, signal: null })
    const highest = rss.stop()
    assert.ok(highest <= RSS_MIB_MAX, `it took ${highest} MiB`)
  })
})

describe('Clients that connect and send nothing', () => {
  test('use up what one service may have open, and not what the others need', async () => {
    await using folder = await temporaryFolder()
    const lines: string[] = []
    await using runify = await spawnRunify({ dir: folder.path }, SERVICES, {
      within: ['sh', '-c', 'ulimit -n 256; exec "$@"', 'sh'],
      onLine: (line) => void lines.push(line),
    })
    const { receiver, storage } = runify.addresses
    await using clients = new AsyncDisposableStack()
    const { hostname, port } = new URL(storage)
    for (let n = 0; n < 300; n++) {
      const socket = connect(Number(port), hostname).on('error', () => {})
      clients.defer(() => void socket.destroy())
    }
    await waitFor(async () => lines.some((line) => /"service":"storage".*more connections than/.test(line)))
    // Each on a connection of its own, as those who come now have.
    for (let n = 0; n < 20; n++) {
      const { status } = await post(`${receiver}/stats/running`, makeRun(n), { connection: 'close' })
      assert.equal(status, 201)
    }
    const told = lines.filter((line) => line.includes('more connections than'))
    assert.equal(told.length, 1, 'once in a while is enough')
    await clients.disposeAsync()
    await settled(runify)
    assert.equal((await getJson(`${storage}/stats`)).num_running_stats, 20)
    assert.equal(runify.stderr(), '')
  })
})

async function storeLongSongs(dir: string): Promise<void> {
  await using runify = await spawnRunify({ dir })
  for (let sent = 0; sent < SONGS; sent += 1000) {
    const songs = Array.from({ length: 1000 }, (_, n) => makeSong(sent + n, { song_name: LONG, artist: LONG }))
    const headers = { 'content-type': 'application/x-ndjson' }
    assert.equal((await post(`${runify.addresses.receiver}/stats/music`, toNdjson(songs), headers)).status, 201)
  }
  await settled(runify, 60_000)
  assert.deepEqual(await runify.kill('SIGTERM'), { code: 0, signal: null })
}

type Flood = { connections: number; requests: number; path: string; headers?: string }

/** Connections that send all their requests at once, and read the first bytes of what comes. */
function flood(clients: AsyncDisposableStack, address: string, { connections, requests, path, headers = '' }: Flood) {
  const { hostname, port } = new URL(address)
  return Array.from({ length: connections }, () => {
    const socket: Socket = connect(Number(port), hostname)
    clients.defer(() => void socket.destroy())
    socket.on('error', () => {}).once('data', () => socket.pause())
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`.repeat(requests))
    return socket
  })
}

/** Looks again and again at how much memory the process has; `stop` tells the most, in MiB. */
function watchRss({ pid }: RunifyProcess) {
  let highest = 0
  const look = () => {
    try {
      const [, kib] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
      highest = Math.max(highest, Number(kib ?? 0) / 1024)
    } catch {
      // It has ended.
    }
  }
  const timer = setInterval(look, 50)
  return {
    stop: () => {
      clearInterval(timer)
      return Math.round(highest)
    },
  }
}
