import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogAdapter } from './event-log.contract.ts'
import { consumeUntil, count, fillPartition, newTopic, records, rejectsWith } from './event-log.probe.ts'

export function identityContract({ open }: LogAdapter): void {
  test('is the same for every instance, and when it is opened again', async () => {
    await using place = await open()
    const topic = newTopic()
    const other = await place.openAgain()
    const [logId, ofOther] = await Promise.all([place.log.logId(topic), other.logId(topic)])
    assert.match(logId, /^[\w:-]{16,100}$/)
    assert.equal(ofOther, logId)
    await place.log.append(records(topic, 10))
    await place.log[Symbol.asyncDispose]()
    assert.equal(await (await place.openAgain()).logId(topic), logId)
  })

  test('is another one when the topic is made anew, for those too who knew the one before', async () => {
    await using place = await open()
    const { topic, partition } = await fillPartition(place.log, ['a', 'b', 'c'])
    const before = await place.log.logId(topic)
    const log = await place.makeAnew(topic)
    const logId = await log.logId(topic)
    assert.notEqual(logId, before)
    await log.append(records(topic, 100))
    await rejectsWith('position_conflict', log.read({ topic, partition, from: 1, limit: 10, logId: before }), {
      retryable: true,
    })
    const { first } = (await log.partitions(topic)).find((range) => range.partition === partition) ?? { first: -1 }
    assert.equal(first, 0)
    assert.notEqual((await log.read({ topic, partition, from: 0, limit: 10, logId })).length, 0)
  })

  test('is told to consumers before they begin, and comes with what they read', async () => {
    await using place = await open()
    const { log } = place
    const topic = newTopic()
    await log.append(records(topic, 30))
    const told = new Set<string>()
    const startAt = async ({ logId }: { logId: string }) => {
      told.add(logId)
      return 0
    }
    const batches = await consumeUntil(log, { topics: [topic], startAt }, (some) => count(some) === 30)
    const logId = await log.logId(topic)
    assert.deepEqual([...told], [logId])
    assert.ok(batches.every((batch) => batch.logId === logId))
  })
}
