import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { isFailure } from '../../errors.ts'
import { CANARY } from '../../events/catalogue.ts'
import { eventLogContract, type OpenedLog } from '../testing/event-log.contract.ts'
import {
  newGroup,
  newRecord,
  newTopic,
  readAll,
  records,
  rejectsWith,
  startReader,
  text,
} from '../testing/event-log.probe.ts'
import { EmbeddedLog, type EmbeddedLogOptions } from './embedded-log.ts'

type OpenedEmbedded = OpenedLog & {
  log: EmbeddedLog
  dir: string
  openAgain(): Promise<EmbeddedLog>
  openFile(): DatabaseSync
}

async function openEmbedded(options: Omit<EmbeddedLogOptions, 'dir'> = {}): Promise<OpenedEmbedded> {
  const dir = await mkdtemp(join(tmpdir(), 'runify-log-'))
  const stack = new AsyncDisposableStack()
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  const openOne = () => stack.use(new EmbeddedLog({ dir, ...options }))
  const log = openOne()
  return {
    log,
    dir,
    openAgain: async () => openOne(),
    makeAnew: async () => {
      await log[Symbol.asyncDispose]()
      for (const ending of ['', '-wal', '-shm']) await rm(join(dir, `log.db${ending}`), { force: true })
      return openOne()
    },
    deleteBefore: (at) => log.deleteBefore(at),
    openFile: () => stack.adopt(new DatabaseSync(join(dir, 'log.db')), (file) => file.close()),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

for (const partitions of [1, 3]) {
  eventLogContract({
    name: `embedded, ${partitions} ${partitions === 1 ? 'partition' : 'partitions'}`,
    open: (limits = {}) => openEmbedded({ partitions, limits }),
  })
}

describe('the embedded log', () => {
  test('makes all appends that wait durable in one write', async () => {
    await using place = await openEmbedded()
    const topic = newTopic()
    const file = place.openFile()
    // The end of the one partition is moved once in each write.
    file.exec('CREATE TABLE writes (next INTEGER)')
    file.exec(
      'CREATE TRIGGER counted AFTER UPDATE OF next ON partitions BEGIN INSERT INTO writes VALUES (new.next); END',
    )
    await Promise.all(Array.from({ length: 1000 }, (_, i) => place.log.append([newRecord(topic, `${i}`, 'x')])))
    const ends = file
      .prepare('SELECT next FROM writes')
      .all()
      .map(({ next }) => next)
    assert.equal(ends.at(-1), 1000)
    assert.ok(ends.length <= 2, 'the first may go alone, all others wait for it and go together')
  })

  test('takes keys and values of no bytes', async () => {
    await using place = await openEmbedded()
    const topic = newTopic()
    await place.log.append([newRecord(topic, 'a', ''), newRecord(topic, '', 'x'), newRecord(topic, '', '')])
    const kept = (await readAll(place.log, topic)).map((record) => [record.key, text(record)])
    assert.deepEqual(kept, [
      ['a', ''],
      ['', 'x'],
      ['', ''],
    ])
  })

  test('wakes a consumer at once, and one of another instance on the folder too', async () => {
    await using place = await openEmbedded()
    const topic = newTopic()
    const other = await place.openAgain()
    await using own = startReader(place.log, { topics: [topic] })
    await using others = startReader(other, { topics: [topic] })
    const rounds = 20
    const began = performance.now()
    for (let i = 0; i < rounds; i++) {
      const next = [own.next(), others.next()]
      await place.log.append([newRecord(topic, 'a', `${i}`)])
      for (const batch of await Promise.all(next)) assert.deepEqual(batch.records.map(text), [`${i}`])
    }
    // A consumer that nobody wakes looks every half second: these would be ten.
    assert.ok(performance.now() - began < 5000)
  })

  test('ends a consumer that waits as soon as its signal aborts', async () => {
    await using place = await openEmbedded()
    const rounds = 10
    const began = performance.now()
    for (let i = 0; i < rounds; i++) {
      const stop = new AbortController()
      const options = { group: newGroup(), topics: [newTopic()], startAt: async () => 0, batchRecordsMax: 1 }
      const next = place.log
        .consume({ ...options, signal: stop.signal })
        [Symbol.asyncIterator]()
        .next()
      // Long enough for it to have looked and found nothing.
      for (let turn = 0; turn < 10; turn++) await setImmediate()
      stop.abort()
      assert.equal((await next).done, true)
    }
    // If it ended when it looks again by itself, these would be five.
    assert.ok(performance.now() - began < 2500)
  })

  test('leaves no timers behind, however many batches a consumer takes', async () => {
    await using place = await openEmbedded()
    const topic = newTopic()
    await place.log.append(records(topic, 500))
    const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
    const before = timers()
    await using reader = startReader(place.log, { topics: [topic], batchRecordsMax: 1 })
    for (let i = 0; i < 500; i++) await reader.next()
    assert.ok(timers() - before <= 1, `${timers()} timers, ${before} before`)
  })

  test('gives every record its own offset when two instances append at the same time', async () => {
    await using place = await openEmbedded({ partitions: 3 })
    const other = await place.openAgain()
    const topic = newTopic()
    const appends = [place.log, other].flatMap((log) =>
      Array.from({ length: 20 }, async () => {
        for (let i = 0; i < 5; i++) await log.append(records(topic, 5))
      }),
    )
    await Promise.all(appends)
    const kept = await readAll(place.log, topic)
    assert.equal(kept.length, 1000)
    for (const { partition, next } of await place.log.partitions(topic)) {
      const offsets = kept.filter((record) => record.partition === partition).map(({ offset }) => offset)
      assert.deepEqual(offsets, [...Array(next).keys()])
    }
  })

  test('does not let append times decrease when the clock is set back', async () => {
    await using place = await openEmbedded()
    const topic = newTopic()
    await place.log.append([newRecord(topic, 'a', 'before')])
    const ahead = Date.now() + 3_600_000
    const file = place.openFile()
    file.prepare('UPDATE batches SET append_time = ? WHERE topic = ?').run(ahead, topic)
    file.prepare('UPDATE partitions SET append_time = ? WHERE topic = ?').run(ahead, topic)
    await place.log.append([newRecord(topic, 'a', 'after')])
    assert.deepEqual(
      (await readAll(place.log, topic)).map(({ appendTime }) => appendTime),
      [ahead, ahead],
    )
  })

  test('finishes what was being appended before it closes', async () => {
    await using place = await openEmbedded()
    const topic = newTopic()
    const appends = records(topic, 100).map((record) => place.log.append([record]))
    await place.log[Symbol.asyncDispose]()
    await Promise.all(appends)
    assert.equal((await readAll(await place.openAgain(), topic)).length, 100)
  })

  test('removes nothing beyond the end, whatever retention asks for', async () => {
    await using place = await openEmbedded()
    const topic = newTopic()
    await place.log.append(records(topic, 5))
    await place.log.deleteBefore({ topic, partition: 0, offset: 1_000_000 })
    assert.deepEqual({ ...(await place.log.partitions(topic))[0] }, { partition: 0, first: 5, next: 5 })
    await place.log.append([newRecord(topic, 'a', 'new')])
    assert.deepEqual((await place.log.read({ topic, partition: 0, from: 5, limit: 10 })).map(text), ['new'])
    await place.log.deleteBefore({ topic, partition: 0, offset: 2 })
    assert.equal((await place.log.partitions(topic))[0]?.first, 5)
  })

  test('keeps the newest canaries only, which come for ever', async () => {
    await using place = await openEmbedded()
    const { topic } = CANARY
    const keep = async () => place.log.append(records(topic, 1000))
    for (let n = 0; n < 10; n++) await keep()
    assert.deepEqual({ ...(await place.log.partitions(topic))[0] }, { partition: 0, first: 5000, next: 10_000 })
    await keep()
    assert.equal((await place.log.partitions(topic))[0]?.first, 5000, 'not at every append')
    assert.equal((await place.log.read({ topic, partition: 0, from: 5000, limit: 1 })).length, 1)
    await assert.rejects(place.log.read({ topic, partition: 0, from: 4999, limit: 1 }), /begins at 5000/)
  })

  test('tells an append that its write failed, writes nothing of it, and goes on when writing works again', async () => {
    await using place = await openEmbedded()
    const { log } = place
    const topic = newTopic()
    await log.append([newRecord(topic, 'a', '0')])
    const file = place.openFile()
    file.exec(
      "CREATE TRIGGER full BEFORE INSERT ON batches WHEN instr(new.records, CAST('bad' AS BLOB)) BEGIN SELECT RAISE(ABORT, 'disk full'); END",
    )
    const failed = log.append([newRecord(topic, 'good', '1'), newRecord(topic, 'bad', '2')])
    await assert.rejects(failed, (error) => {
      return isFailure(error, 'log_unavailable') && error.retryable && String(error.cause).includes('disk full')
    })
    assert.deepEqual((await readAll(log, topic)).map(text), ['0'])
    file.exec('DROP TRIGGER full')
    await log.append([newRecord(topic, 'bad', '1')])
    assert.deepEqual(
      (await readAll(log, topic)).map(({ offset }) => offset),
      [0, 1],
    )
  })

  test('takes over a log of the first form, which had a row for each record', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'runify-log-'))
    await using stack = new AsyncDisposableStack()
    stack.defer(() => rm(dir, { recursive: true, force: true }))
    const topic = newTopic()
    {
      const file = new DatabaseSync(join(dir, 'log.db'))
      file.exec(
        'CREATE TABLE partitions (topic TEXT, partition INTEGER, first INTEGER, next INTEGER, append_time INTEGER, PRIMARY KEY (topic, partition));' +
          'CREATE TABLE appended (topic TEXT, partition INTEGER, offset INTEGER, append_time INTEGER, key TEXT, value BLOB);',
      )
      file.prepare('INSERT INTO partitions VALUES (?, 0, 1, 3, 20)').run(topic)
      const insert = file.prepare('INSERT INTO appended VALUES (?, 0, ?, ?, ?, ?)')
      insert.run(topic, 1, 10, 'ä', Buffer.from('one'))
      insert.run(topic, 2, 20, 'b', Buffer.from('two'))
      file.close()
    }
    const log = stack.use(new EmbeddedLog({ dir }))
    await log.append([newRecord(topic, 'c', 'three')])
    const kept = await log.read({ topic, partition: 0, from: 1, limit: 10 })
    assert.deepEqual(
      kept.map((record) => [record.offset, record.key, text(record)]),
      [
        [1, 'ä', 'one'],
        [2, 'b', 'two'],
        [3, 'c', 'three'],
      ],
    )
    assert.deepEqual(
      kept.slice(0, 2).map(({ appendTime }) => appendTime),
      [10, 20],
    )
  })

  test('fails every append when its writer thread cannot live, says that it is not ready, and closes all the same', async () => {
    await using place = await openEmbedded()
    const { log, dir } = place
    const topic = newTopic()
    // The log is open already; the writer, which opens it with the first append, finds a folder in its place.
    for (const file of ['log.db', 'log.db-wal', 'log.db-shm']) await rm(join(dir, file), { force: true })
    await mkdir(join(dir, 'log.db'))
    const appends = [1, 2, 3].map(() => log.append([newRecord(topic, 'a', 'x')]))
    for (const append of appends) await rejectsWith('log_unavailable', append, { retryable: true })
    await rejectsWith('log_unavailable', log.append([newRecord(topic, 'a', 'x')]), { retryable: true })
    await rejectsWith('log_unavailable', log.checkReady(), { retryable: true })
    await log[Symbol.asyncDispose]()
  })
})
