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

export type Week = { monday: string; distance: number; runs: number; duration: number }

/** Every week from the first to the last day, the empty ones too: a gap is news. */
export function toWeeks(rows: readonly DayRow[], from: string, to: string): Week[] {
  const weeks = new Map<string, Week>()
  for (let monday = mondayOf(from); monday <= to; monday = addDays(monday, 7)) {
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

/** 0 for nothing, else 1…4, by quarters of the days that have something: one marathon does not make all else pale. */
export function levels(values: readonly number[]): (value: number) => number {
  const sorted = values.filter((value) => value > 0).sort((a, b) => a - b)
  const max = sorted.at(-1) ?? 0
  // Of a few days the quarters say nothing.
  if (sorted.length < 8) return (value) => (value > 0 ? Math.ceil((value / max) * 4) : 0)
  const cuts = [0.25, 0.5, 0.75].map((part) => sorted[Math.floor(part * sorted.length)] as number)
  return (value) => (value > 0 ? 1 + cuts.filter((cut) => value >= cut).length : 0)
}
