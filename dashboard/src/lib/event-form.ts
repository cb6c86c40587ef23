import type { EventType } from '../../../src/events/catalogue.ts'
import { checkEvent } from '../../../src/events/check.ts'
import { clock, type Units } from './format.ts'

/**
 * What is typed into a form → an event, checked as the Receiver will check it, and for the slips of a hand that the Receiver
 * has to take: it cannot know what somebody meant. Errors are by field.
 */

export type Typed = Record<string, string>
export type Built = { event: Record<string, unknown>; errors: Record<string, string> }

const METRES: Record<Units, number> = { km: 1000, mi: 1609.344 }

/** Whoever types an earlier year has slipped on a key: no runner who is still alive wrote the run down. */
const YEAR_MIN = 1950
/** How far the viewer's clock may be behind that of who recorded the run. */
const AHEAD_MS_MAX = 60_000
const GIVE_A_TIME = 'is not a time, like 33:13, 1:05:00 or 1993 (seconds)'

export function buildEvent(type: EventType, typed: Typed, units: Units, now = Date.now()): Built {
  const text = (name: string) => (typed[name] ?? '').trim()
  const errors: Record<string, string> = {}
  const take = <T>(name: string, read: (text: string) => Read<T>): T | undefined => {
    const result: Read<T> = text(name) === '' ? { hint: 'is missing' } : read(text(name))
    if ('value' in result) return result.value
    errors[name] = result.hint
    return undefined
  }
  const timestamp = take('timestamp', (local) => readTimestamp(local, now))
  const event: Record<string, unknown> =
    type === 'running_stats'
      ? {
          user_id: text('user_id'),
          duration: take('duration', readClearDuration),
          distance: take('distance', (one) => readClearDistance(one, units)),
          timestamp,
        }
      : {
          user_id: text('user_id'),
          song_name: text('song_name'),
          artist: text('artist'),
          song_duration: take('song_duration', readClearDuration),
          timestamp,
        }
  const checked = checkEvent(type, event)
  for (const { pointer, detail } of checked.ok ? [] : checked.errors) {
    const name = pointer.slice(1)
    errors[name] ??= text(name) === '' ? 'is missing' : detail
  }
  return { event, errors }
}

/** What was typed, or why it cannot be taken; the hint follows the field's name. */
type Read<T> = { value: T } | { hint: string }

/** What can be read in two ways is not guessed: a stored event cannot be changed. */
function readClearDuration(text: string): Read<number> {
  const value = readDuration(text)
  if (value === undefined) return { hint: GIVE_A_TIME }
  if (/^\d{1,3}(\.\d+)?$/.test(text)) {
    return { hint: `could be minutes or seconds: write ${clock(value * 60)} or ${clock(value)}` }
  }
  return { value }
}

function readClearDistance(text: string, units: Units): Read<number> {
  if (/^[1-9]\d{0,2},\d{3}$/.test(text)) {
    return { hint: `could be ${text.replace(',', '')} or ${text.replace(',', '.')}: write it like that` }
  }
  const value = readDistance(text, units)
  return value === undefined ? { hint: 'is not a number, like 8.5 or 1000' } : { value }
}

function readTimestamp(local: string, now: number): Read<string> {
  const value = readLocalTime(local)
  if (value === undefined) return { hint: 'is not a time' }
  const time = new Date(value)
  if (time.getFullYear() < YEAR_MIN) return { hint: `is before ${YEAR_MIN}: look at the year` }
  if (time.getTime() > now + AHEAD_MS_MAX) return { hint: 'is in the future: look at the day and the year' }
  // Of a time that the clocks jump over the browser makes another one.
  if (toLocalTime(time) !== local.slice(0, MINUTE_CHARACTERS)) {
    return { hint: 'is a time that this day did not have: the clocks were put forward over it' }
  }
  return { value }
}

const MINUTE_CHARACTERS = 'YYYY-MM-DDTHH:MM'.length

/** `1993`, `33:13`, `1:05:00` → seconds. */
export function readDuration(text: string): number | undefined {
  const parts = text.trim().split(':')
  if (parts.length > 3 || !parts.every((part) => /^\d+(\.\d+)?$/.test(part))) return undefined
  const numbers = parts.map(Number)
  if (numbers.slice(1).some((value) => value >= 60)) return undefined
  return numbers.reduce((sum, value) => sum * 60 + value, 0)
}

/** Kilometres or miles → metres, to the millimetre; a comma is a point, too. */
export function readDistance(text: string, units: Units): number | undefined {
  const plain = text.trim().replace(',', '.')
  if (!/^\d+(\.\d+)?$/.test(plain)) return undefined
  return Math.round(Number(plain) * METRES[units] * 1000) / 1000
}

/** What `<input type="datetime-local">` gives is in the viewer's zone. */
export function readLocalTime(text: string): string | undefined {
  const time = new Date(text)
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString()
}

/** For such an input: the minute in which `time` is, where the viewer is. */
export function toLocalTime(time: Date): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`
  return `${date}T${two(time.getHours())}:${two(time.getMinutes())}`
}
