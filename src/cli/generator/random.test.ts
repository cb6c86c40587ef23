import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from './random.ts'

function draw(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => random.uniform())
}

test('the same seeds give the same numbers and others give others', () => {
  assert.deepEqual(draw(new Random(1, 2, 3), 100), draw(new Random(1, 2, 3), 100))
  for (const other of [new Random(2, 2, 3), new Random(1, 3, 3), new Random(1, 2, 4)]) {
    const shared = draw(other, 100).filter((number, index) => number === draw(new Random(1, 2, 3), 100)[index])
    assert.deepEqual(shared, [])
  }
})

test('uniform numbers fill the range from 0 to 1 evenly', () => {
  const random = new Random(0, 0, 0)
  const counts = new Array<number>(10).fill(0)
  for (const number of draw(random, 100_000))
    counts[Math.floor(number * 10)] = (counts[Math.floor(number * 10)] ?? 0) + 1
  assert.equal(counts.length, 10)
  for (const count of counts) assert.ok(Math.abs(count - 10_000) < 500, `${count} of 10,000`)
})

test('whole numbers reach both ends of their range and nothing beyond', () => {
  const random = new Random(7, 7, 7)
  const seen = new Set(Array.from({ length: 1000 }, () => random.whole(-2, 3)))
  assert.deepEqual(
    [...seen].sort((a, b) => a - b),
    [-2, -1, 0, 1, 2, 3],
  )
})

test('bell numbers have mean 0 and deviation 1', () => {
  const random = new Random(5, 5, 5)
  const numbers = Array.from({ length: 100_000 }, () => random.bell())
  const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length
  const variance = numbers.reduce((sum, number) => sum + (number - mean) ** 2, 0) / numbers.length
  assert.ok(Math.abs(mean) < 0.02, `mean ${mean}`)
  assert.ok(Math.abs(variance - 1) < 0.02, `variance ${variance}`)
})
