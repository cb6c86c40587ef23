import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeMany, makeRun, makeSong, toNdjson } from '../test-support/events.ts'
import {
  getJson,
  getList,
  type Json,
  post,
  type RunifyProcess,
  runToExit,
  settled,
  spawnRunify,
  temporaryFolder,
  waitFor,
  within,
} from '../test-support/harness.ts'

/** Starting, stopping and starting again, each as a process of its own. */

const STOP_MS_MAX = 10_000

describe('SIGTERM', () => {
  test('finishes the requests that are under way, then ends with 0 within 10 s', async () => {
    await using folder = await temporaryFolder()
    const { events } = makeMany('running', 2000)
    {
      await using runify = await spawnRunify({ dir: folder.path })
      const { receiver } = runify.addresses
      const stream = open(`${receiver}/stats/running`, 'application/x-ndjson')
      stream.sending.write(toNdjson(events.slice(0, 1500)))
      const single = open(`${receiver}/stats/music`, 'application/json')
      const song = JSON.stringify(makeSong(1))
      single.sending.write(song.slice(0, 20))
      // Storage has some of it, so the Receiver is in the middle of it.
      await waitFor(async () => (await countRuns(runify)) > 0)

      const stopping = performance.now()
      process.kill(runify.pid, 'SIGTERM')
      await waitFor(async () => !(await isListening(receiver)))
      stream.sending.end(toNdjson(events.slice(1500)))
      single.sending.end(song.slice(20))
      const { status, body } = await stream.answer()
      assert.deepEqual({ status, body }, { status: 201, body: { accepted: 2000, rejected: 0 } })
      assert.equal((await single.answer()).status, 201)
      assert.deepEqual(await runify.exited, { code: 0, signal: null })
      assert.ok(performance.now() - stopping < STOP_MS_MAX)
      assert.equal(runify.stderr(), '')
    }
    await using runify = await spawnRunify({ dir: folder.path })
    await settled(runify)
    assert.deepEqual(await getJson(`${runify.addresses.storage}/stats`), { num_running_stats: 2000, num_music_info: 1 })
  })

  test('says of a stream that never ends just what it took, so that its client can go on behind it', async () => {
    await using folder = await temporaryFolder()
    const user_id = randomUUID()
    const lines = async function* () {
      // Slowly enough for one page to show all that was taken.
      for (let n = 0; ; n += 20, await sleep(50)) {
        const runs = Array.from({ length: 20 }, (_, i) => makeRun(n + i, { user_id, event_id: `${n + i}` }))
        yield toNdjson([...runs, 'no run'])
      }
    }
    let taken: Json
    {
      await using runify = await spawnRunify({ dir: folder.path })
      const { receiver } = runify.addresses
      const stream = open(`${receiver}/stats/running`, 'application/x-ndjson')
      const endless = pipeline(Readable.from(lines()), stream.sending).catch(() => {})
      const array = open(`${receiver}/stats/running`, 'application/json')
      array.sending.write(`[${JSON.stringify(makeRun(1))},`)
      await waitFor(async () => (await countRuns(runify)) > 0)
      const stopping = performance.now()
      process.kill(runify.pid, 'SIGTERM')
      const cut = await stream.answer()
      const { accepted, rejected, errors, ...problem } = cut.body
      assert.deepEqual([cut.status, problem.code], [503, 'stopping'])
      assert.deepEqual([cut.headers['retry-after'], cut.headers.connection], ['1', 'close'])
      assert.ok((accepted as number) > 0 && (rejected as number) > 0)
      assert.deepEqual((errors as Json[])[0]?.index, 20)
      taken = { accepted, rejected }
      const none = await array.answer()
      assert.deepEqual([none.status, none.body.code, none.body.accepted], [503, 'stopping', 0])
      assert.deepEqual(await runify.exited, { code: 0, signal: null })
      assert.ok(performance.now() - stopping < STOP_MS_MAX)
      await endless
    }
    await using runify = await spawnRunify({ dir: folder.path })
    await settled(runify)
    const { accepted, rejected } = taken as { accepted: number; rejected: number }
    assert.equal(await countRuns(runify), accepted)
    // Every 21st line is none: what was decided is the first lines, and all of them.
    const last = accepted + rejected - 1
    assert.equal(rejected, Math.floor((last + 1) / 21))
    const stored = await getList(`${runify.addresses.storage}/stats/running?user_id=${user_id}&limit=10000`)
    const ids = new Set(stored.map(({ event_id }) => event_id))
    for (let n = 0; n < accepted; n++) assert.ok(ids.has(`${n}`), `run ${n} of ${accepted}`)
  })

  test('keeps what it answered, whatever else it breaks off', async () => {
    await using folder = await temporaryFolder()
    const acknowledged: string[] = []
    {
      await using runify = await spawnRunify({ dir: folder.path })
      const url = `${runify.addresses.receiver}/stats/running`
      const send = async (n: number) => {
        // A connection may be refused or closed now; an answer must be 201.
        const answer = await post(url, makeRun(n, { event_id: `run-${n}` })).catch(() => undefined)
        if (answer === undefined) return
        assert.equal(answer.status, 201)
        acknowledged.push(answer.body.trace_id as string)
      }
      await send(0)
      const sending = Promise.all(Array.from({ length: 300 }, (_, n) => send(n + 1)))
      await waitFor(async () => acknowledged.length > 20)
      assert.deepEqual(await within(STOP_MS_MAX, runify.kill('SIGTERM'), 'stopping'), { code: 0, signal: null })
      await sending
    }
    await using runify = await spawnRunify({ dir: folder.path })
    await settled(runify)
    const stored = await getList(`${runify.addresses.storage}/stats/running`)
    const ids = new Set(stored.map(({ trace_id }) => trace_id))
    assert.deepEqual(
      acknowledged.filter((id) => !ids.has(id)),
      [],
    )
    assert.equal(ids.size, stored.length)
  })

  test('ends with 0 within 10 s though clients stand still everywhere', async () => {
    await using folder = await temporaryFolder()
    await using runify = await spawnRunify({ dir: folder.path })
    const { receiver, storage } = runify.addresses
    for (let at = 0; at < 4; at++) {
      const { status } = await post(`${receiver}/stats/music`, toNdjson(makeMany('music', 10_000).events), {
        'content-type': 'application/x-ndjson',
      })
      assert.equal(status, 201)
    }
    await settled(runify)
    await using clients = new AsyncDisposableStack()
    const hang = async (address: string, head: string): Promise<void> => {
      const { hostname, port } = new URL(address)
      const socket = connect(Number(port), hostname)
      clients.defer(() => void socket.destroy())
      socket.on('error', () => {}).pause()
      await once(socket, 'connect')
      socket.write(head)
    }
    await hang(
      receiver,
      'POST /stats/music HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-ndjson\r\ncontent-length: 9\r\n\r\n{',
    )
    await hang(
      receiver,
      'POST /stats/music HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{',
    )
    await hang(storage, 'GET /stats/music HTTP/1.1\r\nhost: a\r\naccept: application/x-ndjson\r\n\r\n')
    // Nobody reads the answer, so Storage can send no more than what fits between the two.
    for (const address of Object.values(runify.addresses)) {
      await hang(address, 'GET /health/ready HTTP/1.1\r\nhost: a\r\n')
    }
    assert.deepEqual(await within(STOP_MS_MAX, runify.kill('SIGTERM'), 'stopping'), { code: 0, signal: null })
  })

  test('ends with 0 just as Ctrl-C does', async () => {
    await using folder = await temporaryFolder()
    await using runify = await spawnRunify({ dir: folder.path })
    assert.deepEqual(await within(STOP_MS_MAX, runify.kill('SIGINT'), 'stopping'), { code: 0, signal: null })
  })
})

describe('a restart', () => {
  test('keeps events, statistics, indexes and ids', async () => {
    await using folder = await temporaryFolder()
    const run = makeRun(1, { event_id: 'one' })
    const see = async ({ addresses: { storage, processing, analyzer } }: RunifyProcess): Promise<Json> => ({
      runs: await getList(`${storage}/stats/running`),
      songs: await getList(`${storage}/stats/music`),
      statistics: await getJson(`${processing}/stats`),
      third: await getJson(`${analyzer}/music?index=2`),
    })
    let before: Json
    let traceId: unknown
    {
      await using runify = await spawnRunify({ dir: folder.path })
      const { receiver } = runify.addresses
      traceId = (await post(`${receiver}/stats/running`, run)).body.trace_id
      await post(`${receiver}/stats/music`, makeMany('music', 20).events)
      await settled(runify)
      before = await see(runify)
      await runify.kill('SIGTERM')
    }
    await using runify = await spawnRunify({ dir: folder.path })
    await settled(runify)
    assert.deepEqual(await see(runify), before)
    assert.equal((await post(`${runify.addresses.receiver}/stats/running`, run)).body.trace_id, traceId)
    await settled(runify)
    assert.deepEqual(await getList(`${runify.addresses.storage}/stats/running`), before.runs)
  })
})

describe('a start that cannot work ends with one line that names the cause', () => {
  const check = ({ code, stderr }: { code: number | null; stderr: string }, names: RegExp) => {
    assert.ok(code !== 0 && code !== null, `it ended with ${code}`)
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr)
    assert.match(stderr, names)
  }

  test('a second process on the same folder', async () => {
    await using folder = await temporaryFolder()
    await using runify = await spawnRunify({ dir: folder.path })
    check(await runToExit({ dir: folder.path }), /^runify: RUNIFY_DATA_DIR: .*another process/)
    assert.equal((await fetch(`${runify.addresses.receiver}/health/ready`)).status, 200, 'the first goes on')
  })

  for (const [service, variable] of [
    ['receiver', 'RECEIVER_PORT'],
    ['storage', 'STORAGE_PORT'],
  ] as const) {
    test(`a port that is taken: ${variable}`, async () => {
      await using folder = await temporaryFolder()
      await using other = await temporaryFolder()
      await using runify = await spawnRunify({ dir: folder.path })
      const { port } = new URL(runify.addresses[service])
      const exit = await runToExit({ dir: other.path, [variable]: port })
      check(exit, new RegExp(`^runify: ${variable}: .*:${port}\\b`))
    })
  }

  for (const [variable, value] of [
    ['RECEIVER_PORT', '70000'],
    ['STORAGE_PORT', 'eighty'],
    ['PROCESSING_PERIOD_MS', '2s'],
    ['PROCESSING_PERIOD_MS', '-1'],
    ['RUNIFY_HOST', '0.0.0.0'],
    ['RUNIFY_LOG', 'rabbit://localhost'],
    ['RUNIFY_STORE', 'postgres://u:secret@localhost/x'],
    ['RUNIFY_API_KEYS', 'me:admin:00'],
    ['RUNIFY_ALLOW_ANONYMOUS', 'yes'],
    ['RUNIFY_LOG_LEVEL', 'loud'],
    ['RUNIFY_DATA_DIR', '/dev/null/data'],
    ['RUNIFY_DATA_DIR', '/dev/null'],
    // Where a folder is there but takes no others.
    ['RUNIFY_DATA_DIR', '/proc/nope'],
    ['RUNIFY_DATA_DIR', `/tmp/${'x'.repeat(300)}`],
  ] as const) {
    test(`${variable}=${value}`, async () => {
      await using folder = await temporaryFolder()
      const exit = await runToExit({ dir: folder.path, [variable]: value })
      check(exit, new RegExp(`^runify: ${variable}\\b`))
      assert.doesNotMatch(exit.stderr, /secret/)
    })
  }

  test('a data folder that is a file, a pipe, a link to nowhere, or has another in the place of its lock', async () => {
    await using folder = await temporaryFolder()
    const at = (name: string) => join(folder.path, name)
    writeFileSync(at('file'), '')
    symlinkSync(at('nowhere/at-all'), at('link'))
    execFileSync('mkfifo', [at('pipe')])
    mkdirSync(at('lock/lock.db'), { recursive: true })
    for (const name of ['file', 'file/below', 'link', 'pipe', 'lock']) {
      check(await runToExit({ dir: at(name) }), /^runify: RUNIFY_DATA_DIR: .* cannot be used/)
    }
  })

  test('a data folder that may not be written', { skip: notRoot() }, async () => {
    await using folder = await temporaryFolder()
    chmodSync(folder.path, 0o755)
    const user = { uid: 65_534, gid: 65_534 }
    check(await runToExit({ dir: folder.path }, user), /^runify: RUNIFY_DATA_DIR: .* cannot be used/)
    check(await runToExit({ dir: join(folder.path, 'below') }, user), /^runify: RUNIFY_DATA_DIR: .* cannot be used/)
  })
})

function notRoot(): string | false {
  return process.getuid?.() === 0 ? false : 'needs root, to run as somebody who may less'
}

function open(url: string, type: string) {
  const sending: ClientRequest = request(url, { method: 'POST', headers: { 'content-type': type }, agent: false })
  const answered = once(sending, 'response') as Promise<[IncomingMessage]>
  const answer = async () => {
    const [response] = await answered
    return { status: response.statusCode, headers: response.headers, body: JSON.parse(await text(response)) as Json }
  }
  return { sending, answer }
}

async function countRuns({ addresses }: RunifyProcess): Promise<number> {
  return (await getJson(`${addresses.storage}/stats`)).num_running_stats as number
}

async function isListening(address: string): Promise<boolean> {
  const { hostname, port } = new URL(address)
  const socket = connect(Number(port), hostname)
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
