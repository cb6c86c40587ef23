import { LocalDays } from '../../../events/time-zone.ts'
import type { Coverage, DailyQuery, ScopeAt, TotalsQuery } from '../query.ts'
import { decodeBestRuns } from '../rollup/best-runs.ts'
import { nextQuarter, positionIn, skipRollup, unpackRollup } from '../rollup/packed-quarters.ts'
import type { Rollup } from '../rollup/rollup.ts'
import { EMPTY_ROLLUP } from '../rollup/rollup.ts'
import { RollupBuilder } from '../rollup/rollup-builder.ts'
import type { ScopeReader, SpanRange, SpanRow } from '../store/tables/day-tables.ts'
import { VersionCache } from '../version-cache.ts'
import { type DailyRow, type DayOfQuarter, daysOfSpans, toDailyRow } from './days.ts'
import { QUARTER_MS, QUARTERS_PER_DAY, spanDays, spanOf } from './quarter-hours.ts'
import { type Records, recordsOf } from './records.ts'

export type Totals = { rollup: Rollup } & Coverage

/** `more`: whether there are further days behind the last one. */
export type DailyTotals = { days: DailyRow[]; more: boolean } & Coverage

/** Before and behind every day that an event can have, in any zone. */
const DAY_MIN = -719_600
const DAY_MAX = 2_933_000
/** Days of which answers are kept: some tens of years, ten megabytes at most, with the text of the answers. */
const CACHED_DAYS_MAX = 30_000

/**
 * What the rows of a scope say: of days in a time zone. The same for every adapter, which brings the reading of rows. An
 * answer is kept and given again while the scope's version is the same, which the same transaction has read.
 */
export class DayStatistics {
  readonly #read: ScopeReader
  readonly #days = new VersionCache<{ days: DailyRow[]; more: boolean }>(CACHED_DAYS_MAX, ({ days }) => days.length + 1)
  readonly #records = new VersionCache<Records>(CACHED_RECORDS_MAX, () => 1)

  constructor(read: ScopeReader) {
    this.#read = read
  }

  async totals({ user_id, from, to, time_zone }: TotalsQuery): Promise<Totals> {
    const ranges = from === undefined && to === undefined ? [] : totalRanges({ user_id, from, to, time_zone })
    const { total, spans, cursors, updated, uncounted } = await this.#read({ user_id, ranges })
    if (ranges.length === 0) {
      return { rollup: total === undefined ? EMPTY_ROLLUP : unpackRollup(total), cursors, updated, uncounted }
    }
    const builder = new RollupBuilder()
    const calendar = new LocalDays(time_zone)
    for (const span of spans) {
      if (span.total !== null) builder.addPacked(positionIn(span.total))
      else addBetween(builder, span, { calendar, from: from ?? DAY_MIN, to: to ?? DAY_MAX })
    }
    return { rollup: builder.rollup(), cursors, updated, uncounted }
  }

  async daily({ user_id, from, to, time_zone, limit }: DailyQuery): Promise<DailyTotals> {
    const key = [user_id, from, to, time_zone, limit].join(' ')
    const [first, last] = [from ?? DAY_MIN, to ?? DAY_MAX]
    const range = { from: spanOf(user_id, first - margin(time_zone)), to: last + margin(time_zone), quarters: true }
    // Two may belong to the same day of the zone; a few more for those before `from`, and for the last, which may go on.
    const spansMax = 2 * limit + 10
    const known = this.#days.get(key)
    const { version, spans, cursors, updated, uncounted } = await this.#read({
      user_id,
      ranges: [range],
      limit: spansMax,
      known: known?.version,
    })
    if (version === undefined) return { days: [], more: false, cursors, updated, uncounted }
    if (known?.version === version) return { ...known.value, cursors, updated, uncounted }
    const all = daysOfSpans(spans, new LocalDays(time_zone)).filter(({ day }) => day >= first && day <= last)
    const value = { days: all.slice(0, limit).map(toDailyRow), more: all.length > limit }
    this.#days.put(key, { version, value })
    return { ...value, cursors, updated, uncounted }
  }

  async records({ user_id, time_zone }: ScopeAt): Promise<{ records: Records } & Coverage> {
    const key = [user_id, time_zone].join(' ')
    const known = this.#records.get(key)
    const ranges = [{ from: DAY_MIN, to: DAY_MAX, quarters: true }]
    const { version, best, spans, cursors, updated, uncounted } = await this.#read({
      user_id,
      ranges,
      known: known?.version,
    })
    if (known !== undefined && known.version === version) return { records: known.value, cursors, updated, uncounted }
    const records = recordsOf({
      best: decodeBestRuns(best ?? new Uint8Array(0)),
      days: daysOfSpans(spans, new LocalDays(time_zone)),
      time_zone,
    })
    if (version !== undefined) this.#records.put(key, { version, value: records })
    return { records, cursors, updated, uncounted }
  }
}

const CACHED_RECORDS_MAX = 1000

/** The day on a zone's calendar, or UTC's, of a quarter hour. */
export function dayFinder(time_zone: string | undefined): DayOfQuarter {
  const calendar = new LocalDays(time_zone)
  return (quarter) => calendar.at(quarter * QUARTER_MS)
}

/** A zone's day is never further than a day from the UTC day: no offset has ever been as much as 16 hours. */
function margin(time_zone: string | undefined): number {
  return time_zone === undefined ? 0 : 1
}

/** The spans that are wholly within the days without their quarters, and those at the ends with them. */
function totalRanges({ user_id, from = DAY_MIN, to = DAY_MAX, time_zone }: TotalsQuery): SpanRange[] {
  const around = margin(time_zone)
  const begin = spanOf(user_id, from - around)
  const end = to + around
  // The first day from which a span is wholly within, and the first from which it is not any more.
  const within = from + around
  const beyond = to - around - spanDays(user_id) + 2
  if (beyond <= within) return [{ from: begin, to: end, quarters: true }]
  const ranges = [
    { from: begin, to: within - 1, quarters: true },
    { from: within, to: beyond - 1, quarters: false },
    { from: beyond, to: end, quarters: true },
  ]
  return ranges.filter((range) => range.from <= range.to)
}

function addBetween(
  builder: RollupBuilder,
  { day, quarters }: SpanRow,
  { calendar, from, to }: { calendar: LocalDays; from: number; to: number },
): void {
  const place = positionIn(quarters as Uint8Array)
  for (let quarter = nextQuarter(place); quarter !== -1; quarter = nextQuarter(place)) {
    const at = calendar.at((day * QUARTERS_PER_DAY + quarter) * QUARTER_MS)
    if (at >= from && at <= to) builder.addPacked(place)
    else skipRollup(place)
  }
}
