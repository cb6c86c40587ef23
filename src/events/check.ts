import { isUtf8 } from 'node:buffer'
import { type EventFields, type EventType, fieldsOf, isOptional } from './catalogue.ts'
import { checkField, Refusal } from './field.ts'
import { escapePointer } from './json-pointer.ts'
import { findRepeatedMembers } from './repeated-members.ts'

/** One thing wrong with a body. `pointer` is an RFC 6901 JSON Pointer from the event's root; '' is the event itself. */
export type FieldError = { pointer: string; detail: string }

export type Checked<T extends EventType> =
  | { ok: true; fields: EventFields<T> }
  /** `malformed`: it is not JSON at all, so there are no fields to speak of. */
  | { ok: false; malformed?: true; errors: FieldError[] }

/**
 * Checks one event given as JSON text in UTF-8. Everything that is wrong with it is told at once.
 * Nothing is coerced and nothing is dropped: a member sent twice is refused, because one of its values would be lost.
 */
export function checkEventText<T extends EventType>(type: T, bytes: Uint8Array): Checked<T> {
  const parsed = parseJson(bytes)
  if (!parsed.ok) return { ok: false, malformed: true, errors: [{ pointer: '', detail: parsed.detail }] }
  const checked = checkEvent(type, parsed.value)
  if (!checked.ok || countQuotes(bytes) === quotesOf(type, checked.fields)) return checked
  const repeated = findRepeatedMembers(parsed.text)
  return repeated.length === 0 ? checked : { ok: false, errors: repeated }
}

/** Checks a parsed JSON value; members sent twice cannot be seen here, `checkEventText` sees them. */
export function checkEvent<T extends EventType>(type: T, value: unknown): Checked<T> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { ok: false, errors: [{ pointer: '', detail: 'must be a JSON object' }] }
  }
  const sent = value as Record<string, unknown>
  const fields: Record<string, string | number> = {}
  const errors: FieldError[] = []
  let known = 0
  for (const [name, field] of fieldsOf(type)) {
    if (!Object.hasOwn(sent, name)) {
      if (!isOptional(field)) errors.push({ pointer: `/${name}`, detail: 'is missing' })
      continue
    }
    known++
    const result = checkField(field, sent[name])
    if (result instanceof Refusal) errors.push({ pointer: `/${name}`, detail: result.detail })
    else fields[name] = result
  }
  const names = Object.keys(sent)
  if (names.length > known) errors.push(...unknownMembers(type, names))
  return errors.length === 0 ? { ok: true, fields: fields as EventFields<T> } : { ok: false, errors }
}

export type ParsedJson = { ok: true; value: unknown; text: string } | { ok: false; detail: string }

/** UTF-8 bytes → JSON value. Unlike a lenient decoder it refuses bad bytes instead of replacing them. */
export function parseJson(bytes: Uint8Array): ParsedJson {
  if (!isUtf8(bytes)) return { ok: false, detail: 'is not valid UTF-8' }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  try {
    return { ok: true, value: JSON.parse(text), text }
  } catch {
    return { ok: false, detail: text.trim() === '' ? 'is empty' : 'is not valid JSON' }
  }
}

/** How many unknown members are named at most: an error must not be larger than what caused it. */
const UNKNOWN_NAMED_MAX = 20

function unknownMembers(type: EventType, names: string[]): FieldError[] {
  const known = new Set(fieldsOf(type).map(([name]) => name))
  const unknown = names.filter((name) => !known.has(name)).slice(0, UNKNOWN_NAMED_MAX)
  return unknown.map((name) => ({
    pointer: `/${escapePointer(name.slice(0, 128))}`,
    detail: 'is not a field of this event',
  }))
}

/**
 * A member sent twice adds at least two quotes to the text, and an escaped quote adds one. So when the text has just
 * the quotes that its parsed form needs, no member is there twice, and the slower exact scan is not needed.
 */
export function quotesOf(type: EventType, fields: object): number {
  let quotes = 0
  for (const [name, field] of fieldsOf(type)) {
    if (Object.hasOwn(fields, name)) quotes += field.kind === 'number' ? 2 : 4
  }
  return quotes
}

export function countQuotes(bytes: Uint8Array): number {
  let quotes = 0
  for (let i = 0; i < bytes.length; i++) if (bytes[i] === 0x22) quotes++
  return quotes
}
