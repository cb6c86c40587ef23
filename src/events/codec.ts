import {
  CATALOGUE,
  CATALOGUE_VERSION,
  EVENT_TYPES,
  type EventType,
  fieldsOf,
  isOptional,
  type RunifyEvent,
  sinceOf,
} from './catalogue.ts'
import { checkEvent, parseJson } from './check.ts'
import { checkField, fieldSchema, Refusal, wireValue } from './field.ts'
import { formatInstant } from './instant.ts'

/** The fields that Runify adds; they are checked like any other when a record is read back. */
const TRACE_ID = { kind: 'uuid', description: "Runify's id of the event" } as const
const DATE_CREATED = { kind: 'instant', description: 'When Runify received it (UTC)' } as const

/** What clients read: the fields as sent (instants normalised), then `trace_id` and `date_created`. */
export function toWire(event: RunifyEvent): Record<string, string | number> {
  const wire: Record<string, string | number> = {}
  const fields = event.fields as Record<string, string | number | undefined>
  for (const [name, field] of fieldsOf(event.type)) {
    const value = fields[name]
    if (value !== undefined) wire[name] = wireValue(field, value)
  }
  wire.trace_id = event.trace_id
  wire.date_created = formatInstant(event.date_created)
  return wire
}

/**
 * The wire form as the log and the change feed carry it. An event with a field that the first version of the catalogue did
 * not have says which version has it, so that an older reader knows that it is the one who lacks something. Any other event
 * is what the first version wrote, byte for byte.
 */
export function toRecord(event: RunifyEvent): Record<string, string | number> {
  const record = toWire(event)
  const fields = event.fields as Record<string, unknown>
  let version = 1
  for (const [name, since] of LATER_FIELDS[event.type]) {
    if (fields[name] !== undefined) version = Math.max(version, since)
  }
  if (version > 1) record.catalogue = version
  return record
}

/** An event as the log keeps it: UTF-8 JSON. */
export function encodeEvent(event: RunifyEvent): Buffer {
  return Buffer.from(JSON.stringify(toRecord(event)), 'utf8')
}

/** `newer`: an event of a later version of the catalogue, which this one must neither cut nor throw away. */
export type Decoded = { ok: true; event: RunifyEvent } | { ok: false; newer?: true; detail: string }

/** What keeps a service from going on behind an event that is newer than itself. */
export const NEWER_EVENTS = 'newer events in the log: upgrade this service'

/** Reads a record's value back. A record that is not what `encodeEvent` writes gives the reason, never an exception. */
export function decodeEvent(type: EventType, value: Uint8Array): Decoded {
  const parsed = parseJson(value)
  if (!parsed.ok) return { ok: false, detail: `the record ${parsed.detail}` }
  return fromWire(type, parsed.value)
}

/** Likewise, for those who only look: of a newer event it gives what this version knows of it. */
export function decodeKnown(type: EventType, value: Uint8Array): Decoded {
  const decoded = decodeEvent(type, value)
  if (decoded.ok || !decoded.newer) return decoded
  const sent = JSON.parse(Buffer.from(value).toString('utf8')) as Record<string, unknown>
  const names = ['trace_id', 'date_created', ...fieldsOf(type).map(([name]) => name)]
  const known = names.filter((name) => Object.hasOwn(sent, name))
  return fromWire(type, Object.fromEntries(known.map((name) => [name, sent[name]])))
}

/** The inverse of `toRecord` on a parsed value, as the log and the change feed carry it. */
export function fromWire(type: EventType, value: unknown): Decoded {
  if (typeof value !== 'object' || value === null) return { ok: false, detail: 'the record is not a JSON object' }
  const { trace_id, date_created, catalogue, ...sent } = value as Record<string, unknown>
  if (catalogue !== undefined) {
    if (!Number.isSafeInteger(catalogue) || (catalogue as number) < 1) {
      return { ok: false, detail: 'catalogue must be a version of the catalogue' }
    }
    if ((catalogue as number) > CATALOGUE_VERSION) return { ok: false, newer: true, detail: NEWER_EVENTS }
  }
  const traceId = checkField(TRACE_ID, trace_id)
  if (traceId instanceof Refusal) return { ok: false, detail: `trace_id ${traceId.detail}` }
  const dateCreated = checkField(DATE_CREATED, date_created)
  if (dateCreated instanceof Refusal) return { ok: false, detail: `date_created ${dateCreated.detail}` }
  const checked = checkEvent(type, sent)
  if (!checked.ok) {
    return {
      ok: false,
      detail: checked.errors.map(({ pointer, detail }) => `${pointer.slice(1)} ${detail}`).join('; '),
    }
  }
  const event = { type, trace_id: traceId, date_created: dateCreated, fields: checked.fields }
  return { ok: true, event: event as RunifyEvent }
}

/** Whether two deliveries of one `trace_id` say the same; when each was received does not matter. */
export function sameContent(a: RunifyEvent, b: RunifyEvent): boolean {
  if (a.type !== b.type) return false
  const left = a.fields as Record<string, unknown>
  const right = b.fields as Record<string, unknown>
  return fieldsOf(a.type).every(([name]) => left[name] === right[name])
}

/** JSON Schema of what a client sends. */
export function sentSchema(type: EventType): Record<string, unknown> {
  const fields = fieldsOf(type)
  return {
    type: 'object',
    description: CATALOGUE[type].title,
    additionalProperties: false,
    required: fields.filter(([, field]) => !isOptional(field)).map(([name]) => name),
    properties: Object.fromEntries(fields.map(([name, field]) => [name, fieldSchema(field)])),
    examples: [CATALOGUE[type].example],
  }
}

/** JSON Schema of what a client reads back, with `extra` properties of the endpoint at hand. */
export function storedSchema(type: EventType, extra: Record<string, unknown> = {}): Record<string, unknown> {
  const sent = sentSchema(type) as { required: string[]; properties: Record<string, unknown> }
  return {
    type: 'object',
    description: CATALOGUE[type].title,
    required: [...sent.required, 'trace_id', 'date_created', ...Object.keys(extra)],
    properties: {
      ...sent.properties,
      trace_id: fieldSchema(TRACE_ID),
      date_created: fieldSchema(DATE_CREATED),
      ...extra,
    },
  }
}

/** Of each type, the fields that the first version did not have, with the version that they came with. */
const LATER_FIELDS = Object.fromEntries(
  EVENT_TYPES.map((type) => [
    type,
    fieldsOf(type).flatMap(([name, field]) => (sinceOf(field) > 1 ? [[name, sinceOf(field)]] : [])),
  ]),
) as unknown as Record<EventType, readonly (readonly [name: string, since: number])[]>
