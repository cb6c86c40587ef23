import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KeyedExecutor } from './keyed-executor.ts'

/** A piece of work that ends when it is told to. */
function piece(log: string[], name: string) {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const work = async () => {
    log.push(`${name} begins`)
    await promise
    log.push(`${name} ends`)
  }
  return { work, resolve, reject }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('A KeyedExecutor keeps the order of each key, and runs no more at once than it may', async () => {
  const log: string[] = []
  const [a1, a2, b1] = [piece(log, 'a1'), piece(log, 'a2'), piece(log, 'b1')]
  const executor = new KeyedExecutor(2, new AbortController().signal)
  await executor.start('a', a1.work)
  const second = executor.start('b', b1.work).then(() => log.push('room'))
  await turn()
  assert.deepEqual(log, ['a1 begins', 'b1 begins'])
  b1.resolve()
  await second
  const third = executor.start('a', a2.work)
  await turn()
  assert.deepEqual(log, ['a1 begins', 'b1 begins', 'b1 ends', 'room'])
  a1.resolve()
  await third
  a2.resolve()
  await executor.drain()
  assert.deepEqual(log.slice(4), ['a1 ends', 'a2 begins', 'a2 ends'])
})

test('With one at once, a task waits for the one before', async () => {
  const log: string[] = []
  const a = piece(log, 'a')
  const executor = new KeyedExecutor(1, new AbortController().signal)
  const started = executor.start('a', a.work).then(() => log.push('room'))
  await turn()
  assert.deepEqual(log, ['a begins'])
  a.resolve()
  await started
  assert.deepEqual(log, ['a begins', 'a ends', 'room'])
})

test('A KeyedExecutor stops at the first failure, waits for the others, and throws it', async () => {
  const log: string[] = []
  const [a, b, c] = [piece(log, 'a'), piece(log, 'b'), piece(log, 'c')]
  const executor = new KeyedExecutor(3, new AbortController().signal)
  await executor.start('a', a.work)
  await executor.start('b', b.work)
  const failure = new Error('the store is unavailable')
  a.reject(failure)
  await turn()
  assert.equal(executor.signal.aborted, true)
  await executor.start('c', c.work)
  const drained = assert.rejects(executor.drain(), failure)
  b.resolve()
  await drained
  assert.deepEqual(log, ['a begins', 'b begins', 'b ends'])
})

test('A KeyedExecutor aborts with the signal that it is given', () => {
  const stop = new AbortController()
  const executor = new KeyedExecutor(1, stop.signal)
  assert.equal(executor.signal.aborted, false)
  stop.abort()
  assert.equal(executor.signal.aborted, true)
})
