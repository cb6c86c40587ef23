/** Numbers and times as people read them. Metres and seconds come in; the viewer's zone is the browser's. */

/**
 * The page's words are English, so its numbers and dates are too, whatever the browser speaks: `3 minutes ago` beside a month in
 * another language and digits of a third is hard to read. Which English the viewer reads decides the order of day and month.
 */
export const LOCALE = /^en\b/i.test(navigator.language) ? navigator.language : 'en-GB'

export type Units = 'km' | 'mi'
const METRES: Record<Units, number> = { km: 1000, mi: 1609.344 }
const NONE = '–'

export function count(value: number | null | undefined): string {
  return value == null ? NONE : new Intl.NumberFormat(LOCALE).format(value)
}

/** Metres → `12.3 km`. */
export function distance(metres: number | null | undefined, units: Units): string {
  if (metres == null) return NONE
  const value = metres / METRES[units]
  const digits = value >= 1000 ? 0 : value >= 100 ? 1 : 2
  return `${new Intl.NumberFormat(LOCALE, { maximumFractionDigits: digits }).format(value)} ${units}`
}

export function inUnits(metres: number, units: Units): number {
  return metres / METRES[units]
}

/** Seconds → `1:02:03` or `4:05`. */
export function clock(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return NONE
  const whole = Math.round(seconds)
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60]
  const two = (value: number) => String(value).padStart(2, '0')
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}

/** Seconds → `3 d 4 h`, `2 h 10 min`, `45 min`, `20 s`: for sums, where seconds are noise. */
export function span(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return NONE
  if (seconds < 60) return `${Math.round(seconds)} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`
  const days = Math.floor(hours / 24)
  return hours % 24 === 0 || days >= 100 ? `${count(days)} d` : `${count(days)} d ${hours % 24} h`
}

/** Slower is no pace but a device that stood still, and next to nothing as a distance makes it infinite. */
const PACE_SECONDS_MAX = 86_400

/** Seconds for each kilometre or mile; undefined where there is no distance to speak of. */
export function paceSeconds(run: { distance: number; duration: number }, units: Units): number | undefined {
  const seconds = run.duration / (run.distance / METRES[units])
  return seconds > 0 && seconds <= PACE_SECONDS_MAX ? seconds : undefined
}

/** `5:32 /km`. */
export function pace(run: { distance: number; duration: number } | null | undefined, units: Units): string {
  const seconds = run == null ? undefined : paceSeconds(run, units)
  return seconds === undefined ? NONE : `${clock(seconds)} /${units}`
}

const AGES: readonly (readonly [unit: Intl.RelativeTimeFormatUnit, seconds: number])[] = [
  ['year', 31_557_600],
  ['month', 2_629_800],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
]

/** `3 minutes ago`. */
export function age(time: string | number | null | undefined, now = Date.now()): string {
  if (time == null) return NONE
  const seconds = (new Date(time).getTime() - now) / 1000
  if (Math.abs(seconds) < 2) return 'just now'
  const [unit, size] = AGES.find(([, one]) => Math.abs(seconds) >= one) ?? (['second', 1] as const)
  return new Intl.RelativeTimeFormat(LOCALE, { numeric: 'always' }).format(Math.round(seconds / size), unit)
}

export function moment(time: string | number | null | undefined): string {
  return time == null
    ? NONE
    : new Intl.DateTimeFormat(LOCALE, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(time))
}

/** `2024-05-01` → `1 May 2024`: a day of a calendar, which is the same in every zone. */
export function day(date: string | null | undefined): string {
  if (date == null) return NONE
  return new Intl.DateTimeFormat(LOCALE, { dateStyle: 'medium', timeZone: 'UTC' }).format(new Date(`${date}T00:00:00Z`))
}

/** A month or a weekday, of a calendar's day. */
export function dayName(date: string, name: 'month' | 'weekday'): string {
  return new Intl.DateTimeFormat(LOCALE, { [name]: 'short', timeZone: 'UTC' }).format(new Date(`${date}T00:00:00Z`))
}

export function bytes(value: number): string {
  if (value < 1000) return `${value} B`
  const [size, unit] =
    value < 1_000_000 ? [1000, 'kB'] : value < 1_000_000_000 ? [1_000_000, 'MB'] : [1_000_000_000, 'GB']
  return `${new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 1 }).format(value / size)} ${unit}`
}

/** A UUID's beginning: enough to tell some runners apart. */
export function shortId(id: string): string {
  return id.slice(0, 8)
}

export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'
