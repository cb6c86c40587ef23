import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Admin } from '@platformatic/kafka'
import { createConnection } from 'mysql2/promise'
import { asStored, fromNdjson, makeRun, makeSong } from '../../test-support/events.ts'
import { getJson, getList, type Json, post, settled, waitFor } from '../../test-support/harness.ts'
import { recount, statisticsOf } from '../../test-support/recount.ts'
import { RetryingClient } from '../../test-support/retrying-client.ts'
import { ComposeProject } from './compose-project.ts'

/** The compose files as users start them, seen from outside: through the published ports. */

const SERVICES = ['receiver', 'storage', 'processing', 'analyzer', 'anomaly-detector', 'health-check', 'dashboard']
const STOP_S_MAX = 10
const SETTLED_MS_MAX = 60_000
const EVENTS = 20_000
const AWAY_MS = 6000
const SENDERS = 8
const TRIES_MAX = 10

const RUNS = Array.from({ length: 3 }, (_, n) => makeRun(n))
const SONGS = Array.from({ length: 39 }, (_, n) => makeSong(n))

const execute = promisify(execFile)

describe('compose.yaml', () => {
  let project: ComposeProject
  before(async () => {
    project = await ComposeProject.copy('compose.yaml')
  })
  after(() => project?.[Symbol.asyncDispose]())

  test('says in one line what to do when there is no .env', async () => {
    const { code, stdout, stderr } = await project.try('up', '-d')
    assert.notEqual(code, 0)
    assert.match(`${stdout}${stderr}`.trim(), /^[^\n]*MYSQL_ROOT_PASSWORD[^\n]*cp \.env\.example \.env$/)
  })

  test('starts on a clean copy', async (t) => {
    await project.configure()
    t.diagnostic(`ready after ${await project.up()} s`)
  })

  test('takes in the first events, keeps and counts them', () => checkFirstEvents(project))

  test('loses nothing of what many clients send, and doubles nothing', async (t) => {
    await checkManyEvents(project, (client) => client.sendUntilAnswered(project.addresses.receiver, t.signal))
  })

  test('gives every service little to do harm with', async () => {
    for (const service of SERVICES) {
      const status = await project.run('exec', '-T', service, 'cat', '/proc/1/status')
      assert.match(status, /^Uid:\t1000\t1000\t1000\t1000$/m, `${service} is not root`)
      assert.match(status, /^CapBnd:\t0+$/m, `${service} can get no capability`)
      assert.match(status, /^NoNewPrivs:\t1$/m)
      const { code, stderr } = await project.try('exec', '-T', service, 'touch', '/app/x', '/data/x', '/tmp/x')
      assert.equal(code, 1)
      assert.equal(stderr.match(/Read-only file system/g)?.length, 3, stderr)
    }
  })

  test('has nothing in the image that is not for production', async () => {
    const names = await project.run('exec', '-T', 'receiver', 'ls', '/app', '/app/node_modules', '/app/src/log')
    for (const name of ['node', 'typescript', '@biomejs', 'tests', '.env', '.git', 'append-queue.test.ts']) {
      assert.ok(!names.split('\n').includes(name), name)
    }
  })

  test('publishes on loopback only', async () => {
    for (const service of [...SERVICES, 'kafka', 'mysql']) {
      for (const id of await project.containers(service)) {
        const { stdout } = await execute('docker', ['inspect', '-f', '{{json .HostConfig.PortBindings}}', id])
        const bindings = Object.values(JSON.parse(stdout) as Record<string, { HostIp: string }[]>).flat()
        assert.deepEqual(
          bindings.map(({ HostIp }) => HostIp),
          ['127.0.0.1'],
        )
      }
    }
  })

  test('lets programs on this machine reach MySQL and Kafka', async () => {
    const port = Number(project.ports.MYSQL_PORT)
    const connection = await createConnection({ host: '127.0.0.1', port, user: 'root', password: 'change-me' })
    const [rows] = await connection.query("SELECT COUNT(*) AS users FROM mysql.user WHERE user = 'runify'")
    connection.destroy()
    assert.deepEqual(rows, [{ users: 1 }])
    const admin = new Admin({ clientId: 'test', bootstrapBrokers: [`localhost:${project.ports.KAFKA_PORT}`] })
    const topics = await admin.listTopics().finally(() => admin.close())
    assert.ok(topics.includes('runify.running_stats'), `${topics}`)
  })

  test('shows what the services write', async () => {
    assert.match(await project.run('logs', 'receiver'), /listening/)
  })

  test(`stops every service within ${STOP_S_MAX} s, with exit code 0`, async () => {
    const started = performance.now()
    await project.run('stop', ...SERVICES)
    assert.ok(performance.now() - started < STOP_S_MAX * 1000)
    for (const service of SERVICES) {
      for (const id of await project.containers(service)) {
        const { stdout } = await execute('docker', ['inspect', '-f', '{{.State.ExitCode}}', id])
        assert.equal(stdout.trim(), '0', service)
      }
    }
  })

  test('has everything again after down and up', async (t) => {
    await project.run('start')
    await waitFor(() => fetch(`${project.addresses.processing}/health/ready`).then(({ ok }) => ok), SETTLED_MS_MAX)
    await settled(project, SETTLED_MS_MAX)
    const before = await whatUsersSee(project)
    await project.run('down')
    t.diagnostic(`ready again after ${await project.up()} s`)
    await settled(project, SETTLED_MS_MAX)
    assert.deepEqual(await whatUsersSee(project), before)
    const [id] = await sendRuns(project)
    assert.equal((await getJson(`${project.addresses.analyzer}/running?index=0`)).trace_id, id, 'the log is the same')
    await settled(project, SETTLED_MS_MAX)
    assert.deepEqual(await whatUsersSee(project), before, 'a run that is sent again is still the same run')
  })
})

describe('compose.zookeeper.yaml', () => {
  let project: ComposeProject
  before(async () => {
    project = await ComposeProject.copy('compose.yaml', 'compose.zookeeper.yaml')
    await project.configure()
  })
  after(() => project?.[Symbol.asyncDispose]())

  test('starts on a clean copy', async (t) => t.diagnostic(`ready after ${await project.up()} s`))

  test('takes in the first events, keeps and counts them', () => checkFirstEvents(project))

  test('loses nothing while its broker is killed and comes back', async (t) => {
    await checkManyEvents(project, async (client) => {
      const sending = client.sendUntilAnswered(project.addresses.receiver, t.signal)
      await client.acknowledged(EVENTS / 4)
      await project.run('kill', 'kafka')
      // Not with --wait: where it is back before ZooKeeper has given its place away, it ends once more and is restarted,
      // which is what the restart policy is there for, and no reason to give up.
      await project.run('up', '-d', 'kafka')
      await sending
    })
  })
})

describe('compose.cluster.yaml', () => {
  let project: ComposeProject
  before(async () => {
    project = await ComposeProject.copy('compose.yaml', 'compose.cluster.yaml')
    await project.configure({ KAFKA_HEAP_OPTS: '-Xms256m -Xmx256m' })
  })
  after(() => project?.[Symbol.asyncDispose]())

  test('starts on a clean copy', async (t) => {
    t.diagnostic(`ready after ${await project.up()} s`)
    const running = await Promise.all(
      [...SERVICES, 'balancer'].map(async (service) => [service, (await project.containers(service)).length]),
    )
    assert.deepEqual(Object.fromEntries(running), {
      receiver: 2,
      storage: 3,
      processing: 2,
      analyzer: 1,
      'anomaly-detector': 1,
      'health-check': 1,
      dashboard: 1,
      balancer: 1,
    })
  })

  test('takes in the first events, keeps and counts them', () => checkFirstEvents(project))

  for (const broker of ['kafka', 'kafka-2']) {
    test(`fails no request that one retry does not mend when ${broker} is killed`, async (t) => {
      const { tries, slowestMs } = await sendWhile(project, async () => {
        await project.run('kill', broker)
        await sleep(AWAY_MS)
      }).finally(() => project.run('up', '-d', '--wait', broker))
      t.diagnostic(`${tries.length} requests, ${tries.filter((n) => n > 1).length} sent twice, slowest ${slowestMs} ms`)
      assert.ok(Math.max(...tries) <= 2, `${Math.max(...tries)} tries`)
      await waitFor(() => isWhole(project), SETTLED_MS_MAX)
    })
  }

  test('loses nothing while a Receiver, a Storage and a Processing are killed', async (t) => {
    await checkManyEvents(project, async (client) => {
      const sending = client.sendUntilAnswered(project.addresses.receiver, t.signal)
      await client.acknowledged(EVENTS / 4)
      for (const service of ['receiver', 'storage', 'processing']) {
        const [first] = await project.containers(service)
        await execute('docker', ['kill', first as string])
      }
      await sending
      await project.run('up', '-d', '--wait')
    })
  })
})

/** Sends three runs and 39 songs, each with a key, to a system where nothing is yet. */
async function checkFirstEvents(project: ComposeProject): Promise<void> {
  const { storage, processing, analyzer } = project.addresses
  const runIds = await sendRuns(project)
  for (const [n, song] of SONGS.entries()) await send(project, 'music', song, `song-${n}`)
  await settled(project, SETTLED_MS_MAX)
  const statistics = await getJson(`${processing}/stats`)
  assert.deepEqual(statisticsOf(statistics), recount({ runs: RUNS, songs: SONGS }))
  assert.deepEqual(await getJson(`${storage}/stats`), { num_running_stats: RUNS.length, num_music_info: SONGS.length })
  for (const [index, run] of RUNS.entries()) {
    const expected = { ...asStored(run), event_id: `run-${index}`, trace_id: runIds[index], index }
    const found = await getJson(`${analyzer}/running?index=${index}`)
    const { partition, offset, date_created, append_time, ...event } = found
    assert.deepEqual([event, typeof append_time], [expected, 'string'])
    const { index: _, ...stored } = { ...expected, type: 'running_stats', date_created, partition, offset }
    assert.deepEqual(await getJson(`${storage}/events/${runIds[index]}`), stored)
  }
  assert.equal((await fetch(`${analyzer}/running?index=${RUNS.length}`)).status, 404)
}

/** After `work` all that the client has sent is in Storage once, and the statistics equal a recount of Storage. */
async function checkManyEvents(
  project: ComposeProject,
  work: (client: RetryingClient) => Promise<void>,
): Promise<void> {
  const { storage, processing } = project.addresses
  const client = new RetryingClient({ events: EVENTS, users: 20 })
  await work(client)
  assert.equal(client.events, EVENTS)
  await settled(project, SETTLED_MS_MAX)
  const [runs, songs] = [await readAll(storage, 'running'), await readAll(storage, 'music')]
  const idOf = ({ user_id, event_id }: Json) => `${user_id} ${event_id}`
  const sent = client.sent().map(idOf)
  const stored = [...runs, ...songs].map(idOf)
  assert.equal(new Set(stored).size, stored.length, 'no event is stored twice')
  assert.deepEqual(new Set(sent).difference(new Set(stored)), new Set(), 'no event is lost')
  assert.deepEqual(statisticsOf(await getJson(`${processing}/stats`)), recount({ runs, songs }))
}

async function readAll(storage: string, kind: string): Promise<Json[]> {
  const response = await fetch(`${storage}/stats/${kind}`, { headers: { accept: 'application/x-ndjson' } })
  assert.equal(response.status, 200)
  return fromNdjson(await response.text())
}

async function sendRuns(project: ComposeProject): Promise<unknown[]> {
  const ids: unknown[] = []
  for (const [n, run] of RUNS.entries()) ids.push(await send(project, 'running', run, `run-${n}`))
  return ids
}

async function send({ addresses }: ComposeProject, kind: string, event: Json, key: string): Promise<unknown> {
  const { status, body } = await post(`${addresses.receiver}/stats/${kind}`, event, { 'idempotency-key': key })
  assert.equal(status, 201, JSON.stringify(body))
  return body.trace_id
}

async function whatUsersSee({ addresses: { storage, processing } }: ComposeProject): Promise<unknown> {
  const { as_of: _, last_updated: __, ...statistics } = await getJson(`${processing}/stats`)
  const counts = await getJson(`${storage}/stats`)
  return { statistics, counts, runs: await getList(`${storage}/stats/running?limit=10000`) }
}

/** Sends single runs, of many users, until `work` is done: how often each had to be sent. */
async function sendWhile({ addresses }: ComposeProject, work: () => Promise<void>) {
  let done = false
  const tries: number[] = []
  let slowestMs = 0
  const sender = async (first: number) => {
    for (let n = first; !done; n += SENDERS) {
      const began = performance.now()
      tries.push(await sendUntilTaken(addresses.receiver, makeRun(n, { user_id: randomUUID(), event_id: `run-${n}` })))
      slowestMs = Math.max(slowestMs, Math.round(performance.now() - began))
    }
  }
  const senders = Promise.all(Array.from({ length: SENDERS }, (_, n) => sender(n)))
  await sleep(1000)
  await work().finally(() => {
    done = true
  })
  await senders
  return { tries, slowestMs }
}

/** As often as that had to be tried, with the pauses that the answers ask for. */
async function sendUntilTaken(receiver: string, run: Json): Promise<number> {
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    // No answer at all is when the connection broke.
    const answer = await post(`${receiver}/stats/running`, run).catch(() => undefined)
    if (answer?.status === 201) return tries
    assert.ok(answer === undefined || answer.status === 503, JSON.stringify(answer?.body))
    await sleep(Number(answer?.headers.get('retry-after') ?? 0) * 1000)
  }
  assert.fail(`not taken in ${TRIES_MAX} times`)
}

/** Whether every replica of every partition has caught up. */
async function isWhole(project: ComposeProject): Promise<boolean> {
  const topics = ['/opt/kafka/bin/kafka-topics.sh', '--bootstrap-server', 'kafka:9092,kafka-2:9092,kafka-3:9092']
  const { code, stdout } = await project.try(
    'exec',
    '-T',
    'kafka-3',
    ...topics,
    '--describe',
    '--under-replicated-partitions',
  )
  return code === 0 && stdout.trim() === ''
}
