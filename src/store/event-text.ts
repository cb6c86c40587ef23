import { EVENT_TYPES, type EventType, fieldsOf } from '../events/catalogue.ts'
import { formatInstant } from '../events/instant.ts'
import { type ColumnValue, columnsOf } from './columns.ts'

/**
 * A row as text, without the objects in between, on which most of the time of a page went. Rows come as arrays with the
 * columns of `textColumns`, their UUIDs as 32 lower-case hex digits.
 */
export type TextRow = readonly ColumnValue[]

/**
 * Each event as `JSON.stringify(toWire(event))`: `json` is an array of them, `ndjson` has a line of each. `csv`: RFC 4180,
 * without the line of names; a field that an event does not have is empty.
 */
export type TextFormat = 'json' | 'ndjson' | 'csv'

type WireKind = 'uuid' | 'number' | 'text' | 'instant'
type WireField = { name: string; kind: WireKind; at: number }

/** The columns that the text of an event is made of. */
export function textColumns(type: EventType): readonly { name: string; isUuid: boolean }[] {
  return FORMS[type].columns
}

/** What is before the first event, between two, and behind the last. */
const FRAMES: Record<TextFormat, { begin: string; between: string; end: string; empty: string }> = {
  json: { begin: '[', between: ',', end: ']', empty: '[]' },
  ndjson: { begin: '', between: '\n', end: '\n', empty: '' },
  csv: { begin: '', between: '\r\n', end: '\r\n', empty: '' },
}

/** Where texts are put together. A few are kept: as garbage, so large ones would call the collector again and again. */
const SPARE: Buffer[] = []
const SPARE_MAX = 4
const SPARE_BYTES_MAX = 1024 * 1024
const BYTES_MIN = 256 * 1024
/** Of a UTF-16 unit in UTF-8. */
const UNIT_BYTES_MAX = 3

/** Puts the text of rows together, row after row: nothing of a row is left when the next one comes. */
export class TextWriter {
  readonly #type: EventType
  readonly #format: TextFormat
  #bytes = SPARE.pop() ?? Buffer.allocUnsafeSlow(BYTES_MIN)
  #length = 0
  events = 0

  /** Bytes so far. */
  get length(): number {
    return this.#length
  }

  constructor(type: EventType, format: TextFormat) {
    this.#type = type
    this.#format = format
  }

  add(row: TextRow): void {
    const { begin, between } = FRAMES[this.#format]
    const { fields } = FORMS[this.#type]
    this.#write(this.events === 0 ? begin : between)
    this.#write(this.#format === 'csv' ? csvText(fields, row) : jsonText(fields, row))
    this.events++
  }

  /** The whole text; nothing can be added any more. */
  end(): Buffer {
    const { end, empty } = FRAMES[this.#format]
    this.#write(this.events === 0 ? empty : end)
    const written = this.#bytes.subarray(0, this.#length)
    // A large one is not kept, so it need not be copied either.
    const text = this.#bytes.length > SPARE_BYTES_MAX ? written : Buffer.from(written)
    if (SPARE.length < SPARE_MAX && this.#bytes.length <= SPARE_BYTES_MAX) SPARE.push(this.#bytes)
    return text
  }

  #write(text: string): void {
    const most = this.#length + text.length * UNIT_BYTES_MAX
    if (most > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(most, 2 * this.#bytes.length))
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    this.#length += this.#bytes.write(text, this.#length)
  }
}

/** The first line of a CSV, without its end. */
export function csvNames(type: EventType): string {
  return FORMS[type].fields.map(({ name }) => name).join(',')
}

/** A column of the row, by its name. */
export function textValue(type: EventType, row: TextRow, name: string): ColumnValue {
  return row[FORMS[type].columns.findIndex((column) => column.name === name)] ?? null
}

export function uuidText(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

function jsonText(fields: readonly WireField[], row: TextRow): string {
  // The first field is required, so each of the others follows another.
  let text = ''
  for (const { name, kind, at } of fields) {
    const value = row[at] as ColumnValue
    if (value === null) continue
    text += text === '' ? '{"' : ',"'
    text += name
    if (kind === 'uuid') text += `":"${uuidText(value as string)}"`
    else if (kind === 'instant') text += `":"${formatInstant(value as number)}"`
    else if (kind === 'number') text += `":${value}`
    else text += PLAIN.test(value as string) ? `":"${value}"` : `":${JSON.stringify(value)}`
  }
  return `${text}}`
}

function csvText(fields: readonly WireField[], row: TextRow): string {
  let text = ''
  for (const [index, { kind, at }] of fields.entries()) {
    const value = row[at] as ColumnValue
    if (index > 0) text += ','
    if (value === null) continue
    if (kind === 'uuid') text += uuidText(value as string)
    else if (kind === 'instant') text += formatInstant(value as number)
    else if (kind === 'number') text += value
    else text += csvValue(value as string)
  }
  return text
}

/** What JSON need not escape: nearly all names are of these characters only. */
const PLAIN = /^[ !#-[\]-~]*$/

function csvValue(value: string): string {
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value
}

const FORMS = Object.fromEntries(EVENT_TYPES.map((type) => [type, formOf(type)])) as unknown as Record<
  EventType,
  ReturnType<typeof formOf>
>

function formOf(type: EventType) {
  const wire: [string, WireKind][] = [
    ...fieldsOf(type).map(([name, { kind }]): [string, WireKind] => [name, kind]),
    ['trace_id', 'uuid'],
    ['date_created', 'instant'],
  ]
  const names = columnsOf(type).filter((name) => wire.some(([known]) => known === name))
  return {
    columns: names.map((name) => ({ name, isUuid: wire.some(([known, kind]) => known === name && kind === 'uuid') })),
    fields: wire.map(([name, kind]): WireField => ({ name, kind, at: names.indexOf(name) })),
  }
}
