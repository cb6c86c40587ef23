import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Lanes } from './lanes.ts'

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

test('Lanes keep the order of each lane, and no more under way than said', async () => {
  const log: string[] = []
  const [a1, a2, b1] = [piece(log, 'a1'), piece(log, 'a2'), piece(log, 'b1')]
  const lanes = new Lanes(2, new AbortController().signal)
  await lanes.start('a', a1.work)
  const second = lanes.start('b', b1.work).then(() => log.push('room'))
  await turn()
  assert.deepEqual(log, ['a1 begins', 'b1 begins'])
  b1.resolve()
  await second
  const third = lanes.start('a', a2.work)
  await turn()
  assert.deepEqual(log, ['a1 begins', 'b1 begins', 'b1 ends', 'room'])
  a1.resolve()
  await third
  a2.resolve()
  await lanes.drain()
  assert.deepEqual(log.slice(4), ['a1 ends', 'a2 begins', 'a2 ends'])
})

test('One lane at a time is one piece at a time', async () => {
  const log: string[] = []
  const a = piece(log, 'a')
  const lanes = new Lanes(1, new AbortController().signal)
  const started = lanes.start('a', a.work).then(() => log.push('room'))
  await turn()
  assert.deepEqual(log, ['a begins'])
  a.resolve()
  await started
  assert.deepEqual(log, ['a begins', 'a ends', 'room'])
})

test('Lanes stop at the first failure, wait for the others, and throw it', async () => {
  const log: string[] = []
  const [a, b, c] = [piece(log, 'a'), piece(log, 'b'), piece(log, 'c')]
  const lanes = new Lanes(3, new AbortController().signal)
  await lanes.start('a', a.work)
  await lanes.start('b', b.work)
  const failure = new Error('the store is away')
  a.reject(failure)
  await turn()
  assert.equal(lanes.signal.aborted, true)
  await lanes.start('c', c.work)
  const drained = assert.rejects(lanes.drain(), failure)
  b.resolve()
  await drained
  assert.deepEqual(log, ['a begins', 'b begins', 'b ends'])
})

test('Lanes abort with the signal that they are given', () => {
  const stop = new AbortController()
  const lanes = new Lanes(1, stop.signal)
  assert.equal(lanes.signal.aborted, false)
  stop.abort()
  assert.equal(lanes.signal.aborted, true)
})
