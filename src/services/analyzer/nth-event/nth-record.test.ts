import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { EmbeddedLog } from '../../../log/embedded/embedded-log.ts'
import { type PackedRecords, packRecords } from '../../../log/embedded/packed-records.ts'
import { openLogFile } from '../../../log/embedded/schema.ts'
import type { LogRecord } from '../../../log/event-log.ts'
import { TimedLog } from '../testing/timed-log.fixture.ts'
import { type NthRecord, NthRecords } from './nth-record.ts'

const TOPIC = 'runify.running_stats'

/** Appends that are under way together, of some records each: a number names the record's key. */
const anyBursts = fc.array(
  fc.array(fc.array(fc.nat(20), { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 3 }),
  { maxLength: 12 },
)
const anyLog = fc.record({ partitions: fc.constantFrom(1, 3), bursts: anyBursts })
/** How much of each partition retention removes. */
const anyCuts = fc.array(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })), {
  minLength: 3,
  maxLength: 3,
})

/** Batches of one partition: milliseconds since the one before, and how many records have this time. */
const anyBatches = fc.array(
  fc.tuple(
    fc.oneof(fc.nat(4), fc.nat(60_000)),
    fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 100, max: 400 })),
  ),
  { maxLength: 20 },
)
const anyTimedLog = fc.array(anyBatches, { minLength: 2, maxLength: 6 }).map(
  (partitions) =>
    new TimedLog(
      partitions.map((batches) => {
        let time = 1_000_000
        return batches.flatMap(([later, records]) => {
          time += later
          return Array.from({ length: records }, () => time)
        })
      }),
    ),
)

type Placed = { partition: number; record: LogRecord }

describe('Record n of the log', () => {
  test('is the n-th in a sort of the whole log by append time, partition and offset', async () => {
    let sameTimes = 0
    const property = fc.asyncProperty(anyLog, async ({ partitions, bursts }) => {
      await using opened = await openLog(partitions, bursts)
      const sorted = await sortWhole(opened.log)
      assert.equal(sorted.length, bursts.flat(2).length)
      for (const [n, placed] of sorted.entries()) {
        assert.deepEqual(await findLater(opened.log, n), { kind: 'found', ...placed })
        if (n > 0 && placed.record.appendTime === sorted[n - 1]?.record.appendTime) sameTimes++
      }
    })
    await fc.assert(property, { numRuns: 30 })
    assert.ok(sameTimes > 100, 'records that were appended in one millisecond are among them')
  })

  test('is the n-th of single events and of large batches alike, and is found by few looks', async () => {
    let sparing = 0
    const property = fc.asyncProperty(
      anyTimedLog,
      fc.array(fc.nat(), { minLength: 10, maxLength: 10 }),
      async (log, some) => {
        const sorted = log.sorted()
        const records = new NthRecords({
          log,
          topic: TOPIC,
          searched: (looks) => assert.ok(looks <= 60, `${looks} looks`),
        })
        const partitions = (await log.partitions()).length
        for (const n of some.map((one) => one % Math.max(sorted.length, 1))) {
          const found = await records.find(n)
          if (sorted.length === 0) assert.deepEqual(found, { kind: 'beyond' })
          else {
            assert.ok(found.kind === 'found')
            assert.deepEqual({ partition: found.partition, offset: found.record.offset }, sorted[n])
          }
        }
        if (log.asked.partitions < log.asked.looks * partitions) sparing++
      },
    )
    await fc.assert(property, { numRuns: 200 })
    assert.ok(sparing > 50, 'what earlier looks have told is not asked for again')
  })

  test('among large batches, is found by time: a batch is read only for the record itself', async () => {
    // As bodies of 6,000 events fill six partitions: 1,000 in each, within a few milliseconds.
    const bodies = Array.from({ length: 50 }, (_, body) => body)
    const log = new TimedLog(
      Array.from({ length: 6 }, (_, partition) =>
        bodies.flatMap((body) =>
          Array.from({ length: 1000 }, () => 1_000_000 + body * 100 + ((body * 7 + partition * 5) % 8)),
        ),
      ),
    )
    const records = new NthRecords({ log, topic: TOPIC })
    const ask = async (step: number) => {
      for (let n = step >> 1; n < 300_000; n += step) assert.equal((await records.find(n)).kind, 'found')
    }
    await ask(5000)
    log.asked = { reads: 0, looks: 0, partitions: 0 }
    await ask(3001)
    assert.ok(log.asked.reads <= 100, `${log.asked.reads} reads for 100 records`)
  })

  test('is beyond the log while the log does not go that far', async () => {
    const property = fc.asyncProperty(anyLog, fc.nat(1000), async ({ partitions, bursts }, further) => {
      await using opened = await openLog(partitions, bursts)
      const count = bursts.flat(2).length
      for (const n of [count, count + further, Number.MAX_SAFE_INTEGER]) {
        assert.deepEqual(await findLater(opened.log, n), { kind: 'beyond' })
      }
    })
    await fc.assert(property, { numRuns: 8 })
  })

  test('stays the same while more is appended', async () => {
    const property = fc.asyncProperty(anyLog, anyBursts, async ({ partitions, bursts }, later) => {
      await using opened = await openLog(partitions, bursts)
      const before = await answers(opened.log, bursts.flat(2).length)
      await appendAll(opened.log, later)
      assert.deepEqual(await answers(opened.log, before.length), before)
    })
    await fc.assert(property, { numRuns: 15 })
  })

  test('is the same as before or removed, when retention has removed the beginnings of partitions', async () => {
    let found = 0
    const property = fc.asyncProperty(anyLog, anyCuts, async ({ partitions, bursts }, cuts) => {
      await using opened = await openLog(partitions, bursts)
      const { log } = opened
      const sorted = await sortWhole(log)
      for (const { partition, next } of await log.partitions(TOPIC)) {
        await log.deleteBefore({ topic: TOPIC, partition, offset: Math.ceil(next * (cuts[partition] as number)) })
      }

      const kept = await sortWhole(log)
      const ranges = await log.partitions(TOPIC)
      for (const [n, placed] of sorted.entries()) {
        const answer = await findLater(log, n)
        if (answer.kind !== 'removed') assert.deepEqual(answer, { kind: 'found', ...placed })
        // Its place is certain where no partition can have lost a record of its time or later.
        const certain = ranges.every(({ partition, first }) => {
          const oldest = kept.find((other) => other.partition === partition)?.record
          return first === 0 || (oldest !== undefined && oldest.appendTime < placed.record.appendTime)
        })
        if (certain) assert.equal(answer.kind, 'found')
        if (partitions === 1) assert.equal(answer.kind, n < (ranges[0]?.first ?? 0) ? 'removed' : 'found')
        if (partitions > 1 && answer.kind === 'found' && kept.length < sorted.length) found++
      }
      assert.deepEqual(await findLater(log, sorted.length), { kind: 'beyond' })
    })
    await fc.assert(property, { numRuns: 30 })
    assert.ok(found > 20, 'some are still found after a removal')
  })

  test('is not told before another partition can get none of the same millisecond any more', async () => {
    await using opened = await openLog(3, [])
    const { log, dir } = opened
    using file = openLogFile(join(dir, 'log.db'))
    // Written by hand, as no test can make two appends fall on one millisecond.
    const time = Date.now()
    const appendAt = (partition: number) => {
      file.prepare('INSERT INTO partitions VALUES (?, ?, 0, 1, ?)').run(TOPIC, partition, time)
      const [packed] = packRecords([{ topic: TOPIC, key: 'key', value: Buffer.of(partition) }], () => partition)
      file
        .prepare('INSERT INTO batches VALUES (?, ?, 0, 1, ?, ?)')
        .run(TOPIC, partition, time, (packed as PackedRecords).bytes)
    }
    appendAt(2)
    const first = new NthRecords({ log, topic: TOPIC }).find(0)
    await turns(20)
    appendAt(0)
    const later = await findLater(log, 0)
    assert.equal(later.kind === 'found' && later.partition, 0)
    assert.deepEqual(await first, later)
  })

  test('is beyond a log that has nothing in it, and removed from one that has nothing left', async () => {
    for (const partitions of [1, 3]) {
      await using opened = await openLog(partitions, [])
      assert.deepEqual(await findLater(opened.log, 0), { kind: 'beyond' })
      await appendAll(opened.log, [[[1, 2, 3]]])
      for (const { partition, next } of await opened.log.partitions(TOPIC)) {
        await opened.log.deleteBefore({ topic: TOPIC, partition, offset: next })
      }
      const removed: NthRecord = { kind: 'removed' }
      assert.deepEqual(await answers(opened.log, 3), [removed, removed, removed])
      assert.deepEqual(await findLater(opened.log, 3), { kind: 'beyond' })
    }
  })
})

/** As somebody finds it who comes when all is settled, and has asked for other records before. */
function findLater(log: EmbeddedLog, n: number): Promise<NthRecord> {
  let records = LATER.get(log)
  if (records === undefined) {
    records = new NthRecords({ log, topic: TOPIC, now: () => Number.MAX_SAFE_INTEGER, endsMs: 0 })
    LATER.set(log, records)
  }
  return records.find(n)
}

const LATER = new WeakMap<EmbeddedLog, NthRecords>()

async function openLog(partitions: number, bursts: number[][][]) {
  await using opened = new AsyncDisposableStack()
  const { path: dir } = opened.use(await mkdtempDisposable(join(tmpdir(), 'runify-')))
  const log = opened.use(new EmbeddedLog({ dir, partitions }))
  await appendAll(log, bursts)
  const all = opened.move()
  return { log, dir, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

async function appendAll(log: EmbeddedLog, bursts: number[][][]): Promise<void> {
  for (const burst of bursts) {
    await Promise.all(
      burst.map((keys) =>
        log.append(keys.map((key) => ({ topic: TOPIC, key: String(key), value: Buffer.from([key]) }))),
      ),
    )
  }
}

/** All that the log holds, read from end to end and put in order. */
async function sortWhole(log: EmbeddedLog): Promise<Placed[]> {
  const all: Placed[] = []
  for (const { partition, first, next } of await log.partitions(TOPIC)) {
    const records = await log.read({ topic: TOPIC, partition, from: first, limit: next - first + 1 })
    for (const record of records) all.push({ partition, record })
  }
  return all.sort(
    (a, b) =>
      a.record.appendTime - b.record.appendTime || a.partition - b.partition || a.record.offset - b.record.offset,
  )
}

function answers(log: EmbeddedLog, count: number): Promise<NthRecord[]> {
  return Promise.all(Array.from({ length: count }, (_, n) => findLater(log, n)))
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}
