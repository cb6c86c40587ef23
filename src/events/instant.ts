/** Milliseconds since 1970-01-01T00:00:00Z, whole. The one in-memory form of every instant in Runify. */
export type EpochMs = number

const YEAR_0000_MS = -62_167_219_200_000
const YEAR_9999_END_MS = 253_402_300_799_999
const DATE_TIME = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,32}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/
const DATE = /^(\d{4})-(\d\d)-(\d\d)$/
const DAYS_IN_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

export const MS_PER_HOUR = 3_600_000
export const MS_PER_DAY = 86_400_000

/**
 * Reads an RFC 3339 date-time with its zone; undefined for anything else, also for a day that no calendar has and for
 * a leap second, which has no place in epoch time. Digits beyond the millisecond are cut, never rounded up, so that
 * an instant does not move into the future. The range is 0000-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z.
 */
export function parseInstant(text: string): EpochMs | undefined {
  return parsePlain(text) ?? parseAny(text)
}

/** The form that `formatInstant` writes, as most devices do: digits at known places, several times as fast to read. */
function parsePlain(text: string): EpochMs | undefined {
  if (text.length !== 24 || !text.endsWith('Z') || text[10] !== 'T' || text[13] !== ':' || text[16] !== ':')
    return undefined
  if (text[4] !== '-' || text[7] !== '-' || text[19] !== '.') return undefined
  const day = dayStart(digits(text, 0, 4), digits(text, 5, 7), digits(text, 8, 10))
  const hour = digits(text, 11, 13)
  const minute = digits(text, 14, 16)
  const second = digits(text, 17, 19)
  const ms = digits(text, 20, 23)
  // What is not a digit makes NaN, and NaN is less than nothing.
  if (day === undefined || !(hour < 24 && minute < 60 && second < 60 && ms < 1000)) return undefined
  return day + hour * 3_600_000 + minute * 60_000 + second * 1000 + ms
}

function digits(text: string, from: number, to: number): number {
  let value = 0
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - 48
    if (digit < 0 || digit > 9) return Number.NaN
    value = value * 10 + digit
  }
  return value
}

function parseAny(text: string): EpochMs | undefined {
  const match = DATE_TIME.exec(text)
  if (match === null) return undefined
  const [, year, month, day, hour, minute, second, fraction, sign, zoneHour, zoneMinute] = match
  const dayMs = dayStart(Number(year), Number(month), Number(day))
  if (dayMs === undefined) return undefined
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined
  const timeMs = Number(hour) * 3_600_000 + Number(minute) * 60_000 + Number(second) * 1000
  const fractionMs = fraction === undefined ? 0 : Number(fraction.slice(0, 3).padEnd(3, '0'))
  let zoneMs = 0
  if (sign !== undefined) {
    if (Number(zoneHour) > 23 || Number(zoneMinute) > 59) return undefined
    zoneMs = (sign === '-' ? -1 : 1) * (Number(zoneHour) * 3_600_000 + Number(zoneMinute) * 60_000)
  }
  const instant = dayMs + timeMs + fractionMs - zoneMs
  return instant < YEAR_0000_MS || instant > YEAR_9999_END_MS ? undefined : instant
}

/** `YYYY-MM-DDTHH:mm:ss.sssZ`, of an instant from 0000 to 9999. Several times as fast as `Date` where days repeat. */
export function formatInstant(instant: EpochMs): string {
  const day = Math.floor(instant / MS_PER_DAY)
  const ms = instant - day * MS_PER_DAY
  const minutes = Math.floor(ms / 60_000)
  const seconds = Math.floor(ms / 1000)
  const hour = TWO_DIGITS[Math.floor(minutes / 60)]
  return `${dayText(day)}T${hour}:${TWO_DIGITS[minutes % 60]}:${TWO_DIGITS[seconds % 60]}.${THREE_DIGITS[ms % 1000]}Z`
}

const TWO_DIGITS = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'))
const THREE_DIGITS = Array.from({ length: 1000 }, (_, number) => String(number).padStart(3, '0'))
const DAY_TEXTS_MAX = 8192
const DAY_TEXTS = new Map<number, string>()

function dayText(day: number): string {
  let text = DAY_TEXTS.get(day)
  if (text === undefined) {
    if (DAY_TEXTS.size >= DAY_TEXTS_MAX) DAY_TEXTS.clear()
    text = new Date(day * MS_PER_DAY).toISOString().slice(0, -14)
    DAY_TEXTS.set(day, text)
  }
  return text
}

/** Reads an RFC 3339 full-date (`2024-02-29`) as the day's number since 1970-01-01, which is day 0; else undefined. */
export function parseDay(text: string): number | undefined {
  const match = DATE.exec(text)
  if (match === null) return undefined
  const ms = dayStart(Number(match[1]), Number(match[2]), Number(match[3]))
  return ms === undefined ? undefined : ms / MS_PER_DAY
}

/** `YYYY-MM-DD`, of a day from 0000-01-01 to 9999-12-31. */
export function formatDay(day: number): string {
  return dayText(day)
}

/** 0000-01-01 and 9999-12-31: no other days can be written with four digits of a year, or asked for. */
export const DAY_FIRST = YEAR_0000_MS / MS_PER_DAY
export const DAY_LAST = (YEAR_9999_END_MS + 1) / MS_PER_DAY - 1

/** The nearest day that can be written and asked for. Where UTC has the last evening, Tokyo has a morning of the year 10000. */
export function nearestDay(day: number): number {
  return Math.min(Math.max(day, DAY_FIRST), DAY_LAST)
}

/** The UTC day, as a number since 1970-01-01, that an instant falls on. */
export function dayOf(instant: EpochMs): number {
  return Math.floor(instant / MS_PER_DAY)
}

function dayStart(year: number, month: number, day: number): EpochMs | undefined {
  if (!(year >= 0 && month >= 1 && month <= 12 && day >= 1)) return undefined
  const leapDay = month === 2 && isLeapYear(year) ? 1 : 0
  if (day > (DAYS_IN_MONTH[month - 1] ?? 0) + leapDay) return undefined
  // Date.UTC takes the years 0…99 for 1900…1999, so they go round it.
  if (year > 99) return Date.UTC(year, month - 1, day)
  return new Date(0).setUTCFullYear(year, month - 1, day)
}

function isLeapYear(year: number): boolean {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
}
