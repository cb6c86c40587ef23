import type { RunifyEvent } from '../../../events/catalogue.ts'
import { MS_PER_DAY } from '../../../events/instant.ts'
import { sumByBigInt } from './exact-sum.reference.ts'

/**
 * Days and records again, the slow and plain way, for tests to compare with: calendars by `Intl`, sums by BigInt, and each
 * record by sorting all runs.
 */
export type Asked = {
  user_id?: string | undefined
  from?: number | undefined
  to?: number | undefined
  time_zone?: string | undefined
}

const QUARTER_MS = 15 * 60_000

export function chosenEvents(events: readonly RunifyEvent[], { user_id, from, to, time_zone }: Asked): RunifyEvent[] {
  return events.filter(({ fields }) => {
    const day = localDay(fields.timestamp, time_zone)
    return (user_id ?? fields.user_id) === fields.user_id && day >= (from ?? day) && day <= (to ?? day)
  })
}

export function recountDays(events: readonly RunifyEvent[], asked: Asked) {
  const byDay = Map.groupBy(chosenEvents(events, asked), ({ fields }) => localDay(fields.timestamp, asked.time_zone))
  return [...byDay]
    .sort(([a], [b]) => a - b)
    .map(([day, its]) => {
      const plays = its.flatMap((event) => (event.type === 'music_info' ? [event.fields.song_duration] : []))
      return { day, ...sumsOf(runsOf(its)), num_music_info: plays.length, total_song_duration: sumByBigInt(plays) }
    })
}

export function recountRecords(events: readonly RunifyEvent[], asked: Asked) {
  const runs = runsOf(chosenEvents(events, asked))
  const pace = (run: Run) => run.duration / (run.distance / 1000)
  const best = (counts: (run: Run) => boolean, value: (run: Run) => number) => {
    const [first] = runs
      .filter(counts)
      .sort((a, b) => value(a) - value(b) || a.timestamp - b.timestamp || (a.trace_id < b.trace_id ? -1 : 1))
    if (first === undefined) return null
    const { trace_id, timestamp, distance, duration } = first
    const its = { trace_id, timestamp: new Date(timestamp).toISOString(), distance, duration }
    // Of a distance of 0, or so close to it that no double holds the pace, there is none.
    return { ...its, pace: Number.isFinite(pace(first)) ? pace(first) : null }
  }
  const days = daysWithRuns(runs, asked.time_zone)
  const weeks = periods(runs, (day) => mondayOf(localDayOf(day, asked.time_zone)))
  const months = periods(runs, (run) => textOf(localDayOf(run, asked.time_zone)).slice(0, -3))
  const month = furthest(months)
  return {
    fastest_pace: [1000, 5000, 10_000, 21_100, 42_200].map((at_least) => ({
      at_least,
      run: best(({ distance, duration }) => distance >= at_least && duration > 0, pace),
    })),
    longest_distance: best(
      ({ distance }) => distance > 0,
      ({ distance }) => -distance,
    ),
    longest_duration: best(
      ({ duration }) => duration > 0,
      ({ duration }) => -duration,
    ),
    longest_streak_days: streakOf(days, (day) => followingDay(day, asked.time_zone), 0),
    longest_streak_weeks: streakOf(
      [...weeks.keys()].sort((a, b) => a - b),
      (day) => day + 7,
      6,
    ),
    best_week: toPeriod(furthest(weeks), (monday) => [monday, monday + 6]),
    best_month: toPeriod(month, monthLimits),
  }
}

type Run = RunifyEvent<'running_stats'>['fields'] & { trace_id: string }

function runsOf(events: readonly RunifyEvent[]): Run[] {
  return events.flatMap((event) =>
    event.type === 'running_stats' ? [{ ...event.fields, trace_id: event.trace_id }] : [],
  )
}

function sumsOf(runs: readonly Run[]) {
  return {
    num_running_stats: runs.length,
    total_distance: sumByBigInt(runs.map(({ distance }) => distance)),
    total_run_duration: sumByBigInt(runs.map(({ duration }) => duration)),
  }
}

function periods<K>(runs: readonly Run[], keyOf: (run: Run) => K): Map<K, Run[]> {
  return Map.groupBy(
    [...runs].sort((a, b) => a.timestamp - b.timestamp),
    keyOf,
  )
}

function furthest<K>(groups: Map<K, Run[]>): { key: K; runs: Run[] } | undefined {
  const [first] = [...groups]
    .map(([key, runs]) => ({ key, runs, metres: sumsOf(runs).total_distance }))
    .filter(({ metres }) => metres > 0)
    .sort((a, b) => b.metres - a.metres || firstStart(a.runs) - firstStart(b.runs))
  return first
}

function firstStart(runs: readonly Run[]): number {
  return Math.min(...runs.map(({ timestamp }) => timestamp))
}

function toPeriod<K>(group: { key: K; runs: Run[] } | undefined, limitsOf: (key: K) => [number, number]) {
  if (group === undefined) return null
  const [begin, end] = limitsOf(group.key)
  return { begin: textOf(begin), end: textOf(end), ...sumsOf(group.runs) }
}

function streakOf(days: readonly number[], following: (day: number) => number, more: number) {
  let best: { length: number; begin: string; end: string } | null = null
  for (const begin of days) {
    let [end, length] = [begin, 1]
    for (let next = following(end); days.includes(next); next = following(end)) {
      end = next
      length++
    }
    if (length > (best?.length ?? 0)) best = { length, begin: textOf(begin), end: textOf(end + more) }
  }
  return best
}

function daysWithRuns(runs: readonly Run[], time_zone: string | undefined): number[] {
  return [...new Set(runs.map((run) => localDayOf(run, time_zone)))].sort((a, b) => a - b)
}

function localDayOf({ timestamp }: Run, time_zone: string | undefined): number {
  return localDay(timestamp, time_zone)
}

/** The next day that the calendar of the zone has. */
function followingDay(day: number, time_zone: string | undefined): number {
  const begin = (day - 1) * MS_PER_DAY
  for (let at = begin; at < begin + 6 * MS_PER_DAY; at += QUARTER_MS) {
    const local = calendarDay(at, time_zone)
    if (local > day) return local
  }
  throw new Error(`no day follows ${day} in ${time_zone}`)
}

function mondayOf(day: number): number {
  const weekday = new Date(day * MS_PER_DAY).getUTCDay()
  return day - ((weekday + 6) % 7)
}

function monthLimits(month: string): [number, number] {
  const first = new Date(`${month}-01T00:00:00Z`)
  const next = new Date(first)
  next.setUTCMonth(next.getUTCMonth() + 1)
  return [first.getTime() / MS_PER_DAY, next.getTime() / MS_PER_DAY - 1]
}

function textOf(day: number): string {
  return new Date(writableDay(day) * MS_PER_DAY).toISOString().split('T')[0] as string
}

const formats = new Map<string, Intl.DateTimeFormat>()
const days = new Map<string, number>()

/**
 * The day, as a number since 1970-01-01, on which the quarter hour of the instant begins by the clocks of the zone; the
 * nearest that has a year of four digits.
 */
export function localDay(instant: number, time_zone?: string): number {
  return writableDay(calendarDay(instant, time_zone))
}

function writableDay(day: number): number {
  const [first, last] = [Date.parse('0000-01-01') / MS_PER_DAY, Date.parse('9999-12-31') / MS_PER_DAY]
  return day < first ? first : day > last ? last : day
}

function calendarDay(instant: number, time_zone = 'UTC'): number {
  const begin = Math.floor(instant / QUARTER_MS) * QUARTER_MS
  const key = `${time_zone} ${begin}`
  const known = days.get(key)
  if (known !== undefined) return known
  let format = formats.get(time_zone)
  if (format === undefined) {
    const options = { timeZone: time_zone, calendar: 'gregory', numberingSystem: 'latn' } as const
    format = new Intl.DateTimeFormat('en', {
      ...options,
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
    })
    formats.set(time_zone, format)
  }
  const parts = Object.fromEntries(format.formatToParts(begin).map(({ type, value }) => [type, value]))
  const year = parts.era === 'BC' ? 1 - Number(parts.year) : Number(parts.year)
  const day = new Date(0).setUTCFullYear(year, Number(parts.month) - 1, Number(parts.day)) / MS_PER_DAY
  days.set(key, day)
  return day
}
