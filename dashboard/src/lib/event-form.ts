import type { EventType } from '../../../src/events/catalogue.ts'
import { checkEvent } from '../../../src/events/check.ts'
import type { Units } from './format.ts'

/** What is typed into a form → an event, checked as the Receiver will check it. Errors are by field. */

export type Typed = Record<string, string>
export type Built = { event: Record<string, unknown>; errors: Record<string, string> }

const METRES: Record<Units, number> = { km: 1000, mi: 1609.344 }

export function buildEvent(type: EventType, typed: Typed, units: Units): Built {
  const text = (name: string) => typed[name] ?? ''
  const errors: Record<string, string> = {}
  const need = <T>(name: string, value: T | undefined, hint: string): T | undefined => {
    if (text(name).trim() === '') errors[name] = 'is missing'
    else if (value === undefined) errors[name] = hint
    return value
  }
  const timestamp = need('timestamp', readLocalTime(text('timestamp')), 'is not a time')
  const seconds = (name: string) =>
    need(name, readDuration(text(name)), 'is not a time, like 33:13, 1:05:00 or 1993 (seconds)')
  const event: Record<string, unknown> =
    type === 'running_stats'
      ? {
          user_id: text('user_id').trim(),
          duration: seconds('duration'),
          distance: need('distance', readDistance(text('distance'), units), 'is not a number'),
          timestamp,
        }
      : {
          user_id: text('user_id').trim(),
          song_name: text('song_name'),
          artist: text('artist'),
          song_duration: seconds('song_duration'),
          timestamp,
        }
  const checked = checkEvent(type, event)
  for (const { pointer, detail } of checked.ok ? [] : checked.errors) {
    const name = pointer.slice(1)
    const empty = (typed[name] ?? '').trim() === ''
    errors[name] ??= empty ? 'is missing' : detail
  }
  return { event, errors }
}

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
