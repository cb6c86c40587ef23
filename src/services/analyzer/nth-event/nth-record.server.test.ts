import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createPartitionsV3, metadataV11 } from '@platformatic/kafka'
import fc from 'fast-check'
import type { EventLog } from '../../../log/event-log.ts'
import { BrokerConnections } from '../../../log/kafka/broker-connections.ts'
import { newTopic, type PlacedRecord, readAll } from '../../../log/testing/event-log.probe.ts'
import { kafkaOptions, openKafka, testBrokers, waitUntil } from '../../../log/testing/kafka.fixture.ts'
import { NthRecords } from './nth-record.ts'

const brokers = testBrokers('record n in Kafka')

/** Appends that are under way together: a number names the record's key. With few keys, partitions stay empty. */
const anyBursts = fc.array(
  fc.array(fc.array(fc.nat(12), { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 4 }),
  { minLength: 1, maxLength: 15 },
)
const SETTLED_MS = 250

if (brokers !== undefined) {
  describe('Record n in Kafka', () => {
    test('is the n-th in a sort of the whole log by append time, partition and offset', async () => {
      await using place = await openKafka(brokers, { partitions: 5 })
      const other = await place.openAgain()
      let sameTimes = 0
      let emptyPartitions = 0
      const property = fc.asyncProperty(anyBursts, async (bursts) => {
        const topic = newTopic()
        await appendAll([place.log, other], topic, bursts)
        await settle()
        const sorted = await sortWhole(place.log, topic)
        const records = new NthRecords({ log: place.log, topic })
        await checkAll(records, sorted)
        assert.equal((await records.find(sorted.length)).kind, 'beyond')
        sameTimes += sorted.filter(({ appendTime }, n) => appendTime === sorted[n - 1]?.appendTime).length
        emptyPartitions += 5 - new Set(sorted.map(({ partition }) => partition)).size
      })
      const oneKey = [[[1, 1, 1]], [[1]]]
      await fc.assert(property, { numRuns: 6, examples: [[oneKey]] })
      assert.ok(sameTimes > 20, 'records that were appended in one millisecond are among them')
      assert.ok(emptyPartitions >= 4, 'partitions that hold nothing are among them')
    })

    test('stays the same when partitions are added and more is appended, and counts what is in those', async () => {
      await using place = await openKafka(brokers, { partitions: 2 })
      const topic = newTopic()
      const bursts = Array.from({ length: 10 }, (_, i) => [[i, i + 1, i + 2]])
      await appendAll([place.log], topic, bursts)
      const records = new NthRecords({ log: place.log, topic })
      await settle()
      const before = await sortWhole(place.log, topic)
      await checkAll(records, before)
      await addPartitions(brokers, topic, 5)
      // Another instance that knows of them at once.
      const other = await place.openAgain()
      await waitUntil(async () => (await other.partitions(topic)).length === 5, 'it sees them')
      await appendAll([other], topic, bursts)
      await settle()
      const after = await sortWhole(other, topic)
      assert.deepEqual(after.slice(0, before.length), before)
      assert.ok(after.some(({ partition }) => partition >= 2))
      await checkAll(records, after)
      await checkAll(new NthRecords({ log: other, topic }), after)
    })

    test('is the same as before or removed, when retention has removed the beginnings of partitions', async () => {
      await using place = await openKafka(brokers, { partitions: 3 })
      const topic = newTopic()
      await appendAll(
        [place.log],
        topic,
        Array.from({ length: 30 }, (_, i) => [[i, i + 1, i + 2, i + 3]]),
      )
      await settle()
      const sorted = await sortWhole(place.log, topic)
      const records = new NthRecords({ log: place.log, topic, endsMs: 0 })
      await checkAll(records, sorted)
      for (const { partition, next } of await place.log.partitions(topic)) {
        await place.log.deleteBefore({ topic, partition, offset: Math.floor((next * partition) / 6) })
      }
      const certain = await records.certainFrom()
      for (const some of [records, new NthRecords({ log: place.log, topic })]) {
        let found = 0
        for (const [n, { partition, ...record }] of sorted.entries()) {
          const answer = await some.find(n)
          if (answer.kind === 'found') found++
          assert.equal(answer.kind, record.appendTime >= certain ? 'found' : 'removed')
          if (answer.kind === 'found') assert.deepEqual(answer, { kind: 'found', partition, record })
        }
        assert.ok(found > 30 && found < sorted.length)
      }
    })

    test('has an index by which it is found, and the first of a time too', async () => {
      await using place = await openKafka(brokers, { partitions: 4 })
      const topic = newTopic()
      await appendAll(
        [place.log],
        topic,
        Array.from({ length: 12 }, (_, i) => [[i, i + 1], [i + 2]]),
      )
      await settle()
      const sorted = await sortWhole(place.log, topic)
      const records = new NthRecords({ log: place.log, topic })
      for (const [n, { partition, ...record }] of sorted.entries()) {
        assert.equal(await records.indexOf({ partition, record }), n)
        const first = sorted.findIndex(({ appendTime }) => appendTime >= record.appendTime)
        assert.equal(await records.indexFrom(record.appendTime), first)
      }
      assert.equal(await records.indexFrom(0), 0)
      assert.equal(await records.indexFrom(Date.now() + 60_000), undefined)
    })
  })

  test('The end of the log, as tails follow it, has what comes into partitions that are added', async () => {
    await using place = await openKafka(brokers, { partitions: 1 })
    const topic = newTopic()
    await appendAll([place.log], topic, [[[1]]])
    const stop = new AbortController()
    const seen: PlacedRecord[] = []
    const options = { topics: [topic], startAt: async () => 0, batchRecordsMax: 10, signal: stop.signal }
    const reading = (async () => {
      for await (const { partition, records } of place.log.consume(options)) {
        for (const record of records) seen.push({ partition, ...record })
      }
    })()
    await addPartitions(brokers, topic, 4)
    const other = await place.openAgain()
    await waitUntil(async () => (await other.partitions(topic)).length === 4, 'it sees them')
    await appendAll([other], topic, [[Array.from({ length: 40 }, (_, i) => i)]])
    await waitUntil(() => seen.length === 41, 'all have come')
    assert.equal(new Set(seen.map(({ partition }) => partition)).size, 4)
    stop.abort()
    await reading
  })
}

async function appendAll(logs: readonly EventLog[], topic: string, bursts: number[][][]): Promise<void> {
  for (const burst of bursts) {
    await Promise.all(
      burst.map((keys, i) =>
        (logs[i % logs.length] as EventLog).append(
          keys.map((key) => ({ topic, key: String(key), value: Buffer.from([key]) })),
        ),
      ),
    )
  }
}

/** Until then another could still come before the last of them: whoever asks waits, and no test should for each. */
async function settle(): Promise<void> {
  const begin = Date.now()
  await waitUntil(() => Date.now() - begin > SETTLED_MS, 'time passes')
}

async function sortWhole(log: EventLog, topic: string): Promise<PlacedRecord[]> {
  return (await readAll(log, topic)).sort(
    (a, b) => a.appendTime - b.appendTime || a.partition - b.partition || a.offset - b.offset,
  )
}

/** In an order that does not help the search. */
async function checkAll(records: NthRecords, sorted: readonly PlacedRecord[]): Promise<void> {
  for (let i = 0; i < sorted.length; i++) {
    const n = (i * 7919) % sorted.length
    const { partition, ...record } = sorted[n] as PlacedRecord
    assert.deepEqual(await records.find(n), { kind: 'found', partition, record })
  }
}

async function addPartitions(brokers: string, topic: string, count: number): Promise<void> {
  await using connections = new BrokerConnections({ clientId: 'test', requestTimeoutMs: 10_000 })
  const [any] = kafkaOptions(brokers).brokers
  assert.ok(any !== undefined)
  const { brokers: nodes, controllerId } = await connections.request(any, metadataV11.api, [], false, false)
  const controller = nodes.find(({ nodeId }) => nodeId === controllerId) ?? any
  await connections.request(
    controller,
    createPartitionsV3.api,
    [{ name: topic, count, assignments: null }],
    5000,
    false,
  )
}
