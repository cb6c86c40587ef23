import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { type KafkaServer, startKafka } from '../../test-support/containers.ts'
import { makeMany } from '../../test-support/events.ts'
import { post, waitFor } from '../../test-support/harness.ts'
import { RetryingClient } from '../../test-support/retrying-client.ts'
import { Supervised } from '../../test-support/supervised.ts'
import { valuesInLog } from './log-content.ts'

const EVENTS = 20_000
const WORKERS = 3

describe('RECEIVER_WORKERS', () => {
  let kafka: KafkaServer
  before(async () => {
    kafka = await startKafka()
  })
  after(() => kafka?.[Symbol.asyncDispose]())

  test('shares the work, replaces a worker that dies, and loses nothing of what was acknowledged', async (t) => {
    await using receiver = await Supervised.start('receiver', {
      RUNIFY_LOG: kafka.address,
      RECEIVER_WORKERS: String(WORKERS),
    })
    await waitFor(async () => (await childrenOf(receiver.pid)).length === WORKERS)
    const before = await childrenOf(receiver.pid)
    const client = new RetryingClient({ events: EVENTS, users: 10 })
    const sending = client.sendUntilAnswered(receiver.address, t.signal)
    await client.acknowledged(EVENTS / 4)
    process.kill(before[0] as number, 'SIGKILL')
    await sending
    await waitFor(async () => (await childrenOf(receiver.pid)).length === WORKERS)
    assert.equal(receiver.crashes, 0)
    assert.equal((await childrenOf(receiver.pid)).filter((pid) => before.includes(pid)).length, WORKERS - 1)

    const ids = await valuesInLog(kafka.address, 'event_id')
    assert.deepEqual(
      client.sent().filter(({ event_id }) => !ids.has(event_id as string)),
      [],
    )
  })

  test('tells the metrics of all workers, whichever is asked', async () => {
    await using receiver = await Supervised.start('receiver', { RUNIFY_LOG: kafka.address, RECEIVER_WORKERS: '2' })
    await waitFor(async () => (await childrenOf(receiver.pid)).length === 2)
    const { events } = makeMany('running', 50)
    const close = { connection: 'close' }
    for (const event of events)
      assert.equal((await post(`${receiver.address}/stats/running`, event, close)).status, 201)
    for (let asked = 0; asked < 4; asked++) {
      const metrics = await (await fetch(`${receiver.address}/metrics`, { headers: close })).text()
      assert.match(metrics, /^runify_events_accepted_total\{[^}]*type="running_stats"[^}]*\} 50$/m)
    }
  })

  test('ends all of them with one signal, and with 0', async () => {
    const receiver = await Supervised.start('receiver', { RUNIFY_LOG: kafka.address, RECEIVER_WORKERS: '2' })
    await waitFor(async () => (await childrenOf(receiver.pid)).length === 2)
    const workers = await childrenOf(receiver.pid)
    assert.deepEqual(await receiver.end('SIGTERM'), { code: 0, signal: null })
    for (const pid of workers) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  })
})

async function childrenOf(pid: number): Promise<number[]> {
  const { stdout } = await promisify(execFile)('pgrep', ['-P', String(pid)])
  return stdout.trim().split('\n').map(Number)
}
