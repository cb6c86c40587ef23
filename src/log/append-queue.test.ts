import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { Failure, isFailure, RecordsTooLarge } from '../errors.ts'
import { type AppendLimits, AppendQueue, DEFAULT_APPEND_LIMITS } from './append-queue.ts'
import type { NewRecord } from './event-log.ts'

type Write = { names: string; finish: () => void; fail: (error: unknown) => void }

/** A queue whose writes end when the test says so. */
function startQueue(limits: Partial<AppendLimits> = {}) {
  const writes: Write[] = []
  const queue = new AppendQueue(
    (records) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      writes.push({ names: records.map(({ key }) => key).join(), finish: resolve, fail: reject })
      return promise
    },
    { ...DEFAULT_APPEND_LIMITS, deadlineMs: 60_000, ...limits },
  )
  /** The write of this number, counted from 0, when it has begun. */
  const begun = async (index: number): Promise<Write> => {
    const deadline = performance.now() + 5000
    for (;;) {
      const write = writes[index]
      if (write !== undefined) return write
      assert.ok(performance.now() < deadline, `write ${index} should have begun`)
      await turn()
    }
  }
  /** Appends one record and sees its write begin: whatever is appended now has to wait. */
  const occupy = async (bytes = 1): Promise<{ first: Promise<void>; write: Write }> => {
    const first = queue.append([record('first', bytes)])
    // Until the test asks for the outcome, a rejection is nobody's.
    first.catch(() => {})
    return { first, write: await begun(0) }
  }
  return { queue, writes, begun, occupy }
}

const record = (name: string, bytes = 1): NewRecord => ({ topic: 't', key: name, value: new Uint8Array(bytes) })

/** What has become of a promise after all has run that was ready to. */
async function stateOf(promise: Promise<void>): Promise<'waits' | 'resolved' | 'rejected'> {
  let state: 'waits' | 'resolved' | 'rejected' = 'waits'
  promise.then(
    () => (state = 'resolved'),
    () => (state = 'rejected'),
  )
  for (let i = 0; i < 5; i++) await turn()
  return state
}

const overloaded = (error: unknown) => isFailure(error, 'log_overloaded') && error.retryable

describe('AppendQueue', () => {
  test('tells of records that are too large only whose they are, and of the others that they are written', async () => {
    const { queue, begun, occupy } = startQueue()
    const { first, write } = await occupy()
    const appends = [['a', 'b'], ['c'], ['d', 'e', 'f']].map((names) => queue.append(names.map((name) => record(name))))
    write.finish()
    await first
    const next = await begun(1)
    assert.equal(next.names, 'a,b,c,d,e,f')
    next.fail(new RecordsTooLarge([1, 3, 5], 1000))
    const outcomes = await Promise.allSettled(appends)
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.status === 'fulfilled' ? 'written' : outcome.reason.indexes)),
      [[1], 'written', [0, 2]],
    )
  })

  test('writes an append without waiting for others when nothing is under way', async () => {
    const { queue, begun } = startQueue()
    const append = queue.append([record('a'), record('b')])
    const write = await begun(0)
    assert.equal(write.names, 'a,b')
    write.finish()
    await append
  })

  test('gathers what comes while a write is under way into the next one, in the order in which it came', async () => {
    const { queue, writes, begun, occupy } = startQueue()
    const { first, write } = await occupy()
    const others: Promise<void>[] = []
    for (const name of ['b', 'c', 'd']) {
      others.push(queue.append([record(name), record(`${name}2`)]))
      await turn()
    }
    assert.equal(writes.length, 1)
    write.finish()
    await first
    const second = await begun(1)
    assert.equal(second.names, 'b,b2,c,c2,d,d2')
    second.finish()
    await Promise.all(others)
    assert.equal(writes.length, 2)
  })

  test('answers nobody before the write that holds their records has ended', async () => {
    const { queue, begun, occupy } = startQueue()
    const { first, write } = await occupy()
    const second = queue.append([record('b')])
    assert.equal(await stateOf(first), 'waits')
    write.finish()
    assert.equal(await stateOf(first), 'resolved')
    assert.equal(await stateOf(second), 'waits')
    ;(await begun(1)).finish()
    assert.equal(await stateOf(second), 'resolved')
  })

  test('never has two writes under way, and keeps every record once and in order', async () => {
    const anyAppends = fc.array(fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 6 }), {
      maxLength: 40,
      size: 'max',
    })
    const property = fc.asyncProperty(anyAppends, fc.infiniteStream(fc.nat({ max: 3 })), async (appends, turns) => {
      let underWay = 0
      const written: string[] = []
      const write = async (records: NewRecord[]) => {
        assert.equal(++underWay, 1)
        assert.ok(records.length > 0)
        for (let i = turns.next().value as number; i > 0; i--) await turn()
        for (const { key } of records) written.push(key)
        underWay--
      }
      const queue = new AppendQueue(write, { ...DEFAULT_APPEND_LIMITS, batchRecordsMax: 8, batchBytesMax: 2000 })
      const all = appends.map((sizes, index) => sizes.map((bytes, i) => record(`${index}.${i}`, bytes)))
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
    const { queue, writes, begun, occupy } = startQueue({ batchRecordsMax: 3 })
    await occupy()
    const appends = ['a', 'b', 'c'].map((name) => queue.append([record(`${name}1`), record(`${name}2`)]))
    appends.push(queue.append(['d1', 'd2', 'd3', 'd4', 'd5'].map((name) => record(name))))
    appends.push(...['e', 'f', 'g', 'h'].map((name) => queue.append([record(name)])))
    for (let i = 0; i < 7; i++) (await begun(i)).finish()
    await Promise.all(appends)
    const names = writes.map((write) => write.names)
    assert.deepEqual(names, ['first', 'a1,a2', 'b1,b2', 'c1,c2', 'd1,d2,d3,d4,d5', 'e,f,g', 'h'])
  })

  test('begins another write where the bytes would exceed their limit, and takes a larger append alone', async () => {
    const { queue, writes, begun, occupy } = startQueue({ batchBytesMax: 3000 })
    await occupy()
    const appends = [1000, 1000, 1000, 1000, 9000, 10].map((bytes, i) => queue.append([record(`${i}`, bytes)]))
    for (let i = 0; i < 5; i++) (await begun(i)).finish()
    await Promise.all(appends)
    assert.deepEqual(
      writes.map(({ names }) => names),
      ['first', '0,1', '2,3', '4', '5'],
    )
  })

  test('refuses at once what would exceed the bytes that may wait, and takes it when there is room again', async () => {
    const { queue, writes, begun } = startQueue({ pendingBytesMax: 10_000 })
    const first = queue.append([record('a', 5000)])
    const second = queue.append([record('b', 4000)])
    await assert.rejects(queue.append([record('c', 2000)]), overloaded)
    const write = await begun(0)
    await assert.rejects(queue.append([record('c', 2000)]), overloaded)
    write.finish()
    await Promise.all([first, second])
    const third = queue.append([record('c', 2000)])
    ;(await begun(1)).finish()
    await third
    assert.deepEqual(
      writes.map(({ names }) => names),
      ['a,b', 'c'],
    )
  })

  test('takes an append that is larger than all that may wait when nothing else does', async () => {
    const { queue, begun } = startQueue({ pendingBytesMax: 1000 })
    const large = queue.append([record('a', 5000)])
    await assert.rejects(queue.append([record('b')]), overloaded)
    ;(await begun(0)).finish()
    await large
  })

  test('bounds many tiny records too, though their values have no bytes', async () => {
    const { queue, begun } = startQueue({ pendingBytesMax: 10_000 })
    const results = Array.from({ length: 1000 }, (_, i) => queue.append([record(`${i}`, 0)]))
    const settled = Promise.allSettled(results)
    ;(await begun(0)).finish()
    const refused = (await settled).filter((result) => result.status === 'rejected')
    assert.ok(refused.length > 800 && refused.length < 1000, `${refused.length} refused`)
    assert.ok(refused.every(({ reason }) => overloaded(reason)))
  })

  test('tells the callers of a write that failed, with its error, and nobody else', async () => {
    const { queue, begun, occupy } = startQueue()
    const { first, write } = await occupy()
    const failing = [queue.append([record('b')]), queue.append([record('c')])]
    write.finish()
    await first
    const second = await begun(1)
    const last = queue.append([record('d')])
    const broken = new Error('the disk is full')
    second.fail(broken)
    for (const append of failing) await assert.rejects(append, broken)
    assert.equal(await stateOf(last), 'waits')
    const third = await begun(2)
    assert.equal(third.names, 'd')
    third.finish()
    await last
  })

  test('counts the bytes of a failed write as waiting no longer', async () => {
    const { queue, begun } = startQueue({ pendingBytesMax: 10_000 })
    for (let i = 0; i < 5; i++) {
      const append = queue.append([record('a', 9000)])
      await assert.rejects(queue.append([record('b', 9000)]), overloaded)
      ;(await begun(i)).fail(new Error('the disk is full'))
      await assert.rejects(append, /full/)
    }
  })

  test('tells a caller when the deadline is over, not before, and keeps the bytes counted until the write ends', async () => {
    const { queue, begun } = startQueue({ deadlineMs: 50, pendingBytesMax: 10_000 })
    const beganMs = performance.now()
    await assert.rejects(queue.append([record('a', 9000)]), overloaded)
    const tookMs = performance.now() - beganMs
    assert.ok(tookMs >= 50 && tookMs < 5000, `${tookMs} ms`)
    await assert.rejects(queue.append([record('b', 2000)]), overloaded)
    ;(await begun(0)).finish()
    await turn()
    const third = queue.append([record('c', 9000)])
    ;(await begun(1)).finish()
    await third
  })

  test('counts the bytes no longer when a write fails after its deadline', async () => {
    const { queue, begun } = startQueue({ deadlineMs: 20, pendingBytesMax: 10_000 })
    await assert.rejects(queue.append([record('a', 9000)]), overloaded)
    ;(await begun(0)).fail(new Error('the disk is full'))
    await turn()
    const second = queue.append([record('b', 9000)])
    ;(await begun(1)).finish()
    await second
  })

  test('never writes what waited beyond its deadline, and counts its bytes no longer', async () => {
    const { queue, writes, begun, occupy } = startQueue({ deadlineMs: 30, pendingBytesMax: 10_000 })
    const { first, write } = await occupy(1000)
    await assert.rejects(queue.append([record('b', 8000)]), overloaded)
    await assert.rejects(first, overloaded)
    write.finish()
    await turn()
    const third = queue.append([record('c', 8000)])
    ;(await begun(1)).finish()
    await third
    assert.deepEqual(
      writes.map(({ names }) => names),
      ['first', 'c'],
    )
  })

  test('holds a deadline for each append, however long writes are under way', async () => {
    const { queue, writes, begun, occupy } = startQueue({ deadlineMs: 40 })
    const { first, write } = await occupy()
    await assert.rejects(first, overloaded)
    for (const name of ['b', 'c']) await assert.rejects(queue.append([record(name)]), overloaded)
    write.finish()
    await queue.drained()
    assert.equal(writes.length, 1)
    await assert.rejects(queue.append([record('d')]), overloaded)
    ;(await begun(1)).finish()
  })

  test('has one append at a time try a log that failed, and refuses the others at once, until it answers', async () => {
    const { queue, writes, begun, occupy } = startQueue({ stalledMs: 0 })
    const { first, write } = await occupy()
    const away = new Failure('log_unavailable', 'no broker answers', { retryable: true })
    write.fail(away)
    await assert.rejects(first, away)
    const refused = queue.append([record('b')])
    const probe = await begun(1)
    await assert.rejects(queue.append([record('c')]), away)
    probe.fail(away)
    await assert.rejects(refused, away)
    const taken = queue.append([record('d')])
    ;(await begun(2)).finish()
    await taken
    const together = [queue.append([record('e')]), queue.append([record('f')])]
    ;(await begun(3)).finish()
    await Promise.all(together)
    assert.deepEqual(
      writes.map(({ names }) => names),
      ['first', 'b', 'd', 'e,f'],
    )
  })

  test('refuses at once while a write is late, and takes all again when it ends', async () => {
    const { queue, begun } = startQueue({ deadlineMs: 300, stalledMs: 0 })
    const first = queue.append([record('first')])
    first.catch(() => {})
    // However long the machine takes from the append to its write.
    for (const at = performance.now(); performance.now() - at < 100; );
    const write = await begun(0)
    await assert.rejects(first, overloaded)
    assert.equal(await stateOf(queue.append([record('b')])), 'rejected')
    write.finish()
    await turn()
    const together = [queue.append([record('c')]), queue.append([record('d')])]
    const next = await begun(1)
    assert.equal(next.names, 'c,d')
    next.finish()
    await Promise.all(together)
  })

  test('lets appends wait for a log that has only just failed', async () => {
    const { queue, begun, occupy } = startQueue()
    const { first, write } = await occupy()
    const away = new Failure('log_unavailable', 'no broker answers', { retryable: true })
    write.fail(away)
    await assert.rejects(first, away)
    const together = [queue.append([record('b')]), queue.append([record('c')])]
    const next = await begun(1)
    assert.equal(next.names, 'b,c')
    next.finish()
    await Promise.all(together)
  })

  test('does not take a record that can never be written for a log that is unavailable', async () => {
    const { queue, begun, occupy } = startQueue({ stalledMs: 0 })
    const { first, write } = await occupy()
    write.fail(new Failure('log_unavailable', 'too large', { retryable: false }))
    await assert.rejects(first, /too large/)
    const together = [queue.append([record('b')]), queue.append([record('c')])]
    const next = await begun(1)
    assert.equal(next.names, 'b,c')
    next.finish()
    await Promise.all(together)
  })

  test('is drained when nothing waits and nothing is under way, also when writes fail', async () => {
    const { queue, begun, occupy } = startQueue()
    await queue.drained()
    const { first, write } = await occupy()
    const second = queue.append([record('b')])
    const drained = queue.drained()
    assert.equal(await stateOf(drained), 'waits')
    write.finish()
    await first
    assert.equal(await stateOf(drained), 'waits')
    ;(await begun(1)).fail(new Error('the disk is full'))
    await assert.rejects(second, /full/)
    assert.equal(await stateOf(drained), 'resolved')
    assert.equal(await stateOf(queue.drained()), 'resolved')
  })

  test('is not drained while an append has yet to be written', async () => {
    const { queue, begun } = startQueue()
    const append = queue.append([record('a')])
    const drained = queue.drained()
    assert.equal(await stateOf(drained), 'waits')
    ;(await begun(0)).finish()
    await append
    await drained
  })
})
