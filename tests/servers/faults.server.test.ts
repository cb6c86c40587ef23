import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type KafkaServer, type MysqlServer, startKafka, startMysql } from '../../test-support/containers.ts'
import { waitFor } from '../../test-support/harness.ts'
import { checkExactlyOnce, RetryingClient } from '../../test-support/retrying-client.ts'
import type { Supervised } from '../../test-support/supervised.ts'
import { openSlowLine } from './slow-line.ts'
import { type System, startSystem } from './system.ts'

/**
 * The invariants on Kafka and MySQL while things break: every acknowledged event is in MySQL exactly once, Processing
 * equals a recount, and nobody had to start anything by hand.
 */

const EVENTS = Number(process.env.RUNIFY_TEST_FAULT_EVENTS ?? 200_000)
const USERS = 40
const SETTLED_MS_MAX = 180_000
const AWAY_MS = 30_000
const KILLS_MIN = 3
const KILLS_MAX = 10

let kafka: KafkaServer
let mysql: MysqlServer
before(async () => {
  ;[kafka, mysql] = await Promise.all([startKafka(), startMysql()])
})
after(async () => {
  await Promise.all([kafka?.[Symbol.asyncDispose](), mysql?.[Symbol.asyncDispose]()])
})

describe('Nothing acknowledged is lost and nothing counted twice', () => {
  let system: System
  beforeEach(async () => {
    await Promise.all([kafka.clear(), mysql.clear()])
    system = await startSystem(kafka, mysql)
  })
  afterEach(() => system[Symbol.asyncDispose]())

  for (const service of ['storage', 'receiver', 'processing'] as const) {
    test(`when a ${service} is killed every 3 s`, (t) =>
      checkThrough(t, system, async (sending) => {
        const targets = system[service]
        for (let kills = 0; kills < KILLS_MAX && (!sending.aborted || kills < KILLS_MIN); kills++) {
          await sleep(3000)
          targets[kills % targets.length]?.signal('SIGKILL')
        }
      }))
  }

  test('when the broker is killed and comes back after 30 s', (t) =>
    checkThrough(t, system, async () => {
      await kafka.container.kill()
      await sleep(AWAY_MS)
      await kafka.container.start()
    }))

  test('when MySQL is killed and comes back after 30 s', (t) =>
    checkThrough(t, system, async () => {
      await mysql.container.kill()
      await sleep(AWAY_MS)
      await mysql.container.start()
    }))

  test('when MySQL refuses to write for 20 s', (t) =>
    checkThrough(t, system, async () => {
      await mysql.query('SET GLOBAL read_only = ON')
      await sleep(20_000)
      await mysql.query('SET GLOBAL read_only = OFF')
    }))

  test('when a storage is stopped for 60 s, replaced, and goes on as a zombie', (t) =>
    checkThrough(t, system, async () => {
      const [zombie] = system.storage as [Supervised]
      zombie.signal('SIGSTOP')
      system.storage.push(await system.add('storage'))
      await sleep(60_000)
      zombie.signal('SIGCONT')
    }))

  test('when the partitions are raised from 3 to 6', (t) =>
    checkThrough(t, system, async () => {
      for (const topic of ['runify.running_stats', 'runify.music_info']) {
        await kafka.script('kafka-topics.sh', '--alter', '--topic', topic, '--partitions', '6')
      }
    }))

  test("when the consumer group's offsets are deleted", (t) =>
    checkThrough(t, system, async () => {
      // The broker deletes them only while the group has no members.
      for (const storage of system.storage) storage.signal('SIGSTOP')
      try {
        await waitFor(
          () => kafka.script('kafka-consumer-groups.sh', '--delete', '--group', 'runify-storage').then(() => true),
          90_000,
        )
      } finally {
        for (const storage of system.storage) storage.signal('SIGCONT')
      }
    }))
})

describe('Nothing acknowledged is lost and nothing counted twice', () => {
  test('when the broker takes a second for every answer', async (t) => {
    await Promise.all([kafka.clear(), mysql.clear()])
    await using line = await openSlowLine({ from: kafka.slow.advertised, to: kafka.slow.port })
    await using system = await startSystem({ address: kafka.slow.address }, mysql)
    await checkThrough(t, system, async () => {
      line.delayMs = 1000
      await sleep(20_000)
      line.delayMs = 0
    })
  })
})

/** Sends all events while `fault` happens, and checks the end. `fault` is told when everything is acknowledged. */
async function checkThrough(
  t: TestContext,
  system: System,
  fault: (sent: AbortSignal) => Promise<void>,
): Promise<void> {
  const client = new RetryingClient({ events: EVENTS, users: USERS })
  const [receiver] = system.receiver as [Supervised]
  const started = performance.now()
  const stop = new AbortController()
  const sent = new AbortController()
  const sending = client.sendUntilAnswered(receiver.address, stop.signal).finally(() => sent.abort())
  try {
    await client.acknowledged(EVENTS / 10)
    await Promise.all([fault(sent.signal), sending])
  } finally {
    stop.abort()
    await sending.catch(() => {})
  }
  t.diagnostic(`${client.unanswered} requests were to be sent again; all acknowledged after ${since(started)} s`)
  const all = [...system.receiver, ...system.storage, ...system.processing]
  await Promise.all(all.map((supervised) => supervised.ready()))
  for (const processing of system.processing) {
    for (const storage of system.storage) {
      await checkExactlyOnce(client, { storage: storage.address, processing: processing.address }, SETTLED_MS_MAX)
    }
  }
  t.diagnostic(`stored and counted after ${since(started)} s`)
  assert.deepEqual(
    all.filter(({ crashes }) => crashes > 0).map((ended) => `${ended.service}: ${ended.stderr()}`),
    [],
    'none ended by itself',
  )
}

function since(started: number): string {
  return ((performance.now() - started) / 1000).toFixed(1)
}
