/**
 * The exact sum of doubles, whatever their order: the sum is kept as a list of doubles that do not overlap and whose
 * mathematical sum is the exact one. Two recounts in different orders give the same bits, which plain addition does
 * not. Source: J. R. Shewchuk, "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates"
 * (1997), GROW-EXPANSION and COMPRESS; the rounding at the end is that of Python's `math.fsum`.
 */
export type ExactSum = readonly number[]

export const ZERO_SUM: ExactSum = []

/** A list of so many doubles is left as it is; sums of metres and seconds need two or three. */
const PARTS_LOOSE_MAX = 4

/** `sum + value`. Values must be finite, and so small that in no order of them a sum overflows. */
export function addExactly(sum: ExactSum, value: number): ExactSum {
  const grown: number[] = []
  let rest = value
  for (const part of sum) {
    const [large, small] = Math.abs(rest) >= Math.abs(part) ? [rest, part] : [part, rest]
    const high = large + small
    const low = small - (high - large)
    if (low !== 0) grown.push(low)
    rest = high
  }
  if (rest !== 0) grown.push(rest)
  return grown.length <= PARTS_LOOSE_MAX ? grown : compress(grown)
}

export function mergeSums(a: ExactSum, b: ExactSum): ExactSum {
  return b.reduce<ExactSum>(addExactly, a)
}

/**
 * A sum that grows in place, for many values at once. The first double takes each value, the second what rounding takes
 * away from the first. For values of similar size that is exact again and again, and makes no garbage; the first time that
 * it would not be exact, the sum becomes a list as above.
 */
export class GrowingSum {
  #high = 0
  #low = 0
  #list: ExactSum | undefined

  add(value: number): void {
    if (this.#list !== undefined) {
      this.#list = addExactly(this.#list, value)
      return
    }
    const high = this.#high + value
    const lost = errorOf(high, this.#high, value)
    const low = this.#low + lost
    if (errorOf(low, this.#low, lost) === 0) {
      this.#high = high
      this.#low = low
    } else this.#list = addExactly(this.parts(), value)
  }

  addSum(other: GrowingSum): void {
    for (const part of other.#list ?? [other.#low, other.#high]) this.add(part)
  }

  /** The double nearest to it, ties to even. */
  rounded(): number {
    return this.#list === undefined ? this.#high + this.#low : roundSum(this.#list)
  }

  parts(): ExactSum {
    if (this.#list !== undefined) return this.#list
    const sum = this.#high + this.#low
    return [errorOf(sum, this.#high, this.#low), sum].filter((part) => part !== 0)
  }
}

/** What rounding took away when `sum` was made of a and b, exactly (Knuth's TwoSum). */
function errorOf(sum: number, a: number, b: number): number {
  const part = sum - a
  return a - (sum - part) + (b - part)
}

/** The double nearest to the exact sum, ties to even. */
export function roundSum(sum: ExactSum): number {
  let at = sum.length - 1
  if (at < 0) return 0
  let high = sum[at] as number
  let low = 0
  while (at > 0) {
    const part = sum[--at] as number
    const before = high
    high = before + part
    low = part - (high - before)
    if (low !== 0) break
  }
  // Half way between two doubles, what lies further below decides.
  const below = at > 0 ? (sum[at - 1] as number) : 0
  if ((low < 0 && below < 0) || (low > 0 && below > 0)) {
    const doubled = low * 2
    const rounded = high + doubled
    if (doubled === rounded - high) high = rounded
  }
  return high
}

/** Eight bytes a part, little-endian. */
export function encodeSum(sum: ExactSum): Uint8Array {
  const bytes = Buffer.allocUnsafe(sum.length * 8)
  for (const [index, part] of sum.entries()) bytes.writeDoubleLE(part, index * 8)
  return bytes
}

export function decodeSum(bytes: Uint8Array): ExactSum {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: bytes.byteLength / 8 }, (_, index) => view.getFloat64(index * 8, true))
}

/**
 * The same sum in fewer doubles. Parts need not touch, so many small leftovers would gather between them. Behind this
 * they begin at least 52 bits apart: 23 parts at most for up to 2^53 values from 0 to 10,000,000.
 */
function compress(sum: ExactSum): ExactSum {
  const downward: number[] = []
  let rest = sum.at(-1) as number
  for (let at = sum.length - 2; at >= 0; at--) {
    const part = sum[at] as number
    const high = rest + part
    const low = part - (high - rest)
    if (low !== 0) downward.push(high)
    rest = low !== 0 ? low : high
  }
  const upward: number[] = []
  for (let at = downward.length - 1; at >= 0; at--) {
    const part = downward[at] as number
    const high = part + rest
    const low = rest - (high - part)
    if (low !== 0) upward.push(low)
    rest = high
  }
  upward.push(rest)
  return upward
}
