import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RecordBatch } from '../event-log.ts'
import type { LogAdapter } from './event-log.contract.ts'
import {
  consumeUntil,
  count,
  fillPartition,
  groupsOf,
  newGroup,
  newRecord,
  newTopic,
  placed,
  plain,
  readAll,
  records,
  startReader,
  text,
  within,
} from './event-log.probe.ts'

/** The part of the contract that is about consumers and their groups. */

export function consumeContract({ open }: LogAdapter): void {
  test('reads every partition from where startAt says, asking once for each', async () => {
    await using place = await open()
    const { log } = place
    const topic = newTopic()
    await log.append(records(topic, 90))
    const starts = new Map(
      (await log.partitions(topic)).map(({ partition, next }) => [partition, Math.floor(next / 3)]),
    )
    const expected = (await readAll(log, topic)).filter(
      ({ partition, offset }) => offset >= (starts.get(partition) ?? 0),
    )
    const logId = await log.logId(topic)
    const asked: { topic: string; partition: number; logId: string }[] = []
    const startAt = async (at: { topic: string; partition: number; logId: string }) => {
      asked.push(at)
      return starts.get(at.partition) ?? 0
    }
    const batches = await consumeUntil(log, { topics: [topic], startAt }, (some) => count(some) >= expected.length)
    assert.deepEqual(placed(batches), expected)
    assert.deepEqual(
      asked.map(plain).sort((a, b) => a.partition - b.partition),
      [...starts.keys()].map((partition) => ({ topic, partition, logId })),
    )
    for (const [partition, start] of starts)
      assert.equal(batches.find((batch) => batch.partition === partition)?.from, start)
  })

  test('gives batches that follow on one another, none larger than asked for', async () => {
    await using place = await open()
    const topic = newTopic()
    await place.log.append(records(topic, 100))
    const batches = await consumeUntil(place.log, { topics: [topic], batchRecordsMax: 7 }, (some) => count(some) >= 100)
    assert.equal(count(batches), 100)
    const reached = new Map<number, number>()
    for (const { partition, from, next, records } of batches) {
      assert.equal(from, reached.get(partition) ?? 0)
      assert.ok(next > from && records.length <= 7)
      assert.ok(
        records.every(({ offset }, i) => offset >= from && offset < next && offset > (records[i - 1]?.offset ?? -1)),
      )
      reached.set(partition, next)
    }
    assert.deepEqual(placed(batches), await readAll(place.log, topic))
  })

  test('wakes up when records come, each time', async () => {
    await using place = await open()
    const { log } = place
    const topic = newTopic()
    await using reader = startReader(log, { topics: [topic] })
    for (let i = 0; i < 10; i++) {
      const next = reader.next()
      await log.append([newRecord(topic, 'a', `${i}`)])
      assert.deepEqual((await next).records.map(text), [`${i}`])
    }
  })

  test('starts at the end when startAt says so', async () => {
    await using place = await open()
    const { log } = place
    const { topic, partition, key } = await fillPartition(log, ['old', 'older'])
    const asked = Promise.withResolvers<void>()
    const startAt = async (at: { partition: number }) => {
      asked.resolve()
      return at.partition === partition ? 2 : 0
    }
    await using reader = startReader(log, { topics: [topic], startAt })
    const next = reader.next()
    await within(asked.promise, 'startAt is asked')
    await log.append([newRecord(topic, key, 'new')])
    const { from, records } = await next
    assert.deepEqual([from, records.map(text)], [2, ['new']])
  })

  test('reads several topics', async () => {
    await using place = await open()
    const topics = [newTopic(), newTopic(), newTopic()]
    await place.log.append(topics.slice(1).flatMap((topic) => records(topic, 10)))
    const batches = await consumeUntil(place.log, { topics }, (some) => count(some) >= 20)
    for (const topic of topics.slice(1)) {
      assert.deepEqual(placed(batches.filter((batch) => batch.topic === topic)), await readAll(place.log, topic))
    }
    assert.equal(count(batches), 20)
  })

  test('leaves out topics that it was not asked for', async () => {
    await using place = await open()
    const [asked, other] = [newTopic(), newTopic()]
    await place.log.append([...records(other, 10), ...records(asked, 10)])
    const batches = await consumeUntil(place.log, { topics: [asked] }, (some) => count(some) >= 10)
    assert.deepEqual(new Set(batches.map(({ topic }) => topic)), new Set([asked]))
    assert.equal(count(batches), 10)
  })

  test('gives each of two groups everything', async () => {
    await using place = await open()
    const topic = newTopic()
    const both = [1, 2].map(() =>
      consumeUntil(place.log, { topics: [topic], batchRecordsMax: 9 }, (some) => count(some) >= 60),
    )
    for (let i = 0; i < 6; i++) await place.log.append(records(topic, 10))
    const expected = await readAll(place.log, topic)
    for (const batches of await Promise.all(both)) assert.deepEqual(placed(batches), expected)
  })

  test('gives a batch again to a group that starts before it, committed or not', async () => {
    await using place = await open()
    const topic = newTopic()
    const group = newGroup()
    await place.log.append(records(topic, 30))
    const expected = await readAll(place.log, topic)
    for (let round = 0; round < 2; round++) {
      const batches = await consumeUntil(place.log, { group, topics: [topic] }, (some) => count(some) >= 30)
      assert.deepEqual(placed(batches), expected)
      await place.log.commit(
        group,
        batches.map(({ partition, next }) => ({ topic, partition, next })),
      )
    }
  })

  test('gives everything to each of those who name no group, and keeps no cursor of theirs', async () => {
    await using place = await open()
    const topic = newTopic()
    await place.log.append(records(topic, 40))
    await using one = startReader(place.log, { group: undefined, topics: [topic] })
    await using other = startReader(place.log, { group: undefined, topics: [topic], batchRecordsMax: 7 })
    const [ofOne, ofOther]: [RecordBatch[], RecordBatch[]] = [[], []]
    for (const total of [40, 80]) {
      for (const [reader, batches] of [
        [one, ofOne],
        [other, ofOther],
      ] as const) {
        while (count(batches) < total) batches.push(await reader.next())
        assert.deepEqual(placed(batches), await readAll(place.log, topic))
      }
      if (total === 40) await place.log.append(records(topic, 40))
    }
    assert.deepEqual(await place.log.groups(topic), [])
  })

  test('ends without an error when the signal aborts: before it begins, between batches and while it waits', async () => {
    await using place = await open()
    const { log } = place
    const topic = newTopic()
    await log.append(records(topic, 10))
    const options = { group: newGroup(), topics: [topic], startAt: async () => 0, batchRecordsMax: 1 }
    for await (const _ of log.consume({ ...options, signal: AbortSignal.abort() })) assert.fail('nothing should come')

    const between = new AbortController()
    let seen = 0
    for await (const batch of log.consume({ ...options, signal: between.signal })) {
      seen += batch.records.length
      between.abort()
    }
    assert.equal(seen, 1)

    const waiting = new AbortController()
    const iterator = log.consume({ ...options, topics: [newTopic()], signal: waiting.signal })[Symbol.asyncIterator]()
    const next = iterator.next()
    await log.append([newRecord(topic, 'a', 'x')])
    waiting.abort()
    assert.equal((await within(next, 'the consumer ends')).done, true)
  })

  test('can be left at any batch', async () => {
    await using place = await open()
    const topic = newTopic()
    await place.log.append(records(topic, 10))
    const { signal } = new AbortController()
    let seen = 0
    const options = { group: newGroup(), topics: [topic], startAt: async () => 0, batchRecordsMax: 1, signal }
    for await (const batch of place.log.consume(options)) {
      seen += batch.records.length
      if (seen === 3) break
    }
    assert.equal(seen, 3)
  })

  test('fails when startAt does', async () => {
    await using place = await open()
    const broken = new Error('the store is unavailable')
    const startAt = () => Promise.reject(broken)
    await using reader = startReader(place.log, { topics: [newTopic()], startAt })
    await assert.rejects(reader.next(), broken)
  })
}

export function commitContract({ open }: LogAdapter): void {
  test('keeps the cursors of each group in each topic', async () => {
    await using place = await open()
    const { log } = place
    const topics = [newTopic(), newTopic()] as const
    await log.append(topics.flatMap((topic) => records(topic, 100)))
    const [left, right] = [newGroup(), newGroup()]
    await log.commit(left, [{ topic: topics[0], partition: 0, next: 3 }])
    await log.commit(right, [
      { topic: topics[0], partition: 0, next: 5 },
      { topic: topics[1], partition: 0, next: 7 },
    ])
    assert.deepEqual(await groupsOf(log, topics[0]), [`${left}:0:3`, `${right}:0:5`].sort())
    assert.deepEqual(await groupsOf(log, topics[1]), [`${right}:0:7`])
  })

  test('moves a cursor on and back, and leaves the partitions that are not named', async () => {
    await using place = await open()
    const { log } = place
    const topic = newTopic()
    await log.append(records(topic, 100))
    const group = newGroup()
    const ranges = await log.partitions(topic)
    await log.commit(
      group,
      ranges.map(({ partition, next }) => ({ topic, partition, next })),
    )
    assert.deepEqual(
      await groupsOf(log, topic),
      ranges.map(({ partition, next }) => `${group}:${partition}:${next}`),
    )
    await log.commit(group, [{ topic, partition: 0, next: 1 }])
    const expected = ranges.map(({ partition, next }) => `${group}:${partition}:${partition === 0 ? 1 : next}`)
    assert.deepEqual(await groupsOf(log, topic), expected)
  })

  test('keeps the cursors when it is closed and opened again', async () => {
    await using place = await open()
    const topic = newTopic()
    const group = newGroup()
    await place.log.append(records(topic, 50))
    await place.log.commit(group, [{ topic, partition: 0, next: 2 }])
    await place.log[Symbol.asyncDispose]()
    assert.deepEqual(await groupsOf(await place.openAgain(), topic), [`${group}:0:2`])
  })

  test('takes the cursors of a group that is consuming', async () => {
    await using place = await open()
    const { log } = place
    const group = newGroup()
    const { topic, partition } = await fillPartition(log, ['0', '1', '2', '3', '4'])
    await using reader = startReader(log, { group, topics: [topic], batchRecordsMax: 1 })
    for (let i = 0; i < 3; i++) {
      const { next } = await reader.next()
      await log.commit(group, [{ topic, partition, next }])
      assert.deepEqual(await groupsOf(log, topic), [`${group}:${partition}:${i + 1}`])
    }
  })

  test('has nothing to do for no cursors', async () => {
    await using place = await open()
    const topic = newTopic()
    await place.log.append(records(topic, 1))
    await place.log.commit(newGroup(), [])
    assert.deepEqual(await groupsOf(place.log, topic), [])
  })
}
