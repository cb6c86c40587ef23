import { fieldsOf, type RunifyEvent } from '../../events/catalogue.ts'
import { type LogMark, markColumns } from '../../log/position.ts'
import type { ColumnValue } from '../columns.ts'

/** Values as MySQL literals. All that is not a number goes as hex digits, or is plain beyond doubt: nothing escapes. */

/** An event as a row of `INSERT … VALUES`, its values in the order of `columnsOf`. */
export function eventLiteral(
  partition: number,
  offset: number,
  { type, trace_id, date_created, fields }: RunifyEvent,
): string {
  let row = `(${partition},${offset},${uuidLiteral(trace_id)},${date_created}`
  const values = fields as Record<string, string | number | undefined>
  for (const [name, field] of fieldsOf(type)) {
    const value = values[name]
    row += value === undefined ? ',NULL' : `,${field.kind === 'uuid' ? uuidLiteral(value as string) : literal(value)}`
  }
  return `${row})`
}

/** Names as MySQL takes them whatever words it reserves in a later version. */
export function nameList(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(',')
}

/** A row of `INSERT … VALUES`. */
export function rowLiteral(values: readonly ColumnValue[]): string {
  return `(${values.map(literal).join(',')})`
}

export function literal(value: ColumnValue): string {
  if (value === null) return 'NULL'
  if (typeof value === 'string') return textLiteral(value)
  if (typeof value === 'number') return numberLiteral(value)
  return `X'${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}'`
}

/** What an UPDATE sets of the mark beside a cursor that moves. */
export function markAssignments(mark: LogMark | undefined): string {
  const { log_id, append_time } = markColumns(mark)
  return `log_id = coalesce(${literal(log_id)}, log_id), append_time = ${literal(append_time)}`
}

/** `uuid` in its text form, as the catalogue's check lets it pass. */
export function uuidLiteral(uuid: string): string {
  return `0x${uuid.replaceAll('-', '')}`
}

/**
 * The shortest digits that name the double, which MySQL reads back as the same double. With an exponent they are a
 * double from the beginning; without, MySQL would first make a DECIMAL of them, which takes longer.
 */
function numberLiteral(value: number): string {
  if (!Number.isFinite(value)) throw new RangeError(`${value} is not a number that a column takes`)
  const digits = String(value)
  return Number.isSafeInteger(value) || digits.includes('e') ? digits : `${digits}e0`
}

const PLAIN = /^[\w .,:()&!?+-]*$/

function textLiteral(text: string): string {
  return PLAIN.test(text) ? `'${text}'` : `_utf8mb4 X'${Buffer.from(text, 'utf8').toString('hex')}'`
}
