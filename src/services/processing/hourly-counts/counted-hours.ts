import type { EventType, RunifyEvent } from '../../../events/catalogue.ts'
import { FINGERPRINTS, fingerprintOf } from '../../../events/fingerprint.ts'
import { MS_PER_HOUR } from '../../../events/instant.ts'

/** What an audit compares: the events of a type that were received in an hour, as a number and a fingerprint. */
export type CountedHour = {
  type: EventType
  /** Hours since 1970-01-01T00:00:00Z, by `date_created`. */
  hour: number
  events: number
  /** The sum of the last six bytes of their `trace_id`s, modulo 2^48: the same in whatever order they came. */
  fingerprint: number
}

export type HoursPart = readonly CountedHour[]

export function foldHours(events: Iterable<RunifyEvent>): HoursPart {
  const folded = new Map<string, CountedHour>()
  for (const { type, trace_id, date_created } of events) {
    const hour = Math.floor(date_created / MS_PER_HOUR)
    const id = `${type} ${hour}`
    let entry = folded.get(id)
    if (entry === undefined) {
      entry = { type, hour, events: 0, fingerprint: 0 }
      folded.set(id, entry)
    }
    entry.events++
    entry.fingerprint = (entry.fingerprint + fingerprintOf(trace_id)) % FINGERPRINTS
  }
  return [...folded.values()]
}
