import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { sumByBigInt } from '../testing/exact-sum.reference.ts'
import {
  addExactly,
  decodeSum,
  type ExactSum,
  encodeSum,
  GrowingSum,
  mergeSums,
  roundSum,
  ZERO_SUM,
} from './exact-sum.ts'

const SMALLEST = 5e-324
/** Far enough from the largest double that no order of a few hundred values overflows. */
const LARGE = 1e300

const anyDouble = fc.double({ min: -LARGE, max: LARGE, noNaN: true })
const sumOf = (values: readonly number[]): ExactSum => values.reduce<ExactSum>(addExactly, ZERO_SUM)

/** Doubles of all sizes, ordinary distances, neighbours of a tie, and values that cancel out all but what is tiny. */
const anyValues = fc
  .array(
    fc.oneof(
      anyDouble.map((value) => [value]),
      fc.integer({ min: 0, max: 1_000_000_000 }).map((cents) => [cents / 100]),
      fc.constantFrom(
        [SMALLEST],
        [-SMALLEST],
        [2 ** 53, 1],
        [2 ** 53, 1, SMALLEST],
        [2 ** 53, -1, -SMALLEST],
        [1e7 - 0.01],
      ),
      anyDouble.map((value) => [value, -value]),
      fc
        .tuple(fc.integer({ min: -1074, max: 23 }), fc.integer({ min: 0, max: 52 }))
        .map(([at, gap]) => [2 ** at * (1 + 2 ** -gap)]),
    ),
    { maxLength: 60 },
  )
  .map((groups) => groups.flat())

const anyValuesAndOrder = anyValues.chain((values) =>
  fc.record({
    values: fc.constant(values),
    shuffled: fc.shuffledSubarray(values, { minLength: values.length, maxLength: values.length }),
  }),
)

describe('the reference', () => {
  test('rounds as the processor does: sums of two doubles have its bits', () => {
    fc.assert(
      fc.property(anyDouble, anyDouble, (a, b) => {
        assert.equal(sumByBigInt([a, b]), a + b)
      }),
    )
  })
})

describe('a sum that grows in place', () => {
  test('has the bits of the correctly rounded sum, in whatever order the values come', () => {
    fc.assert(
      fc.property(anyValuesAndOrder, ({ values, shuffled }) => {
        const expected = sumByBigInt(values)
        for (const order of [values, shuffled]) {
          const half = new GrowingSum()
          const whole = new GrowingSum()
          for (const [index, value] of order.entries()) (index % 2 === 0 ? whole : half).add(value)
          whole.addSum(half)
          assert.equal(roundSum(whole.parts()), expected)
          assert.equal(whole.rounded(), expected)
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('an exact sum', () => {
  test('has the bits of the correctly rounded sum, in whatever order the values come', () => {
    fc.assert(
      fc.property(anyValuesAndOrder, ({ values, shuffled }) => {
        const expected = sumByBigInt(values)
        assert.equal(roundSum(sumOf(values)), expected)
        assert.equal(roundSum(sumOf(shuffled)), expected)
      }),
      { numRuns: 1000 },
    )
  })

  test('is the same however the values are split into sums that are merged', () => {
    fc.assert(
      fc.property(fc.array(anyValues, { maxLength: 5 }), (groups) => {
        const merged = groups.map(sumOf).reduce(mergeSums, ZERO_SUM)
        assert.equal(roundSum(merged), sumByBigInt(groups.flat()))
      }),
    )
  })

  test('keeps what plain addition loses', () => {
    assert.equal(roundSum(sumOf([1e16, 1, -1e16])), 1)
    assert.equal(roundSum(sumOf([LARGE, SMALLEST, -LARGE])), SMALLEST)
    assert.equal(roundSum(sumOf(Array.from({ length: 10 }, () => 0.1))), 1)
  })

  test('breaks a tie by what lies far below it, and to the even neighbour where nothing does', () => {
    const tie = 2 ** 53 + 1
    assert.equal(tie, 2 ** 53, 'plain addition rounds the tie away')
    assert.equal(roundSum(sumOf([2 ** 53, 1])), 2 ** 53)
    assert.equal(roundSum(sumOf([2 ** 53, 1, SMALLEST])), 2 ** 53 + 2)
    assert.equal(roundSum(sumOf([2 ** 53 + 2, 1])), 2 ** 53 + 4)
    assert.equal(roundSum(sumOf([2 ** 53 + 2, 1, -SMALLEST])), 2 ** 53 + 2)
  })

  test('of nothing, and of what cancels out, is positive zero', () => {
    assert.equal(roundSum(ZERO_SUM), 0)
    assert.equal(roundSum(sumOf([-0, -0])), 0)
    assert.equal(roundSum(sumOf([0.1, 0.2, -0.2, -0.1])), 0)
  })

  test('stays a short list over 100,000 distances of two decimals', () => {
    // A fixed sequence (the one of "minimal standard" generators), so that a failure comes again.
    let seed = 20_240_229
    const distances = Array.from({ length: 100_000 }, () => {
      seed = (seed * 48_271) % 2_147_483_647
      return (seed % 1_000_000_001) / 100
    })
    let sum = ZERO_SUM
    let longest = 0
    for (const distance of distances) {
      sum = addExactly(sum, distance)
      longest = Math.max(longest, sum.length)
    }
    assert.ok(longest <= 4, `the list grew to ${longest}`)
    assert.equal(roundSum(sum), sumByBigInt(distances))
  })
})

describe('the bytes of an exact sum', () => {
  test('give the same sum back, to go on adding to', () => {
    fc.assert(
      fc.property(anyValues, anyValues, (before, after) => {
        const restored = decodeSum(encodeSum(sumOf(before)))
        assert.equal(roundSum(restored), sumByBigInt(before))
        assert.equal(roundSum(after.reduce<ExactSum>(addExactly, restored)), sumByBigInt([...before, ...after]))
      }),
    )
  })

  test('can be read where they do not begin at a multiple of eight', () => {
    const bytes = encodeSum(sumOf([0.1, 1e16]))
    const shifted = new Uint8Array(bytes.byteLength + 3)
    shifted.set(bytes, 3)
    assert.deepEqual(decodeSum(shifted.subarray(3)), decodeSum(bytes))
  })

  test('fit their column, however far apart the sizes of the values are', () => {
    const bytesMax = 320
    const anySize = fc.tuple(fc.integer({ min: -1074, max: 22 }), fc.integer({ min: 0, max: 52 }))
    fc.assert(
      fc.property(fc.array(anySize, { minLength: 500, maxLength: 2000, size: 'max' }), (sizes) => {
        const values = sizes.map(([at, gap]) => 2 ** at * (1 + 2 ** -gap))
        const bytes = encodeSum(sumOf(values))
        assert.ok(bytes.byteLength <= bytesMax, `${bytes.byteLength} bytes`)
        assert.equal(roundSum(decodeSum(bytes)), sumByBigInt(values))
      }),
    )
  })
})
