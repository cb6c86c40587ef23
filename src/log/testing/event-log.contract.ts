import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { isFailure } from '../../errors.ts'
import type { AppendLimits } from '../append-queue.ts'
import type { EventLog, LogRecord, NewRecord } from '../event-log.ts'
import {
  byKey,
  newGroup,
  newRecord,
  newTopic,
  readAll,
  records,
  rejectsWith,
  startReader,
  text,
  within,
} from './event-log.probe.ts'
import { commitContract, consumeContract } from './event-log-consuming.contract.ts'
import { identityContract } from './event-log-identity.contract.ts'
import { offsetsAtContract, partitionsContract, readContract, retentionContract } from './event-log-reading.contract.ts'

/** A log in a fresh place. Disposing of it closes every instance of the place and removes what is in it. */
export type OpenedLog = AsyncDisposable & {
  log: EventLog
  /** Another instance on the same place. Those opened before stay open until they are closed. */
  openAgain(): Promise<EventLog>
  /** Makes another log with an empty topic in the place of this one; gives an instance that reads it. */
  makeAnew(topic: string): Promise<EventLog>
  /** Removes the records before `offset`, as retention does; undefined where a test cannot make that happen. */
  deleteBefore?(at: { topic: string; partition: number; offset: number }): Promise<void>
}

export type LogAdapter = {
  name: string
  open(limits?: Partial<AppendLimits>): Promise<OpenedLog>
  /** A consumer may have batches that were read before it asked for them. */
  readsAhead?: true
}

/** What every event log does, whatever it is made of. */
export function eventLogContract(adapter: LogAdapter): void {
  describe(`event log: ${adapter.name}`, () => {
    describe('append', () => appendContract(adapter))
    describe('identity', () => identityContract(adapter))
    describe('partitions', () => partitionsContract(adapter))
    describe('read', () => readContract(adapter))
    describe('offsetsAt', () => offsetsAtContract(adapter))
    describe('consume', () => consumeContract(adapter))
    describe('commit', () => commitContract(adapter))
    describe('retention', () => retentionContract(adapter))
    describe('close', () => closeContract(adapter))
  })
}

function appendContract({ open }: LogAdapter): void {
  test('gives back every byte of key and value', async () => {
    await using place = await open()
    const topic = newTopic()
    const allBytes = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    const sent: NewRecord[] = [
      { topic, key: 'd290f1ee-6c54-4b01-90e6-d701748f0851', value: allBytes },
      { topic, key: 'ключ 🏃 \0 "\\ א\u202e', value: Buffer.from('значение') },
      { topic, key: 'e\u0301', value: new Uint8Array([0]) },
      { topic, key: 'large', value: randomBytes(500_000) },
      { topic, key: 'a view', value: Buffer.from('garbage!value!garbage').subarray(8, 13) },
    ]
    await place.log.append(sent)
    const kept = await readAll(place.log, topic)
    assert.deepEqual(byKey(kept), byKey(sent))
    assert.ok(kept.every(({ value }) => value instanceof Uint8Array))
  })

  test('keeps what it has acknowledged when it is closed and opened again', async () => {
    await using place = await open()
    const topic = newTopic()
    await place.log.append(records(topic, 50))
    const before = await readAll(place.log, topic)
    await place.log[Symbol.asyncDispose]()
    const again = await place.openAgain()
    assert.deepEqual(await readAll(again, topic), before)
    assert.equal(before.length, 50)
  })

  test('gives no offset twice, and keeps a key in its partition, when it is closed and opened again', async () => {
    await using place = await open()
    const topic = newTopic()
    const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
    await place.log.append(keys.map((key) => newRecord(topic, key, 'before')))
    await place.log[Symbol.asyncDispose]()
    const again = await place.openAgain()
    await again.append(keys.map((key) => newRecord(topic, key, 'after')))
    const kept = await readAll(again, topic)
    for (const key of keys) {
      const [before, after, ...more] = kept.filter((record) => record.key === key)
      assert.ok(before !== undefined && after !== undefined && more.length === 0)
      assert.deepEqual([text(before), text(after)], ['before', 'after'])
      assert.equal(after.partition, before.partition)
      assert.ok(after.offset > before.offset)
    }
    assert.equal(new Set(kept.map(({ partition, offset }) => `${partition}:${offset}`)).size, 2 * keys.length)
  })

  test('lets another instance read at once what it has acknowledged', async () => {
    await using place = await open()
    const topic = newTopic()
    const other = await place.openAgain()
    for (let i = 0; i < 5; i++) {
      await place.log.append([newRecord(topic, 'a', `${i}`)])
      assert.equal((await readAll(other, topic)).length, i + 1)
    }
  })

  test('keeps the records of one key in one partition and in the order of their appends', async () => {
    await using place = await open()
    const topic = newTopic()
    const keys = ['a', 'b', 'c', 'd', 'e']
    const appends: Promise<void>[] = []
    for (let i = 0; i < 300; i++) {
      appends.push(place.log.append(keys.map((key) => newRecord(topic, key, `${i}`))))
      if (i % 50 === 0) await setImmediate()
    }
    await Promise.all(appends)
    const kept = await readAll(place.log, topic)
    for (const key of keys) {
      const ofKey = kept.filter((record) => record.key === key)
      assert.equal(new Set(ofKey.map(({ partition }) => partition)).size, 1)
      assert.deepEqual(
        ofKey.map(text),
        Array.from({ length: 300 }, (_, i) => `${i}`),
      )
    }
  })

  test('takes appends that come at the same time, each record once', async () => {
    await using place = await open()
    const topic = newTopic()
    const other = await place.openAgain()
    const sent = Array.from({ length: 200 }, (_, i) => records(topic, 1 + (i % 4), `${i}-`))
    await Promise.all(sent.map((some, i) => (i % 2 === 0 ? place.log : other).append(some)))
    assert.deepEqual(byKey(await readAll(place.log, topic)), byKey(sent.flat()))
  })

  test('keeps the topics of one append apart', async () => {
    await using place = await open()
    const [left, right] = [newTopic(), newTopic()]
    await place.log.append([newRecord(left, 'a', '1'), newRecord(right, 'a', '2'), newRecord(left, 'a', '3')])
    assert.deepEqual((await readAll(place.log, left)).map(text), ['1', '3'])
    assert.deepEqual((await readAll(place.log, right)).map(text), ['2'])
  })

  test('has nothing to do for no records', async () => {
    await using place = await open()
    await place.log.append([])
  })

  test('refuses at once what is too much to wait, keeps what it took, and takes more later', async () => {
    await using place = await open({ pendingBytesMax: 10_000 })
    const topic = newTopic()
    const taken: NewRecord[] = []
    let refused = 0
    let settled = 0
    const appends = Array.from({ length: 100 }, (_, i) => {
      const record = { topic, key: `${i}`, value: new Uint8Array(1000) }
      return place.log
        .append([record])
        .then(
          () => taken.push(record),
          (error) => {
            assert.ok(isFailure(error, 'log_overloaded') && error.retryable, String(error))
            assert.equal(taken.length, 0, 'the refusals come before any write can have ended')
            refused++
          },
        )
        .finally(() => settled++)
    })
    await Promise.all(appends)
    assert.equal(settled, 100)
    assert.ok(refused >= 90 && taken.length >= 1, `${refused} of 100 refused`)
    await place.log.append([newRecord(topic, 'later', 'x')])
    assert.deepEqual(byKey(await readAll(place.log, topic)), byKey([...taken, newRecord(topic, 'later', 'x')]))
  })

  test('never lets append times decrease within a partition, and takes them from the clock', async () => {
    await using place = await open()
    const topic = newTopic()
    const began = Date.now()
    for (let i = 0; i < 20; i++) await place.log.append(records(topic, 5))
    const kept = await readAll(place.log, topic)
    assert.equal(kept.length, 100)
    for (const some of Object.values(Object.groupBy(kept, ({ partition }) => partition)) as LogRecord[][]) {
      assert.ok(some.every(({ appendTime }, i) => i === 0 || appendTime >= (some[i - 1]?.appendTime ?? 0)))
    }
    for (const { appendTime } of kept) {
      assert.ok(Number.isInteger(appendTime))
      // The log may be on another machine: its clock is about right, no more.
      assert.ok(Math.abs(appendTime - began) < 60_000)
    }
  })

  test('is ready', async () => {
    await using place = await open()
    await place.log.checkReady()
    await place.log.append([newRecord(newTopic(), 'a', 'x')])
    await place.log.checkReady()
  })
}

function closeContract({ open }: LogAdapter): void {
  test('makes every method fail with closed', async () => {
    await using place = await open()
    const { log } = place
    const topic = newTopic()
    await log.append([newRecord(topic, 'a', 'x')])
    await log[Symbol.asyncDispose]()
    const { signal } = new AbortController()
    const consumed = log.consume({
      group: newGroup(),
      topics: [topic],
      startAt: async () => 0,
      batchRecordsMax: 1,
      signal,
    })
    for (const call of [
      () => log.append([newRecord(topic, 'a', 'x')]),
      () => log.append([]),
      () => log.partitions(topic),
      () => log.read({ topic, partition: 0, from: 0, limit: 1 }),
      () => log.offsetsAt({ topic, time: 0 }),
      () => log.commit(newGroup(), [{ topic, partition: 0, next: 0 }]),
      () => log.groups(topic),
      () => log.checkReady(),
      () => consumed[Symbol.asyncIterator]().next(),
    ]) {
      await rejectsWith('closed', call(), { retryable: false })
    }
  })

  test('ends a consumer that waits, with closed', async () => {
    await using place = await open()
    const topic = newTopic()
    await place.log.append([newRecord(topic, 'a', 'x')])
    await using reader = startReader(place.log, { topics: [topic] })
    await reader.next()
    const next = reader.next()
    const rejected = rejectsWith('closed', next, { retryable: false })
    await place.log[Symbol.asyncDispose]()
    await rejected
  })

  test('leaves nothing undecided: what was being appended is acknowledged and kept, or refused', async () => {
    await using place = await open()
    const topic = newTopic()
    const sent = records(topic, 50)
    const outcomes = Promise.allSettled(sent.map((record) => place.log.append([record])))
    await place.log[Symbol.asyncDispose]()
    const settled = await within(outcomes, 'every append is settled')
    const acknowledged = sent.filter((_, i) => settled[i]?.status === 'fulfilled')
    const kept = new Set((await readAll(await place.openAgain(), topic)).map(({ key }) => key))
    assert.ok(acknowledged.every(({ key }) => kept.has(key)))
  })

  test('may be done twice', async () => {
    await using place = await open()
    await place.log[Symbol.asyncDispose]()
    await place.log[Symbol.asyncDispose]()
  })
}
