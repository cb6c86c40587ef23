import { formatDay, formatInstant, MS_PER_DAY, nearestDay } from '../../../events/instant.ts'
import { LocalDays } from '../../../events/time-zone.ts'
import {
  type BestRun,
  type BestRuns,
  LONGEST_DISTANCE,
  LONGEST_DURATION,
  PACE_DISTANCES,
  paceOf,
} from '../rollup/best-runs.ts'
import { RollupBuilder } from '../rollup/rollup-builder.ts'
import type { Day } from './days.ts'
import { QUARTER_MS, QUARTERS_PER_DAY } from './quarter-hours.ts'

export type Records = ReturnType<typeof recordsOf>

/**
 * The records as clients read them, of all days of a scope. Streaks and sums go by days of the zone. Of two that are as
 * good it is the earlier one.
 */
export function recordsOf({ best, days, time_zone }: { best: BestRuns; days: Day[]; time_zone: string | undefined }) {
  const running = days.filter(({ builder }) => builder.runs > 0)
  const weeks = sumBy(running, mondayOf)
  const months = sumBy(running, firstOfMonth)
  const bestMonth = longest(months)
  return {
    fastest_pace: PACE_DISTANCES.map((at_least, index) => ({ at_least, run: toRun(best[index]) })),
    longest_distance: toRun(best[LONGEST_DISTANCE]),
    longest_duration: toRun(best[LONGEST_DURATION]),
    longest_streak_days: streakOf(running, (before, after) => areConsecutive(before, after, time_zone)),
    longest_streak_weeks: streakOf(weeks, (before, after) => after === before + 7, 6),
    best_week: toPeriod(longest(weeks), 6),
    best_month: toPeriod(bestMonth, bestMonth === undefined ? 0 : daysInMonth(bestMonth.day) - 1),
  }
}

function toRun(run: BestRun | undefined) {
  if (run === undefined) return null
  const { trace_id, timestamp, distance, duration } = run
  // Of a run of next to no distance it is infinite, which JSON does not hold.
  const seconds = paceOf(run)
  const pace = Number.isFinite(seconds) ? seconds : null
  return { trace_id, timestamp: formatInstant(timestamp), distance, duration, pace }
}

/** Days or weeks with runs that follow each other, by their first days; each is `more` days longer than its first day. */
function streakOf(days: readonly Day[], follows: (before: number, after: number) => boolean, more = 0) {
  let [best, begin] = [0, 0]
  let streak: { length: number; begin: string; end: string } | null = null
  for (const [index, { day }] of days.entries()) {
    if (index > 0 && !follows((days[index - 1] as Day).day, day)) begin = index
    const length = index - begin + 1
    if (length <= best) continue
    best = length
    streak = { length, begin: dayText((days[begin] as Day).day), end: dayText(day + more) }
  }
  return streak
}

/** Whether no day of the zone is between them. Pacific/Apia had no 2011-12-30: who ran before and after missed no day. */
function areConsecutive(before: number, after: number, time_zone: string | undefined): boolean {
  if (after === before + 1) return true
  return time_zone !== undefined && after === before + 2 && !isDayIn(time_zone, before + 1)
}

/** Whether a zone's calendar has the day: any quarter hour that it could have begins on it. */
function isDayIn(time_zone: string, day: number): boolean {
  const days = new LocalDays(time_zone)
  const noon = (day * QUARTERS_PER_DAY + QUARTERS_PER_DAY / 2) * QUARTER_MS
  for (let instant = noon - 1.5 * MS_PER_DAY; instant < noon + 1.5 * MS_PER_DAY; instant += QUARTER_MS) {
    if (days.at(instant) === day) return true
  }
  return false
}

/** Sums of the runs by what they have in common, which is a first day; in order. */
function sumBy(days: readonly Day[], firstDayOf: (day: number) => number): Day[] {
  const sums: Day[] = []
  for (const { day, builder } of days) {
    const first = firstDayOf(day)
    let sum = sums.at(-1)
    if (sum?.day !== first) {
      sum = { day: first, builder: new RollupBuilder() }
      sums.push(sum)
    }
    sum.builder.addRuns(builder)
  }
  return sums
}

function longest(sums: readonly Day[]): Day | undefined {
  let best: Day | undefined
  let metres = 0
  for (const sum of sums) {
    const distance = sum.builder.distance.rounded()
    if (distance > metres) [best, metres] = [sum, distance]
  }
  return best
}

function toPeriod(sum: Day | undefined, more: number) {
  if (sum === undefined) return null
  const { day, builder } = sum
  return {
    begin: dayText(day),
    end: dayText(day + more),
    num_running_stats: builder.runs,
    total_distance: builder.distance.rounded(),
    total_run_duration: builder.runDuration.rounded(),
  }
}

/** The first week begins before the days that can be written, and the last one ends behind them. */
function dayText(day: number): string {
  return formatDay(nearestDay(day))
}

/** ISO 8601 weeks begin on Monday; 1970-01-01 was a Thursday. */
function mondayOf(day: number): number {
  return day - ((((day + 3) % 7) + 7) % 7)
}

function firstOfMonth(day: number): number {
  return day + 1 - new Date(day * MS_PER_DAY).getUTCDate()
}

function daysInMonth(first: number): number {
  return firstOfMonth(first + 31) - first
}
