import { hash } from 'node:crypto'
import type { EventType } from './catalogue.ts'

/**
 * The id of an event that brought its own `event_id`: the same three values give the same id on every instance and
 * after every restart, so a retry needs no memory in the Receiver.
 */
export function derivedTraceId(type: EventType, userId: string, eventId: string): string {
  return derivedUuid(`${type}\n${userId}\n${eventId}`)
}

/**
 * The id that follows from a text. A UUIDv8 (RFC 9562, 5.8) over SHA-256: a client chooses the input, and SHA-1, of
 * which UUIDv5 is made, has known collisions.
 */
export function derivedUuid(text: string): string {
  const hex = hash('sha256', text, 'hex')
  const variant = ((Number.parseInt(hex[16] as string, 16) & 0x3) | 0x8).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
