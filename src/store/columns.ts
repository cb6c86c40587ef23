import { EVENT_TYPES, type EventType, fieldsOf, type RunifyEvent } from '../events/catalogue.ts'
import type { FieldKind } from '../events/field.ts'

export type Dialect = 'sqlite' | 'mysql'

/** A value as a driver takes it and gives it back. UUIDs are 16 bytes: half the index of their text form. */
export type ColumnValue = string | number | Uint8Array | null

/** The SQL type of a field's column. `size` is the largest number of characters of a text. */
export function columnType(dialect: Dialect, kind: FieldKind, size = 0): string {
  const types: Record<FieldKind, Record<Dialect, string>> = {
    uuid: { sqlite: 'blob', mysql: 'binary(16)' },
    number: { sqlite: 'real', mysql: 'double' },
    instant: { sqlite: 'integer', mysql: 'bigint' },
    text: { sqlite: 'text', mysql: `varchar(${size}) character set utf8mb4 collate utf8mb4_0900_bin` },
  }
  return types[kind][dialect]
}

/** The columns of a type's table: where it is in the log, then what it is. */
export function columnsOf(type: EventType): readonly string[] {
  return COLUMN_LISTS[type]
}

export function toRow({
  partition,
  offset,
  event,
}: {
  partition: number
  offset: number
  event: RunifyEvent
}): ColumnValue[] {
  const row: ColumnValue[] = [partition, offset, uuidToBytes(event.trace_id), event.date_created]
  const fields = event.fields as Record<string, string | number | undefined>
  for (const [name, field] of fieldsOf(event.type)) {
    const value = fields[name]
    row.push(value === undefined ? null : field.kind === 'uuid' ? uuidToBytes(value as string) : value)
  }
  return row
}

export type StoredEvent = { partition: number; offset: number; event: RunifyEvent }

export function fromRow(type: EventType, row: Record<string, ColumnValue>): StoredEvent {
  const fields: Record<string, string | number> = {}
  for (const [name, field] of fieldsOf(type)) {
    const value = row[name]
    if (value === null || value === undefined) continue
    fields[name] = field.kind === 'uuid' ? uuidFromBytes(value as Uint8Array) : (value as string | number)
  }
  const trace_id = uuidFromBytes(row.trace_id as Uint8Array)
  const event = { type, trace_id, date_created: row.date_created as number, fields } as unknown as RunifyEvent
  return { partition: row.log_partition as number, offset: row.log_offset as number, event }
}

/** `uuid` in its text form, as the catalogue's check lets it pass. */
export function uuidToBytes(uuid: string): Uint8Array {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex')
}

export function uuidFromBytes(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

const COLUMN_LISTS = Object.fromEntries(
  EVENT_TYPES.map((type) => [
    type,
    ['log_partition', 'log_offset', 'trace_id', 'date_created', ...fieldsOf(type).map(([name]) => name)],
  ]),
) as unknown as Record<EventType, readonly string[]>
