import type { EventType } from '../../events/catalogue.ts'
import { decodeKnown, toWire } from '../../events/codec.ts'
import { formatInstant } from '../../events/instant.ts'
import { HttpProblem } from '../../http/problem.ts'
import type { PlacedRecord } from './record-cache.ts'

/** An event with its place in the log, as a client gets it. A record that is no event is a problem of its own. */
export function toPlacedEvent(type: EventType, { partition, record }: PlacedRecord): Record<string, string | number> {
  const { offset, appendTime, value } = record
  const decoded = decodeKnown(type, value)
  if (!decoded.ok) throw new HttpProblem('undecodable', `partition ${partition}, offset ${offset}: ${decoded.detail}`)
  return { ...toWire(decoded.event), partition, offset, append_time: formatInstant(appendTime) }
}

/** JSON Schema of what `toPlacedEvent` adds to the event. */
export const PLACE = {
  partition: { type: 'integer', minimum: 0, description: "Of the type's topic in the log" },
  offset: { type: 'integer', minimum: 0 },
  append_time: { type: 'string', format: 'date-time', description: 'When the log took it (UTC)' },
}
