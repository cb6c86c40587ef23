import type { DayOfQuarter } from './days.ts'
import { QUARTERS_PER_DAY } from './quarter-hours.ts'

/** Quarter hours since 1970-01-01T00:00:00Z, from `begin` up to, not including, `end`. */
export type QuarterRange = { begin: number; end: number }

/** Before and behind every quarter hour that an event can have. */
const QUARTER_MIN = -719_600 * QUARTERS_PER_DAY
const QUARTER_MAX = 2_933_000 * QUARTERS_PER_DAY
/** No zone's day begins further than this from the UTC day of the same date. */
const AROUND = 28 * 4

/**
 * The quarter hours whose day is from `from` to `to`, both included and numbers since 1970-01-01; undefined where neither
 * is given. Mostly one range: only where clocks are set back over midnight does a day go on behind a bit of the next.
 */
export function quarterRanges(
  { from, to }: { from?: number | undefined; to?: number | undefined },
  dayOf: DayOfQuarter | undefined,
): QuarterRange[] | undefined {
  if (from === undefined && to === undefined) return undefined
  const begin = from === undefined ? QUARTER_MIN : from * QUARTERS_PER_DAY
  const end = to === undefined ? QUARTER_MAX : (to + 1) * QUARTERS_PER_DAY
  if (dayOf === undefined) return [{ begin, end }]
  const ranges: QuarterRange[] = []
  const add = (range: QuarterRange) => {
    const last = ranges.at(-1)
    if (last?.end === range.begin) last.end = range.end
    else ranges.push({ ...range })
  }
  const addOneByOne = (first: number, beyond: number) => {
    for (let quarter = first; quarter < beyond; quarter++) {
      const day = dayOf(quarter)
      if (day >= (from ?? day) && day <= (to ?? day)) add({ begin: quarter, end: quarter + 1 })
    }
  }
  const [certain, uncertain] = [from === undefined ? begin : begin + AROUND, to === undefined ? end : end - AROUND]
  const first = from === undefined ? begin : begin - AROUND
  const beyond = to === undefined ? end : end + AROUND
  if (certain >= uncertain) addOneByOne(first, beyond)
  else {
    addOneByOne(first, certain)
    add({ begin: certain, end: uncertain })
    addOneByOne(uncertain, beyond)
  }
  return ranges
}
