/** A value that is far from the usual: the bound that it has crossed, and the median of what is usual. */
export type Outlier = { threshold: number; median: number }

/** Makes the median of absolute deviations an estimate of the standard deviation, where values are normal. */
const MAD_TO_DEVIATION = 1.4826

/**
 * Whether `value` is more than `deviations` robust standard deviations from the median of `usual`. All are above 0, and
 * distances between them are taken between their logarithms: half as far is as far from the usual as twice as far.
 * The deviation is 1.4826 times the median of absolute deviations (Hampel 1974; Iglewicz and Hoaglin 1993), which a few
 * other outliers do not change, but at least `deviationMin`.
 */
export function findOutlier(
  value: number,
  usual: readonly number[],
  { deviations, deviationMin }: { deviations: number; deviationMin: number },
): Outlier | undefined {
  const logs = usual.map(Math.log)
  const middle = medianOf(logs)
  const spread = medianOf(logs.map((log) => Math.abs(log - middle))) * MAD_TO_DEVIATION
  const room = deviations * Math.max(spread, deviationMin)
  const distance = Math.log(value) - middle
  if (!(Math.abs(distance) > room)) return undefined
  return { threshold: Math.exp(middle + Math.sign(distance) * room), median: Math.exp(middle) }
}

function medianOf(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort()
  const half = sorted.length >> 1
  const upper = sorted[half] as number
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] as number) + upper) / 2
}
