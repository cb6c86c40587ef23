import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { runCli } from '../../src/cli/testing/run-cli.fixture.ts'
import { readConfig } from '../../src/config.ts'
import { DEAD_LETTER_TOPIC } from '../../src/log/dead-letter.ts'
import type { EventLog, LogRecord } from '../../src/log/event-log.ts'
import { openKafkaLog } from '../../src/log/kafka/kafka-log.ts'
import { type KafkaServer, type MysqlServer, startKafka, startMysql } from '../../test-support/containers.ts'
import { makeMany, makeSong } from '../../test-support/events.ts'
import { getJson, type Json, post, waitFor } from '../../test-support/harness.ts'
import { checkExactlyOnce, RetryingClient } from '../../test-support/retrying-client.ts'
import type { Supervised } from '../../test-support/supervised.ts'
import { type System, startSystem } from './system.ts'

/** What cannot be handled stops nothing, what was lost comes back from the log, and what was changed from the store. */

const GOOD = 10_000
const EVENTS = Number(process.env.RUNIFY_TEST_FAULT_EVENTS ?? 200_000)
const SETTLED_MS_MAX = 180_000
const TOPIC = 'runify.music_info'

let kafka: KafkaServer
let mysql: MysqlServer
before(async () => {
  ;[kafka, mysql] = await Promise.all([startKafka(), startMysql()])
})
after(async () => {
  await Promise.all([kafka?.[Symbol.asyncDispose](), mysql?.[Symbol.asyncDispose]()])
})

describe('On Kafka and MySQL', () => {
  let system: System
  beforeEach(async () => {
    await Promise.all([kafka.clear(), mysql.clear()])
    system = await startSystem(kafka, mysql)
  })
  afterEach(() => system[Symbol.asyncDispose]())

  test('a record that nobody understands and one that MySQL refuses go to the dead letters, all others are stored', async () => {
    await using log = await openLog()
    const [receiver] = system.receiver as [Supervised]
    const [storage] = system.storage as [Supervised]
    await mysql.query("ALTER TABLE runify.music_info ADD CONSTRAINT no_silence CHECK (song_name <> '4′33″')")
    const { user_id, events } = makeMany('music', GOOD)
    const send = async (some: Json[]) => {
      assert.equal((await post(`${receiver.address}/stats/music`, some)).status, 201)
    }
    await send(events.slice(0, GOOD / 2))
    const garbage = Buffer.from([0xff, 0x00, 0x7b])
    await log.append([{ topic: TOPIC, key: user_id, value: garbage }])
    await send([makeSong(0, { user_id, song_name: '4′33″', event_id: 'refused' })])
    await send(events.slice(GOOD / 2))

    const counts = () => getJson(`${storage.address}/stats`)
    await waitFor(async () => (await counts()).num_music_info === GOOD, SETTLED_MS_MAX)
    const letters = await waitFor(async () => {
      const found = await deadLetters(log)
      return found.length >= 2 && found
    })
    const records = await readTopic(log, TOPIC)
    assert.equal(records.length, GOOD + 2)
    assert.deepEqual(letters.map(({ reason }) => reason).sort(), ['undecodable', 'unstorable'])
    for (const letter of letters) {
      const original = records.find(
        ({ partition, offset }) => partition === letter.partition && offset === letter.offset,
      )
      assert.equal(letter.topic, TOPIC)
      assert.equal(letter.value, Buffer.from(original?.value ?? []).toString('base64'))
      assert.equal(typeof letter.detail, 'string')
    }
    assert.equal(letters.find(({ reason }) => reason === 'undecodable')?.value, garbage.toString('base64'))
    await storage.ready()
    assert.equal((await counts()).num_music_info, GOOD)
  })

  test('a database that was dropped comes back from the log with one command, while everything runs', async (t) => {
    const client = new RetryingClient({ events: EVENTS, users: 40 })
    const [receiver] = system.receiver as [Supervised]
    const sending = client.sendUntilAnswered(receiver.address, t.signal)
    await client.acknowledged(EVENTS / 2)
    await mysql.query('DROP DATABASE runify')
    const { code, stdout, stderr } = await runCli(['rebuild', 'store', '--quiet'], '', {
      RUNIFY_LOG: kafka.address,
      RUNIFY_STORE: mysql.address,
    })
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(stdout, /^stored {4}\d+\n/)
    await sending
    const all = [...system.receiver, ...system.storage, ...system.processing]
    await Promise.all(all.map((supervised) => supervised.ready()))
    for (const { address: processing } of system.processing) {
      const storage = system.storage[0]?.address as string
      await checkExactlyOnce(client, { storage, processing }, SETTLED_MS_MAX)
    }
    assert.deepEqual(
      all.map(({ crashes }) => crashes),
      all.map(() => 0),
    )
  })

  test('statistics are counted anew beside the live ones with one command, while everything runs', async (t) => {
    const client = new RetryingClient({ events: EVENTS, users: 40 })
    const [receiver] = system.receiver as [Supervised]
    const [{ address: storage }] = system.storage as [Supervised]
    const sending = client.sendUntilAnswered(receiver.address, t.signal)
    await client.acknowledged(EVENTS / 4)
    const { address: counting } = system.processing[0] as Supervised
    await waitFor(async () => Number((await getJson(`${counting}/stats`)).num_running_stats) > 0, SETTLED_MS_MAX)
    const rebuild = () =>
      runCli(['rebuild', 'statistics', '--quiet'], '', {
        RUNIFY_LOG: kafka.address,
        RUNIFY_STORE: mysql.address,
        RUNIFY_STORAGE_URL: storage,
      })
    const { code, stdout, stderr } = await rebuild()
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(stdout, /^counted {4}[1-9]\d*\ncompared {3}[1-9]\d* rows\ndifferent {2}0\n/)
    await sending
    for (const { address: processing } of system.processing) {
      await checkExactlyOnce(client, { storage, processing }, SETTLED_MS_MAX)
    }
    // What somebody has changed by hand is named, and put right.
    await mysql.query('UPDATE runify.play_users SET plays = plays + 1 LIMIT 1')
    const mended = await rebuild()
    assert.equal(mended.code, 1)
    assert.match(mended.stdout, /\ndifferent {2}1\n {2}play_users .*: was .*, is .*\n/)
    assert.match((await rebuild()).stdout, /\ndifferent {2}0\n/)
    for (const { crashes } of [...system.receiver, ...system.storage, ...system.processing]) assert.equal(crashes, 0)
  })

  test('the n-th event and the lag of the groups are the same from every Analyzer', async () => {
    const [receiver] = system.receiver as [Supervised]
    const users = Array.from({ length: 12 }, () => randomUUID())
    const sent = 600
    for (let n = 0; n < sent; n += 50) {
      const events = Array.from({ length: 50 }, (_, i) => makeSong(n + i, { user_id: users[(n + i) % users.length] }))
      assert.equal((await post(`${receiver.address}/stats/music`, events)).status, 201)
    }
    await using log = await openLog()
    const order = (await readTopic(log, TOPIC)).sort(
      (a, b) => a.appendTime - b.appendTime || a.partition - b.partition || a.offset - b.offset,
    )
    assert.equal(order.length, sent)
    assert.equal(new Set(order.map(({ partition }) => partition)).size, 3, 'all partitions have some')
    const [one, other] = [await system.add('analyzer'), await system.add('analyzer')]
    for (const [index, record] of order.entries()) {
      const { address } = index % 2 === 0 ? one : other
      const { partition, offset } = await waitFor(() => getJson(`${address}/music?index=${index}`))
      assert.deepEqual({ index, partition, offset }, { index, partition: record.partition, offset: record.offset })
    }
    assert.equal((await fetch(`${one.address}/music?index=${sent}`)).status, 404)
    const { topics } = (await waitFor(async () => {
      const stats = await getJson(`${one.address}/stats`)
      const [, music] = stats.topics as { groups: { group: string; lag: number }[] }[]
      return music?.groups.some(({ group, lag }) => group === 'runify-storage' && lag === 0) && stats
    })) as { topics: { topic: string; partitions: unknown[] }[] }
    assert.deepEqual(
      topics.map(({ topic, partitions }) => [topic, partitions.length]),
      [
        ['runify.running_stats', 3],
        [TOPIC, 3],
      ],
    )
  })
})

function openLog(): Promise<EventLog> {
  const { log } = readConfig({ RUNIFY_LOG: kafka.address })
  assert.ok(log.kind === 'kafka')
  return openKafkaLog(log)
}

async function deadLetters(log: EventLog): Promise<Json[]> {
  const records = await readTopic(log, DEAD_LETTER_TOPIC)
  return records.map(({ value }) => JSON.parse(Buffer.from(value).toString('utf8')) as Json)
}

async function readTopic(log: EventLog, topic: string): Promise<(LogRecord & { partition: number })[]> {
  const all: (LogRecord & { partition: number })[] = []
  for (const { partition, first, next } of await log.partitions(topic)) {
    for (let from = first; from < next; ) {
      const records = await log.read({ topic, partition, from, limit: 1000 })
      for (const record of records) all.push({ ...record, partition })
      const last = records.at(-1)
      if (last === undefined) break
      from = last.offset + 1
    }
  }
  return all
}
