import { CATALOGUE, type EventType } from '../../events/catalogue.ts'
import { encodeEvent } from '../../events/codec.ts'
import type { EpochMs } from '../../events/instant.ts'
import { type DeadLetter, letterFor } from '../../log/dead-letter.ts'
import type { StoredEvent } from '../../store/event-store.ts'
import type { HoursPart } from './hourly-counts/counted-hours.ts'

export type UncountedPlace = { type: EventType; partition: number; offset: number }

/** An event of the feed that is in no statistics, because to count it fails by itself. */
export type UncountedEvent = UncountedPlace & {
  trace_id: string
  user_id: string
  date_created: EpochMs
  /** Why, for people; at most `DETAIL_CHARACTERS_MAX` characters. */
  detail: string
}

/** By hours, and the first of them by name. */
export type UncountedHours = { hours: HoursPart; events: Omit<UncountedEvent, 'user_id'>[] }

export const UNCOUNTED_NAMED_MAX = 100
export const DETAIL_CHARACTERS_MAX = 500

export function uncountedEvent({ partition, offset, event }: StoredEvent, detail: string): UncountedEvent {
  const { type, trace_id, date_created, fields } = event
  const why = Array.from(detail).slice(0, DETAIL_CHARACTERS_MAX).join('')
  return { type, partition, offset, trace_id, user_id: fields.user_id, date_created, detail: why }
}

/**
 * Its record is made of the event, because that is what cannot be counted, and the log may no longer have the record itself:
 * when it was appended is not known here, when it was received is.
 */
export function uncountedLetter({ partition, offset, event }: StoredEvent, detail: string): DeadLetter {
  const record = { offset, appendTime: event.date_created, key: event.fields.user_id, value: encodeEvent(event) }
  return letterFor({ topic: CATALOGUE[event.type].topic, partition }, record, { reason: 'uncounted', detail })
}
