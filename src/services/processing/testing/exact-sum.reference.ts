/**
 * The exact sum again, the slow and plain way, for tests to compare with: every double is a whole number of 2^-1074,
 * so a BigInt holds any sum of them, and is rounded once at the end.
 */
export function sumByBigInt(values: Iterable<number>): number {
  let units = 0n
  for (const value of values) units += toUnits(value)
  return fromUnits(units)
}

const FRACTION_BITS = 52n

/** A double in units of 2^-1074. */
function toUnits(value: number): bigint {
  const bits = BigInt.asUintN(63, bitsOf(value))
  const exponent = bits >> FRACTION_BITS
  const fraction = BigInt.asUintN(Number(FRACTION_BITS), bits)
  const units = exponent === 0n ? fraction : (fraction | (1n << FRACTION_BITS)) << (exponent - 1n)
  return value < 0 ? -units : units
}

/** The double nearest to so many units, ties to even (IEEE 754, 4.3.1). */
function fromUnits(units: bigint): number {
  const size = units < 0n ? -units : units
  const shift = BigInt(Math.max(0, size.toString(2).length - 53))
  let kept = size >> shift
  const rest = size - (kept << shift)
  const half = shift === 0n ? 1n : 1n << (shift - 1n)
  if (rest > half || (rest === half && kept % 2n === 1n)) kept++
  // The implicit leading bit of `kept` adds one to the exponent, as a carry of the rounding does.
  const value = doubleOf((shift << FRACTION_BITS) + kept)
  return units < 0n ? -value : value
}

const view = new DataView(new ArrayBuffer(8))

function bitsOf(value: number): bigint {
  view.setFloat64(0, value)
  return view.getBigUint64(0)
}

function doubleOf(bits: bigint): number {
  view.setBigUint64(0, bits)
  return view.getFloat64(0)
}
