import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LogAdapter, OpenedLog } from './event-log.contract.ts'
import {
  DEADLINE_MS,
  fillPartition,
  newRecord,
  newTopic,
  type PlacedRecord,
  plain,
  readAll,
  records,
  rejectsWith,
  startReader,
  text,
} from './event-log.probe.ts'

/** The part of the contract that is about reading by position and time, and what retention removes. */

export function partitionsContract({ open }: LogAdapter): void {
  test('has an empty topic as soon as it is named', async () => {
    await using place = await open()
    const ranges = await place.log.partitions(newTopic())
    assert.ok(ranges.length >= 1)
    assert.deepEqual(
      ranges.map(plain),
      ranges.map((_, partition) => ({ partition, first: 0, next: 0 })),
    )
    const topic = newTopic()
    assert.deepEqual(await place.log.read({ topic, partition: 0, from: 0, limit: 10 }), [])
    assert.deepEqual(await place.log.groups(newTopic()), [])
  })

  test('tells where the next record of each partition goes', async () => {
    await using place = await open()
    const topic = newTopic()
    for (let i = 1; i <= 5; i++) {
      await place.log.append(records(topic, 20))
      const kept = await readAll(place.log, topic)
      for (const { partition, first, next } of await place.log.partitions(topic)) {
        const offsets = kept.filter((record) => record.partition === partition).map(({ offset }) => offset)
        assert.equal(first, 0)
        assert.equal(next, offsets.length === 0 ? 0 : Math.max(...offsets) + 1)
      }
      assert.equal(kept.length, 20 * i)
    }
  })

  test('has the partitions that records can be in, in order', async () => {
    await using place = await open()
    const topic = newTopic()
    await place.log.append(records(topic, 200))
    const ranges = await place.log.partitions(topic)
    assert.deepEqual(
      ranges.map(({ partition }) => partition),
      [...ranges.keys()],
    )
    assert.equal(
      ranges.reduce((sum, { first, next }) => sum + next - first, 0),
      200,
    )
    assert.ok(
      ranges.every(({ next }) => next > 0),
      'with 200 keys no partition stays empty',
    )
  })
}

export function readContract({ open }: LogAdapter): void {
  test('reads from an offset on, in order, up to limit records', async () => {
    await using place = await open()
    const { log } = place
    const { topic, partition } = await fillPartition(
      log,
      Array.from({ length: 25 }, (_, i) => `${i}`),
    )
    for (const [from, limit, expected] of [
      [0, 1, ['0']],
      [0, 3, ['0', '1', '2']],
      [7, 2, ['7', '8']],
      [23, 10, ['23', '24']],
      [24, 1, ['24']],
    ] as const) {
      const found = await log.read({ topic, partition, from, limit })
      assert.deepEqual(found.map(text), expected)
      assert.deepEqual(
        found.map(({ offset }) => offset),
        expected.map(Number),
      )
    }
    assert.equal((await log.read({ topic, partition, from: 0, limit: 1000 })).length, 25)
  })

  test('reads nothing at the end', async () => {
    await using place = await open()
    const { topic, partition } = await fillPartition(place.log, ['a', 'b'])
    assert.deepEqual(await place.log.read({ topic, partition, from: 2, limit: 10 }), [])
  })

  test('stops when bytesMax is reached, but reads at least one record', async () => {
    await using place = await open()
    const { log } = place
    const values = Array.from({ length: 20 }, (_, i) => `${i}`.padEnd(i === 10 ? 50_000 : 1000))
    const { topic, partition } = await fillPartition(log, values)
    for (const bytesMax of [1, 1000, 5500, 20_000]) {
      const seen: string[] = []
      while (seen.length < values.length) {
        const found = await log.read({ topic, partition, from: seen.length, limit: 1000, bytesMax })
        assert.ok(found.length >= 1)
        const bytesBeforeLast = found.slice(0, -1).reduce((sum, { value }) => sum + value.byteLength, 0)
        assert.ok(bytesBeforeLast < bytesMax, `${bytesBeforeLast} bytes and one more record for ${bytesMax}`)
        seen.push(...found.map(text))
      }
      assert.deepEqual(seen, values)
    }
  })
}

export function offsetsAtContract({ open }: LogAdapter): void {
  test('gives the first record at or after any time, and next where there is none', async () => {
    await using place = await open()
    const { log } = place
    const topic = newTopic()
    const times = () => new Set(kept.map(({ appendTime }) => appendTime))
    let kept: PlacedRecord[] = []
    for (const deadline = Date.now() + DEADLINE_MS; times().size < 6; await sleep(2)) {
      assert.ok(Date.now() < deadline, 'append times do not increase')
      await log.append(records(topic, 7))
      kept = await readAll(log, topic)
    }
    const ranges = await log.partitions(topic)
    const around = [...times()].flatMap((time) => [time - 1, time, time + 1])
    for (const time of [0, ...around, Math.max(...around) + 3_600_000]) {
      const expected = ranges.map(({ partition, next }) => {
        const found = kept.find((record) => record.partition === partition && record.appendTime >= time)
        return { partition, offset: found?.offset ?? next, appendTime: found?.appendTime }
      })
      assert.deepEqual((await log.offsetsAt({ topic, time })).map(plain), expected)
      for (const { partition } of ranges) {
        const [one, ...others] = await log.offsetsAt({ topic, time, partitions: [partition] })
        assert.deepEqual(
          [one].map((it) => plain(it ?? {})),
          [expected[partition]],
        )
        assert.deepEqual(others, [])
      }
    }
  })

  test('gives the beginning of an empty topic for any time', async () => {
    await using place = await open()
    const topic = newTopic()
    const ranges = await place.log.partitions(topic)
    for (const time of [0, Date.now(), Date.now() + 3_600_000]) {
      const expected = ranges.map(({ partition }) => ({ partition, offset: 0, appendTime: undefined }))
      assert.deepEqual((await place.log.offsetsAt({ topic, time })).map(plain), expected)
    }
  })
}

export function retentionContract({ open, readsAhead }: LogAdapter): void {
  /** Ten records in one partition, of which retention has removed the first four. */
  async function openShortened(
    t: TestContext,
  ): Promise<(OpenedLog & { topic: string; partition: number; key: string }) | undefined> {
    const place = await open()
    if (place.deleteBefore === undefined) {
      await place[Symbol.asyncDispose]()
      t.skip('retention cannot be made to happen in this log: what it does is not tested')
      return undefined
    }
    const filled = await fillPartition(
      place.log,
      Array.from({ length: 10 }, (_, i) => `${i}`),
    )
    await place.deleteBefore({ topic: filled.topic, partition: filled.partition, offset: 4 })
    return Object.assign(place, filled)
  }

  test('moves first and nothing else', async (t) => {
    await using place = await openShortened(t)
    if (place === undefined) return
    const { log, topic, partition, key } = place
    const range = async () => plain((await log.partitions(topic))[partition] ?? {})
    assert.deepEqual(await range(), { partition, first: 4, next: 10 })
    const left = await log.read({ topic, partition, from: 4, limit: 100 })
    assert.deepEqual(
      left.map(({ offset }) => offset),
      [4, 5, 6, 7, 8, 9],
    )
    assert.equal((await log.offsetsAt({ topic, time: 0 }))[partition]?.offset, 4)
    await place.deleteBefore?.({ topic, partition, offset: 10 })
    assert.deepEqual(await range(), { partition, first: 10, next: 10 })
    assert.deepEqual(await log.read({ topic, partition, from: 10, limit: 100 }), [])
    await log.append([newRecord(topic, key, '10')])
    assert.deepEqual((await log.read({ topic, partition, from: 10, limit: 100 })).map(text), ['10'])
    assert.deepEqual(await range(), { partition, first: 10, next: 11 })
  })

  test('makes reading what it removed fail with offset_removed', async (t) => {
    await using place = await openShortened(t)
    if (place === undefined) return
    const { log, topic, partition } = place
    for (const from of [0, 3]) {
      await rejectsWith('offset_removed', log.read({ topic, partition, from, limit: 10 }), { retryable: false })
    }
  })

  test('moves a consumer up to what is left, which shows in from', async (t) => {
    await using place = await openShortened(t)
    if (place === undefined) return
    const { log, topic } = place
    await using reader = startReader(log, { topics: [topic], startAt: async () => 0, batchRecordsMax: 2 })
    const { from, next, records } = await reader.next()
    assert.deepEqual([from, next, records.map(text)], [4, 6, ['4', '5']])
  })

  test('moves a consumer up in the middle too, behind what it has read ahead', async (t) => {
    await using place = await openShortened(t)
    if (place === undefined) return
    const { log, topic, partition } = place
    const startAt = async (at: { partition: number }) => (at.partition === partition ? 4 : 0)
    await using reader = startReader(log, { topics: [topic], startAt, batchRecordsMax: 1 })
    assert.deepEqual((await reader.next()).records.map(text), ['4'])
    // A log that read ahead would have time enough for it while this is appended and removed.
    await log.append([newRecord(newTopic(), 'a', 'x')])
    await place.deleteBefore?.({ topic, partition, offset: 8 })
    let batch = await reader.next()
    for (let ahead = 5; readsAhead && ahead < 8 && batch.from === ahead; ahead++) {
      assert.deepEqual(batch.records.map(text), [`${ahead}`])
      batch = await reader.next()
    }
    assert.deepEqual([batch.from, batch.records.map(text)], [8, ['8']])
  })
}
