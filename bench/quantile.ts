import { quantile as quantileOfSorted } from '../test-support/open-loop.ts'

/** The value that `share` of all do not exceed. */
export function quantile(values: readonly number[], share: number): number {
  return quantileOfSorted(Float64Array.from(values).sort(), share)
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}
