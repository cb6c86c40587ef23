import { type EpochMs, formatInstant, parseInstant } from './instant.ts'

/** What a field of an event is. Checks, wire form, OpenAPI and column follow from it. */
export type Field = {
  optional?: true
  /**
   * The version of the catalogue that it came with; the first where nothing is said. Only an optional field comes later, and
   * what a field may hold never changes: older records are read by it, and newer ones by older services.
   */
  since?: number
  description: string
} & (
  | { kind: 'uuid' }
  | { kind: 'number'; unit: 'seconds' | 'metres'; min: number; max: number }
  | { kind: 'text'; charactersMin: number; charactersMax: number }
  | { kind: 'instant' }
)

export type FieldKind = Field['kind']

/** The value of a field in memory: instants are epoch milliseconds, UUIDs lower-case text. */
export type FieldValue<F extends Field> = F extends { kind: 'number' }
  ? number
  : F extends { kind: 'instant' }
    ? EpochMs
    : string

/** Why a value was refused, in words that follow the field's name: "must be …". */
export class Refusal {
  readonly detail: string
  constructor(detail: string) {
    this.detail = detail
  }
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** Checks a JSON value against a field and gives its in-memory form. Nothing is coerced. */
export function checkField(field: Field, value: unknown): string | number | Refusal {
  switch (field.kind) {
    case 'number':
      return checkNumber(field, value)
    case 'text':
      return checkText(field, value)
    case 'uuid':
      return checkUuid(value)
    case 'instant':
      return checkInstant(value)
  }
}

/** The JSON Schema (2020-12) of a field, for OpenAPI. */
export function fieldSchema(field: Field): Record<string, unknown> {
  const { description } = field
  switch (field.kind) {
    case 'number':
      return { type: 'number', minimum: field.min, maximum: field.max, description: `${description}, in ${field.unit}` }
    case 'text':
      return { type: 'string', minLength: field.charactersMin, maxLength: field.charactersMax, description }
    case 'uuid':
      return { type: 'string', format: 'uuid', description }
    case 'instant':
      return { type: 'string', format: 'date-time', description }
  }
}

/** The form that goes over the wire: instants as text, everything else as it is. */
export function wireValue(field: Field, value: string | number): string | number {
  return field.kind === 'instant' ? formatInstant(value as EpochMs) : value
}

function checkNumber(field: Extract<Field, { kind: 'number' }>, value: unknown): number | Refusal {
  if (typeof value !== 'number') return new Refusal(`must be a number, not ${nameOf(value)}`)
  if (!(value >= field.min && value <= field.max)) {
    return new Refusal(`must be from ${field.min} to ${field.max} ${field.unit}`)
  }
  // JSON and both stores write negative zero as 0: it could not be kept exactly.
  if (Object.is(value, -0)) return new Refusal('must be 0 or more, and -0 is not')
  return value
}

function checkText(field: Extract<Field, { kind: 'text' }>, value: unknown): string | Refusal {
  if (typeof value !== 'string') return new Refusal(`must be a string, not ${nameOf(value)}`)
  if (!hasCharacters(value, field.charactersMin, field.charactersMax)) {
    return new Refusal(`must have ${field.charactersMin} to ${field.charactersMax} characters`)
  }
  // Half a surrogate pair has no UTF-8 form: it would come back as another character.
  if (!value.isWellFormed()) return new Refusal('must be Unicode text, without lone surrogates')
  return value
}

function checkUuid(value: unknown): string | Refusal {
  if (typeof value !== 'string') return new Refusal(`must be a UUID in a string, not ${nameOf(value)}`)
  if (!UUID.test(value)) return new Refusal('must be a UUID, like d290f1ee-6c54-4b01-90e6-d701748f0851')
  return value.toLowerCase()
}

function checkInstant(value: unknown): EpochMs | Refusal {
  if (typeof value !== 'string') return new Refusal(`must be a date-time in a string, not ${nameOf(value)}`)
  return (
    parseInstant(value) ??
    new Refusal('must be an RFC 3339 date-time with a zone, like 2024-05-01T06:30:00Z or …+02:00')
  )
}

/** Counts Unicode code points, as JSON Schema and MySQL do; UTF-16 units and graphemes would both be wrong. */
function hasCharacters(text: string, min: number, max: number): boolean {
  if (text.length < min || text.length > 2 * max) return false
  if (text.length <= max && min <= 1) return true
  let characters = 0
  for (const _ of text) characters++
  return characters >= min && characters <= max
}

function nameOf(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
