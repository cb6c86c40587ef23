/** Days as `YYYY-MM-DD`, and what follows from many of them. All of it is arithmetic on calendar days, without zones. */

export type DayRow = { day: string; runs: number; distance: number; duration: number; plays: number; listening: number }

const DAY_MS = 86_400_000
const msOf = (day: string) => Date.parse(`${day}T00:00:00Z`)
const dayOf = (ms: number) => new Date(ms).toISOString().slice(0, 10)

/** Today, where the viewer is. */
export function today(now = new Date()): string {
  const two = (value: number) => String(value).padStart(2, '0')
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`
}

export function addDays(day: string, days: number): string {
  return dayOf(msOf(day) + days * DAY_MS)
}

/** Monday is 0. */
export function weekday(day: string): number {
  return (new Date(msOf(day)).getUTCDay() + 6) % 7
}

export function mondayOf(day: string): string {
  return addDays(day, -weekday(day))
}

export function daysBetween(from: string, to: string): string[] {
  const days: string[] = []
  for (let ms = msOf(from); ms <= msOf(to); ms += DAY_MS) days.push(dayOf(ms))
  return days
}

export const YEAR_MIN = 1
export const YEAR_MAX = 9999

/** A year as an address has it; undefined for anything else. */
export function readYear(text: string): number | undefined {
  const year = /^\d{1,4}$/.test(text) ? Number(text) : 0
  return year >= YEAR_MIN ? year : undefined
}

export type DayRange = { from: string; to: string }

/** Its first and last day. */
export function daysOfYear(year: number): DayRange {
  const digits = String(year).padStart(4, '0')
  return { from: `${digits}-01-01`, to: `${digits}-12-31` }
}

/** With all days of the weeks that begin or end in it, so that a week is the same in both of its years. */
export function weeksOfYear(year: number): DayRange {
  const { from, to } = daysOfYear(year)
  return { from: mondayOf(from), to: year === YEAR_MAX ? to : addDays(mondayOf(to), 6) }
}

/** The year of an instant, where the viewer is. */
export function yearOf(instant: string): number {
  return Math.min(YEAR_MAX, Math.max(YEAR_MIN, new Date(instant).getFullYear()))
}

/** From when to before when a year is, where the viewer is. The last one has no end that an address could hold. */
export function timesOfYear(year: number): { start_timestamp: string; end_timestamp: string | undefined } {
  return {
    start_timestamp: yearStart(year),
    end_timestamp: year === YEAR_MAX ? undefined : yearStart(year + 1),
  }
}

function yearStart(year: number): string {
  const start = new Date(2000, 0, 1)
  // The constructor takes the years below 100 for those of the 20th century.
  start.setFullYear(year)
  return start.toISOString()
}

/** The viewer's clock and a watch's are never quite the same. */
const CLOCKS_MS_MAX = 60_000

/** Whether an instant is still to come, by more than clocks differ. */
export function isFuture(instant: string, now: number): boolean {
  return Date.parse(instant) > now + CLOCKS_MS_MAX
}

export type Week = { monday: string; distance: number; runs: number; duration: number }

/** Every week from the first to the last day, the empty ones too: a gap is news. */
export function toWeeks(rows: readonly DayRow[], from: string, to: string): Week[] {
  const weeks = new Map<string, Week>()
  // By numbers, for behind the year 9999 days have no form of ten characters.
  for (let ms = msOf(mondayOf(from)); ms <= msOf(to); ms += 7 * DAY_MS) {
    const monday = dayOf(ms)
    weeks.set(monday, { monday, distance: 0, runs: 0, duration: 0 })
  }
  for (const row of rows) {
    const week = weeks.get(mondayOf(row.day))
    if (week === undefined) continue
    week.distance += row.distance
    week.duration += row.duration
    week.runs += row.runs
  }
  return [...weeks.values()]
}

/** Whether a week is the first that ends in a month. The last one may end in the next year, whose January is not this one's. */
export function beginsMonth(weeks: readonly Week[], n: number): boolean {
  const [first, end] = [weeks[0], weeks[n]].map((week) => week && addDays(week.monday, 6))
  return end !== undefined && Number(end.slice(8)) <= 7 && end.slice(0, 4) === first?.slice(0, 4)
}

/** 0 for nothing, else 1…4, by quarters of the days that have something: one marathon does not make all else pale. */
export function levels(values: readonly number[]): (value: number) => number {
  const sorted = values.filter((value) => value > 0).sort((a, b) => a - b)
  const max = sorted.at(-1) ?? 0
  // Of a few days the quarters say nothing.
  if (sorted.length < 8) return (value) => (value > 0 ? Math.ceil((value / max) * 4) : 0)
  const cuts = [0.25, 0.5, 0.75].map((part) => sorted[Math.floor(part * sorted.length)] as number)
  return (value) => (value > 0 ? 1 + cuts.filter((cut) => value >= cut).length : 0)
}
