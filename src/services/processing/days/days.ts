import type { LocalDays } from '../../../events/time-zone.ts'
import { nextQuarter, positionIn } from '../rollup/packed-quarters.ts'
import { RollupBuilder } from '../rollup/rollup-builder.ts'
import type { SpanRow } from '../store/tables/day-tables.ts'
import { QUARTER_MS, QUARTERS_PER_DAY } from './quarter-hours.ts'

/** What is in a day, which is a number since 1970-01-01. */
export type Day = { day: number; builder: RollupBuilder }

/** The day of a quarter hour, both counted from 1970-01-01. */
export type DayOfQuarter = (quarter: number) => number

/** The days that have something, in order, of spans in order. */
export function daysOfSpans(spans: readonly SpanRow[], calendar: LocalDays): Day[] {
  const days: Day[] = []
  let last: Day | undefined
  let until = Number.NEGATIVE_INFINITY
  for (const { day: first, quarters } of spans) {
    const begin = first * QUARTERS_PER_DAY
    const place = positionIn(quarters as Uint8Array)
    for (let quarter = nextQuarter(place); quarter !== -1; quarter = nextQuarter(place)) {
      const instant = (begin + quarter) * QUARTER_MS
      if (last === undefined || instant >= until) {
        const day = calendar.at(instant)
        until = calendar.until
        if (last?.day !== day) last = dayIn(days, day)
      }
      last.builder.addPacked(place)
    }
  }
  return days
}

/** As clients read it: sums of nothing are 0. */
export function toDailyRow({ day, builder }: Day) {
  return {
    day,
    num_running_stats: builder.runs,
    total_distance: builder.distance.rounded(),
    total_run_duration: builder.runDuration.rounded(),
    num_music_info: builder.plays,
    total_song_duration: builder.songDuration.rounded(),
  }
}

export type DailyRow = ReturnType<typeof toDailyRow>

/** Nearly always a new one at the end; where clocks were set back over midnight, a day goes on after the next has begun. */
function dayIn(days: Day[], day: number): Day {
  let at = days.length
  while (at > 0 && (days[at - 1] as Day).day > day) at--
  const before = days[at - 1]
  if (before?.day === day) return before
  const begun = { day, builder: new RollupBuilder() }
  days.splice(at, 0, begun)
  return begun
}
