import { EVENT_TYPES, type EventType } from '../events/catalogue.ts'
import type { ErasedEvent, UserPlace } from './event-store.ts'

/** Places in lists of a user's events and of erased ones, as an opaque text for the `cursor` parameter. */

export type ErasedPlace = Pick<ErasedEvent, 'type' | 'partition' | 'offset'>

const USER_FORM = /^(\w{1,64}) (-?\d{1,15}) ([0-9a-f-]{36})$/
const ERASED_FORM = /^(\w{1,64}) (\d{1,9}) (\d{1,15})$/

export function encodeUserPlace({ type, time, trace_id }: UserPlace): string {
  return Buffer.from(`${type} ${time} ${trace_id}`).toString('base64url')
}

/** Undefined for a text that is none. */
export function decodeUserPlace(cursor: string): UserPlace | undefined {
  const [, name, time, trace_id] = parse(cursor, USER_FORM)
  const type = typeOf(name)
  return type && { type, time: Number(time), trace_id: trace_id as string }
}

export function encodeErasedPlace({ type, partition, offset }: ErasedPlace): string {
  return Buffer.from(`${type} ${partition} ${offset}`).toString('base64url')
}

/** Undefined for a text that is none. */
export function decodeErasedPlace(cursor: string): ErasedPlace | undefined {
  const [, name, partition, offset] = parse(cursor, ERASED_FORM)
  const type = typeOf(name)
  return type && { type, partition: Number(partition), offset: Number(offset) }
}

function parse(cursor: string, form: RegExp): readonly string[] {
  return form.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? []
}

function typeOf(name: string | undefined): EventType | undefined {
  return EVENT_TYPES.find((type) => type === name)
}
