import { literal } from '../store/mysql/literal.ts'
import { BackupError } from './backup-error.ts'
import type { BackupTable, ColumnKind } from './manifest.ts'

/** The rows of a table in pieces: lines of JSON, each the texts of a row's values in the order of the columns. */

const CHUNK_NAME = /^tables\/([A-Za-z0-9_]{1,50})\/\d{1,12}\.ndjson$/

export function chunkName(table: string, chunk: number): string {
  return `tables/${table}/${chunk}.ndjson`
}

/** The table of a piece; undefined for what is none. */
export function tableOfChunk(name: string): string | undefined {
  return CHUNK_NAME.exec(name)?.[1]
}

/** Suffixes of tables that stand beside others while these are replaced. */
const PASSING = ['fresh', 'old', 'beside', 'restored', 'replaced']

export function isPassing(table: string): boolean {
  return PASSING.some((suffix) => table.endsWith(`_${suffix}`))
}

/** The rows of a piece as `INSERT … VALUES` takes them. Nothing of them is ever taken for SQL. */
export function chunkLiterals(lines: string, { name, columns }: BackupTable): string[] {
  const literals: string[] = []
  for (const line of lines.split('\n')) {
    if (line === '') continue
    const row = JSON.parse(line) as unknown
    if (!Array.isArray(row) || row.length !== columns.length) throw damaged(name)
    literals.push(`(${columns.map(({ kind }, i) => valueLiteral(row[i], kind, name))})`)
  }
  return literals
}

const FORMS: Record<ColumnKind, RegExp> = {
  integer: /^-?\d{1,20}$/,
  double: /^-?\d{1,400}(\.\d{1,400})?(e[+-]?\d{1,4})?$/i,
  bytes: /^([0-9A-Fa-f]{2})*$/,
  text: /^/,
}

function valueLiteral(value: unknown, kind: ColumnKind, table: string): string {
  if (value === null) return 'NULL'
  if (typeof value !== 'string' || !FORMS[kind].test(value)) throw damaged(table)
  if (kind === 'integer') return value
  // With an exponent it is a double from the beginning.
  if (kind === 'double') return /e/i.test(value) ? value : `${value}e0`
  return kind === 'bytes' ? `X'${value}'` : literal(value)
}

function damaged(table: string): BackupError {
  return new BackupError(`the backup is damaged: ${table} has a row that is none`)
}
