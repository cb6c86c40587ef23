import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import {
  ConfigResourceTypes,
  createTopicsV6,
  IncrementalAlterConfigOperationTypes,
  incrementalAlterConfigsV1,
  metadataV11,
} from '@platformatic/kafka'
import { isFailure, RecordsTooLarge } from '../../errors.ts'
import { eventLogContract } from '../testing/event-log.contract.ts'
import {
  byKey,
  newGroup,
  newRecord,
  newTopic,
  readAll,
  records,
  startReader,
  text,
  within,
} from '../testing/event-log.probe.ts'
import { kafkaOptions, openKafka, startMember, testBrokers, waitUntil } from '../testing/kafka.fixture.ts'
import { BrokerConnections } from './broker-connections.ts'
import { openKafkaLog } from './kafka-log.ts'

const brokers = testBrokers('the Kafka log')

if (brokers !== undefined) {
  for (const partitions of [1, 3]) {
    eventLogContract({
      name: `Kafka, ${partitions} ${partitions === 1 ? 'partition' : 'partitions'}`,
      readsAhead: true,
      open: (limits = {}) => openKafka(brokers, { partitions, limits }),
    })
  }
  describe('the Kafka log', () => kafkaLogTests(brokers))
}

function kafkaLogTests(brokers: string): void {
  test('takes a topic that is there with the partitions it has', async () => {
    await using place = await openKafka(brokers, { partitions: 2 })
    const topic = newTopic()
    await createTopic(brokers, topic, { partitions: 5, timestampType: 'LogAppendTime' })
    assert.equal((await place.log.partitions(topic)).length, 5)
  })

  test('refuses a topic whose records have the time of their making', async () => {
    await using place = await openKafka(brokers)
    const topic = newTopic()
    await createTopic(brokers, topic, { partitions: 1, timestampType: 'CreateTime' })
    for (const call of [() => place.log.append([newRecord(topic, 'a', 'x')]), () => place.log.partitions(topic)]) {
      await assert.rejects(call(), (error) => {
        assert.ok(isFailure(error, 'log_unavailable') && !error.retryable)
        assert.match(error.message, /message\.timestamp\.type=CreateTime.*--add-config/)
        return true
      })
    }
  })

  test('creates a topic once when several instances name it at the same time', async () => {
    await using place = await openKafka(brokers, { partitions: 4 })
    const topic = newTopic()
    const logs = [place.log, await place.openAgain(), await place.openAgain()]
    const ranges = await Promise.all(logs.map((log) => log.partitions(topic)))
    assert.deepEqual(
      ranges.map(({ length }) => length),
      [4, 4, 4],
    )
  })

  test('puts a key where the Java client does', async () => {
    await using place = await openKafka(brokers, { partitions: 7 })
    const topic = newTopic()
    // Utils.murmur2 of these, by Kafka's own UtilsTest, is 479470107 and -790332482.
    await place.log.append([newRecord(topic, 'abc', 'x'), newRecord(topic, 'foobar', 'x')])
    const places = (await readAll(place.log, topic)).map(({ key, partition }) => [key, partition])
    assert.deepEqual(new Map(places as [string, number][]).get('abc'), 479470107 % 7)
    assert.deepEqual(new Map(places as [string, number][]).get('foobar'), (-790332482 & 0x7fffffff) % 7)
  })

  test('writes more than a broker takes at once, in order', async () => {
    await using place = await openKafka(brokers)
    const topic = newTopic()
    const sent = Array.from({ length: 60 }, (_, i) => ({ topic, key: `${i % 3}`, value: randomBytes(100_000) }))
    await place.log.append(sent)
    const kept = await readAll(place.log, topic)
    assert.deepEqual(
      kept.map(({ value }) => value),
      sent.map(({ value }) => value),
    )
  })

  test('refuses a record that Kafka would not take, and nothing else with it', async () => {
    await using place = await openKafka(brokers)
    const topic = newTopic()
    const good = place.log.append([newRecord(topic, 'a', 'x')])
    const tooLarge = place.log.append([
      { topic, key: 'b', value: new Uint8Array(1_100_000) },
      newRecord(topic, 'a', 'y'),
    ])
    await assert.rejects(tooLarge, refusesOnly([0]))
    await good
    assert.deepEqual((await readAll(place.log, topic)).map(text).sort(), ['x', 'y'])
  })

  describe('where a topic takes less than others', () => {
    const SMALL = [{ name: 'max.message.bytes', value: '20000' }]
    const songs = (topic: string) =>
      Array.from({ length: 2000 }, (_, n) => newRecord(topic, 'a', `${n} `.padEnd(130, 'x')))
    const large = (topic: string) => ({ topic, key: 'a', value: new Uint8Array(30_000) })

    test('writes smaller batches, in order', async () => {
      await using place = await openKafka(brokers)
      const topic = newTopic()
      await createTopic(brokers, topic, { partitions: 1, timestampType: 'LogAppendTime', more: SMALL })
      await place.log.append(songs(topic))
      assert.deepEqual((await readAll(place.log, topic)).map(text), songs(topic).map(text))
    })

    test('refuses what is too large for it, and nothing else', async () => {
      await using place = await openKafka(brokers)
      const topic = newTopic()
      await createTopic(brokers, topic, { partitions: 1, timestampType: 'LogAppendTime', more: SMALL })
      for (const _ of ['while its limit is not known', 'and when it is']) {
        const appends = [
          songs(topic),
          [large(topic), newRecord(topic, 'a', 'y'), large(topic)],
          [newRecord(topic, 'a', 'z')],
        ]
        const [first, second, third] = await Promise.allSettled(appends.map((some) => place.log.append(some)))
        assert.deepEqual([first?.status, second?.status, third?.status], ['fulfilled', 'rejected', 'fulfilled'])
        assert.ok(refusesOnly([0, 2], 20_000)((second as PromiseRejectedResult).reason))
      }
      assert.equal((await readAll(place.log, topic)).length, 2 * 2002)
    })

    test('goes on when the limit is lowered meanwhile', async () => {
      await using place = await openKafka(brokers)
      const topic = newTopic()
      await place.log.append([newRecord(topic, 'a', 'x')])
      await alterTopic(brokers, topic, SMALL)
      await Promise.all([
        place.log.append(songs(topic)),
        assert.rejects(place.log.append([large(topic), newRecord(topic, 'a', 'y')]), refusesOnly([0], 20_000)),
      ])
      const kept = (await readAll(place.log, topic)).map(text)
      assert.deepEqual(kept, ['x', ...songs(topic).map(text), 'y'])
    })

    test('goes on when its segments are smaller than a batch', async () => {
      await using place = await openKafka(brokers)
      const topic = newTopic()
      const more = [
        { name: 'segment.bytes', value: '1048576' },
        { name: 'max.message.bytes', value: '2000000' },
      ]
      await createTopic(brokers, topic, { partitions: 1, timestampType: 'LogAppendTime', more })
      const values = Array.from({ length: 30 }, () => ({ topic, key: 'a', value: randomBytes(100_000) }))
      await place.log.append(values)
      assert.equal((await readAll(place.log, topic)).length, 30)
    })
  })

  describe('a topic that is compacted', () => {
    for (const value of ['compact', 'compact,delete']) {
      test(`is refused: ${value}`, async () => {
        await using place = await openKafka(brokers)
        const topic = newTopic()
        const more = [{ name: 'cleanup.policy', value }]
        await createTopic(brokers, topic, { partitions: 1, timestampType: 'LogAppendTime', more })
        await assert.rejects(place.log.append([newRecord(topic, 'a', 'x')]), refusesTopic('cleanup.policy'))
        await assert.rejects(place.log.partitions(topic), refusesTopic('cleanup.policy'))
      })
    }
  })

  for (const [name, wrong, right] of [
    ['cleanup.policy', 'compact', 'delete'],
    ['message.timestamp.type', 'CreateTime', 'LogAppendTime'],
  ] as const) {
    test(`refuses a topic whose ${name} is changed while it is read and written, until it is right again`, async () => {
      await using place = await openKafka(brokers, { settingsEveryMs: 100 })
      const topic = newTopic()
      await place.log.append([newRecord(topic, 'a', 'x')])
      await using reader = startReader(place.log, { topics: [topic] })
      await reader.next()
      const next = reader.next()
      await alterTopic(brokers, topic, [{ name, value: wrong }])
      await within(assert.rejects(next, refusesTopic(name)), 'the reader is told')
      await assert.rejects(place.log.append([newRecord(topic, 'a', 'y')]), refusesTopic(name))
      await alterTopic(brokers, topic, [{ name, value: right }])
      const append = () => place.log.append([newRecord(topic, 'a', 'z')])
      await waitUntil(
        () =>
          append().then(
            () => true,
            () => false,
          ),
        'it is taken again',
      )
    })
  }

  test('lets nobody read on in a topic that was made anew meanwhile, however far it has grown', async () => {
    await using place = await openKafka(brokers)
    const { log } = place
    const topic = newTopic()
    await log.append(records(topic, 50))
    const before = await log.logId(topic)
    const stop = new AbortController()
    const options = { group: newGroup(), topics: [topic], startAt: async () => 0, batchRecordsMax: 10 }
    const batches = log.consume({ ...options, signal: stop.signal })[Symbol.asyncIterator]()
    let read = 0
    while (read < 50) read += (await within(batches.next(), 'what there is comes')).value.records.length

    await place.makeAnew(topic)
    await waitUntil(async () => (await log.logId(topic)) !== before, 'the topic is another one')
    await log.append(records(topic, 200))
    await assert.rejects(within(batches.next(), 'it fails'), (error) => {
      assert.ok(isFailure(error, 'position_conflict'), String(error))
      assert.ok(error.message.includes(before) && error.message.includes('has been made anew'), error.message)
      return true
    })
    stop.abort()
  })

  for (const compression of ['gzip', 'zstd']) {
    test(`reads what a broker has compressed with ${compression}`, async () => {
      await using place = await openKafka(brokers)
      const topic = newTopic()
      await createTopic(brokers, topic, { partitions: 1, timestampType: 'LogAppendTime', compression })
      const sent = records(topic, 200)
      await place.log.append(sent)
      const kept = await readAll(place.log, topic)
      assert.deepEqual(byKey(kept), byKey(sent))
      assert.ok(kept.every(({ appendTime }) => Math.abs(appendTime - Date.now()) < 60_000))
    })
  }

  test('gives two consumers in one process the partitions of their group, each to one', async () => {
    await using place = await openKafka(brokers, { partitions: 4 })
    const topic = newTopic()
    const group = newGroup()
    const asked: string[] = []
    const startAt = (name: string) => async (at: { partition: number }) => {
      asked.push(`${name}:${at.partition}`)
      return 0
    }
    await place.log.append(records(topic, 100))
    await using left = startReader(place.log, { group, topics: [topic], startAt: startAt('left') })
    await left.next()
    await using right = startReader(place.log, { group, topics: [topic], startAt: startAt('right') })
    const next = right.next()
    // The one at the left gives partitions away when it has come to rest.
    const more = left.next()
    await next
    await waitUntil(() => asked.filter((it) => it.startsWith('right')).length === 2, 'the other has its half')
    assert.equal(asked.filter((it) => it.startsWith('left')).length, 4, 'what it keeps it does not ask for again')
    more.catch(() => {})
  })

  test('gives up quickly, and says so, where no broker is', async () => {
    const log = await openKafkaLog({ ...kafkaOptions('127.0.0.1:1'), partitions: 1, replication: 1 })
    const began = performance.now()
    const calls = [log.append([newRecord('t', 'a', 'x')]), log.partitions('t'), log.checkReady(), log.groups('t')]
    for (const outcome of await Promise.allSettled(calls)) {
      assert.equal(outcome.status, 'rejected')
      assert.ok(isFailure(outcome.reason, 'log_unavailable') && outcome.reason.retryable, String(outcome.reason))
    }
    assert.ok(performance.now() - began < 2000)
    await log[Symbol.asyncDispose]()
    assert.ok(performance.now() - began < 4000)
  })

  test('keeps no process alive after closing', async () => {
    await using place = await openKafka(brokers)
    const topic = newTopic()
    await place.log.append(records(topic, 5))
    await using member = startMember({ brokers, group: newGroup(), topic })
    await waitUntil(() => member.news.some(({ kind }) => kind === 'batch'), 'the member reads')
    member.kill('SIGTERM')
    assert.equal(await within(member.exited, 'the process ends by itself'), 0)
  })

  test('ends a consumer within 100 ms of the signal, more or less', async () => {
    await using place = await openKafka(brokers)
    const topic = newTopic()
    await place.log.append([newRecord(topic, 'a', 'x')])
    const stop = new AbortController()
    const consumed = place.log
      .consume({ group: newGroup(), topics: [topic], startAt: async () => 0, batchRecordsMax: 1, signal: stop.signal })
      [Symbol.asyncIterator]()
    const first = await consumed.next()
    assert.deepEqual(first.value?.records.map(text), ['x'])
    const next = consumed.next()
    const began = performance.now()
    stop.abort()
    assert.equal((await next).done, true)
    assert.ok(performance.now() - began < 500, 'far from the time of a long poll')
  })
}

type Setting = { name: string; value: string }

function refusesOnly(indexes: readonly number[], bytesMax?: number) {
  return (error: unknown) => {
    assert.ok(error instanceof RecordsTooLarge, String(error))
    assert.deepEqual(error.indexes, indexes)
    if (bytesMax !== undefined) assert.equal(error.bytesMax, bytesMax)
    return true
  }
}

function refusesTopic(setting: string) {
  return (error: unknown) => {
    assert.ok(isFailure(error, 'log_unavailable') && !error.retryable, String(error))
    assert.match(error.message, new RegExp(`has ${setting}=.*--add-config ${setting}=`))
    return true
  }
}

async function alterTopic(brokers: string, name: string, settings: readonly Setting[]): Promise<void> {
  await using connections = new BrokerConnections({ clientId: 'test', requestTimeoutMs: 10_000 })
  const [any] = kafkaOptions(brokers).brokers
  assert.ok(any !== undefined)
  const configs = settings.map((setting) => ({ ...setting, configOperation: IncrementalAlterConfigOperationTypes.SET }))
  const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: name, configs }
  await connections.request(any, incrementalAlterConfigsV1.api, [resource], false)
}

async function createTopic(
  brokers: string,
  name: string,
  {
    partitions,
    timestampType,
    compression,
    more = [],
  }: { partitions: number; timestampType: string; compression?: string; more?: Setting[] },
): Promise<void> {
  await using connections = new BrokerConnections({ clientId: 'test', requestTimeoutMs: 10_000 })
  const [any] = kafkaOptions(brokers).brokers
  assert.ok(any !== undefined)
  const { brokers: nodes, controllerId } = await connections.request(any, metadataV11.api, [], false, false)
  const controller = nodes.find(({ nodeId }) => nodeId === controllerId) ?? any
  const configs = [
    { name: 'message.timestamp.type', value: timestampType },
    ...(compression === undefined ? [] : [{ name: 'compression.type', value: compression }]),
    ...more,
  ]
  const wanted = { name, numPartitions: partitions, replicationFactor: 1, assignments: [], configs }
  await connections.request(controller, createTopicsV6.api, [wanted], 5000, false)
}
