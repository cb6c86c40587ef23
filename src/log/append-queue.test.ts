import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { isFailure } from '../errors.ts'
import { type AppendLimits, AppendQueue, DEFAULT_APPEND_LIMITS } from './append-queue.ts'
import type { NewRecord } from './event-log.ts'

type Write = { names: string[]; bytes: number; finish: () => void; fail: (error: unknown) => void }

/** A queue whose writes end when the test says so. */
function startQueue(limits: Partial<AppendLimits> = {}) {
  const writes: Write[] = []
  const queue = new AppendQueue(
    (records, bytes) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      writes.push({ names: records.map(({ key }) => key), bytes, finish: resolve, fail: reject })
      return promise
    },
    { ...DEFAULT_APPEND_LIMITS, deadlineMs: 60_000, ...limits },
  )
  return { queue, writes, write: (index: number) => writes[index] ?? assert.fail(`there is no write ${index}`) }
}

const record = (name: string, bytes = 1): NewRecord => ({ topic: 't', key: name, value: new Uint8Array(bytes) })

/** Lets everything run that a settled promise has set going. */
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** What has become of a promise by now. */
async function stateOf(promise: Promise<void>): Promise<'waits' | 'resolved' | 'rejected'> {
  await turn()
  return Promise.race([
    promise.then(
      () => 'resolved' as const,
      () => 'rejected' as const,
    ),
    turn().then(() => 'waits' as const),
  ])
}

const overloaded = (error: unknown) => isFailure(error, 'log_overloaded') && error.retryable

describe('AppendQueue', () => {
  test('writes an append at once when nothing else is under way', () => {
    const { queue, writes, write } = startQueue()
    void queue.append([record('a'), record('b')])
    assert.equal(writes.length, 1)
    assert.deepEqual(write(0).names, ['a', 'b'])
    write(0).finish()
  })

  test('gathers what comes while a write is under way into the next one, in the order in which it came', async () => {
    const { queue, writes, write } = startQueue()
    const first = queue.append([record('a')])
    const others = ['b', 'c', 'd'].map((name) => queue.append([record(name), record(`${name}2`)]))
    assert.equal(writes.length, 1)
    write(0).finish()
    await first
    assert.equal(writes.length, 2)
    assert.deepEqual(write(1).names, ['b', 'b2', 'c', 'c2', 'd', 'd2'])
    write(1).finish()
    await Promise.all(others)
    assert.equal(writes.length, 2)
  })

  test('answers nobody before the write that holds their records has ended', async () => {
    const { queue, write } = startQueue()
    const first = queue.append([record('a')])
    const second = queue.append([record('b')])
    assert.equal(await stateOf(first), 'waits')
    write(0).finish()
    assert.equal(await stateOf(first), 'resolved')
    assert.equal(await stateOf(second), 'waits')
    write(1).finish()
    assert.equal(await stateOf(second), 'resolved')
  })

  test('never has two writes under way, and keeps every record once and in order', async () => {
    const sizes = fc.array(fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 6 }), { maxLength: 40 })
    const property = fc.asyncProperty(sizes, fc.infiniteStream(fc.nat({ max: 3 })), async (appends, turns) => {
      let underWay = 0
      const written: string[] = []
      const queue = new AppendQueue(
        async (records, bytes) => {
          assert.equal(++underWay, 1)
          assert.ok(records.length > 0 && bytes >= records.reduce((sum, { value }) => sum + value.byteLength, 0))
          for (let i = turns.next().value as number; i > 0; i--) await turn()
          for (const { key } of records) written.push(key)
          underWay--
        },
        { ...DEFAULT_APPEND_LIMITS, batchRecordsMax: 8, batchBytesMax: 2000 },
      )
      const all = appends.map((append, index) => append.map((bytes, i) => record(`${index}.${i}`, bytes)))
      const results: Promise<void>[] = []
      for (const records of all) {
        results.push(queue.append(records).then(() => assert.ok(records.every(({ key }) => written.includes(key)))))
        if ((turns.next().value as number) === 0) await turn()
      }
      await Promise.all(results)
      await queue.drained()
      assert.deepEqual(
        written,
        all.flat().map(({ key }) => key),
      )
    })
    await fc.assert(property, { numRuns: 50 })
  })

  test('begins another write where the number of records would exceed its limit, and splits no append', async () => {
    const { queue, writes, write } = startQueue({ batchRecordsMax: 3 })
    const appends = ['a', 'b', 'c', 'd', 'e'].map((name) => queue.append([record(`${name}1`), record(`${name}2`)]))
    const large = queue.append(['f', 'g', 'h', 'i', 'j'].map((name) => record(name)))
    for (let i = 0; i < 6; i++) {
      write(i).finish()
      await turn()
    }
    await Promise.all([...appends, large])
    assert.deepEqual(
      writes.map(({ names }) => names.length),
      [2, 2, 2, 2, 2, 5],
    )
  })

  test('begins another write where the bytes would exceed their limit, and takes a larger append alone', async () => {
    const { queue, writes, write } = startQueue({ batchBytesMax: 3000 })
    const appends = [1000, 1000, 1000, 1000, 9000, 10].map((bytes, i) => queue.append([record(`${i}`, bytes)]))
    for (let i = 0; i < 5; i++) {
      write(i).finish()
      await turn()
    }
    await Promise.all(appends)
    assert.deepEqual(
      writes.map(({ names }) => names.join()),
      ['0', '1,2', '3', '4', '5'],
    )
  })

  test('refuses at once what would exceed the bytes that may wait, and takes it again when they are written', async () => {
    const { queue, writes, write } = startQueue({ pendingBytesMax: 10_000 })
    const first = queue.append([record('a', 5000)])
    const second = queue.append([record('b', 4000)])
    await assert.rejects(queue.append([record('c', 2000)]), overloaded)
    assert.equal(await stateOf(second), 'waits')
    write(0).finish()
    await first
    const third = queue.append([record('c', 2000)])
    write(1).finish()
    await second
    write(2).finish()
    await third
    assert.deepEqual(
      writes.map(({ names }) => names.join()),
      ['a', 'b', 'c'],
    )
  })

  test('takes an append that is larger than all that may wait when nothing else does', async () => {
    const { queue, write } = startQueue({ pendingBytesMax: 1000 })
    const large = queue.append([record('a', 5000)])
    await assert.rejects(queue.append([record('b')]), overloaded)
    write(0).finish()
    await large
  })

  test('bounds many tiny records too, though their values have no bytes', async () => {
    const { queue, write } = startQueue({ pendingBytesMax: 10_000 })
    const results = Array.from({ length: 1000 }, (_, i) => queue.append([record(`${i}`, 0)]))
    const refused = results.map((result) =>
      result.then(
        () => 0,
        (error) => (overloaded(error) ? 1 : assert.fail(String(error))),
      ),
    )
    await turn()
    write(0).finish()
    await turn()
    write(1).finish()
    const count = (await Promise.all(refused)).reduce<number>((sum, one) => sum + one, 0)
    assert.ok(count > 800 && count < 1000, `${count} refused`)
  })

  test('tells the callers of a write that failed, with its error, and nobody else', async () => {
    const { queue, write } = startQueue()
    const first = queue.append([record('a')])
    const second = queue.append([record('b')])
    const third = queue.append([record('c')])
    write(0).finish()
    await first
    const fourth = queue.append([record('d')])
    const broken = new Error('the disk is full')
    write(1).fail(broken)
    await assert.rejects(second, broken)
    await assert.rejects(third, broken)
    assert.equal(await stateOf(fourth), 'waits')
    assert.deepEqual(write(2).names, ['d'])
    write(2).finish()
    await fourth
  })

  test('counts the bytes of a failed write as waiting no longer', async () => {
    const { queue, write } = startQueue({ pendingBytesMax: 10_000 })
    for (let i = 0; i < 5; i++) {
      const append = queue.append([record('a', 9000)])
      await assert.rejects(queue.append([record('b', 9000)]), overloaded)
      write(i).fail(new Error('the disk is full'))
      await assert.rejects(append, /full/)
    }
  })

  test('tells a caller when the deadline is over, not before, and keeps the bytes counted until the write ends', async () => {
    const { queue, write } = startQueue({ deadlineMs: 50, pendingBytesMax: 10_000 })
    const began = performance.now()
    await assert.rejects(queue.append([record('a', 9000)]), overloaded)
    const tookMs = performance.now() - began
    assert.ok(tookMs >= 50 && tookMs < 5000, `${tookMs} ms`)
    await assert.rejects(queue.append([record('b', 2000)]), overloaded)
    write(0).finish()
    await turn()
    const third = queue.append([record('c', 9000)])
    write(1).finish()
    await third
  })

  test('counts the bytes no longer when a write fails after its deadline', async () => {
    const { queue, write } = startQueue({ deadlineMs: 20, pendingBytesMax: 10_000 })
    await assert.rejects(queue.append([record('a', 9000)]), overloaded)
    write(0).fail(new Error('the disk is full'))
    await turn()
    const second = queue.append([record('b', 9000)])
    write(1).finish()
    await second
  })

  test('never writes what waited beyond its deadline, and counts its bytes no longer', async () => {
    const { queue, writes, write } = startQueue({ deadlineMs: 30, pendingBytesMax: 10_000 })
    const first = queue.append([record('a', 1000)])
    const second = queue.append([record('b', 8000)])
    await Promise.all([assert.rejects(first, overloaded), assert.rejects(second, overloaded)])
    const third = queue.append([record('c', 8000)])
    write(0).finish()
    await turn()
    assert.deepEqual(
      writes.map(({ names }) => names),
      [['a'], ['c']],
    )
    write(1).finish()
    await third
  })

  test('holds a deadline for each append, however long writes are under way', async () => {
    const { queue, writes, write } = startQueue({ deadlineMs: 40 })
    await assert.rejects(queue.append([record('a')]), overloaded)
    await assert.rejects(queue.append([record('b')]), overloaded)
    await assert.rejects(queue.append([record('c')]), overloaded)
    write(0).finish()
    await queue.drained()
    assert.equal(writes.length, 1)
    await assert.rejects(queue.append([record('d')]), overloaded)
    write(1).finish()
  })

  test('is drained when nothing waits and nothing is under way, also when writes fail', async () => {
    const { queue, write } = startQueue()
    await queue.drained()
    const first = queue.append([record('a')])
    const second = queue.append([record('b')])
    const drained = queue.drained()
    assert.equal(await stateOf(drained), 'waits')
    write(0).finish()
    await first
    assert.equal(await stateOf(drained), 'waits')
    write(1).fail(new Error('the disk is full'))
    await assert.rejects(second, /full/)
    assert.equal(await stateOf(drained), 'resolved')
    assert.equal(await stateOf(queue.drained()), 'resolved')
  })
})
