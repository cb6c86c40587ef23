/** The rows in their order, at most `max` at a time. */
export function* chunksOf<T>(rows: readonly T[], max: number): Iterable<readonly T[]> {
  for (let begin = 0; begin < rows.length; begin += max) yield rows.slice(begin, begin + max)
}
