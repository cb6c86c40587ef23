import type { DatabaseSync } from 'node:sqlite'
import {
  firstVersion,
  mergeRow,
  type ScopeQuery,
  type ScopeReading,
  type SpanRange,
  type SpanRow,
} from './day-tables.ts'
import { addQuarters } from './packed-quarters.ts'
import type { DaysPart } from './quarter-hours.ts'
import { scopeOf } from './statistics-tables.ts'

type Row = { version: number; total: Uint8Array; best: Uint8Array; quarters: Uint8Array }

/** Prepares the statements that add the part to its tables, within the transaction of a fold. */
export function prepareDays(database: DatabaseSync): (days: DaysPart) => void {
  const readScope = database.prepare('SELECT version, total, best FROM scope_totals WHERE scope = ?')
  const putScope = database.prepare(
    'INSERT OR REPLACE INTO scope_totals (scope, version, total, best) VALUES (?, ?, ?, ?)',
  )
  const readSpan = database.prepare('SELECT total, best, quarters FROM quarter_hours WHERE scope = ? AND day = ?')
  const putSpan = database.prepare(
    'INSERT OR REPLACE INTO quarter_hours (scope, day, total, best, quarters) VALUES (?, ?, ?, ?, ?)',
  )
  return ({ scopes, spans }) => {
    for (const { user_id, total, best } of scopes) {
      const scope = scopeOf(user_id)
      const row = readScope.get(scope) as Row | undefined
      const merged = mergeRow(row, { total, best })
      putScope.run(scope, row === undefined ? firstVersion() : row.version + 1, merged.total, merged.best)
    }
    for (const { user_id, day, total, best, quarters } of spans) {
      const scope = scopeOf(user_id)
      const row = readSpan.get(scope, day) as Row | undefined
      const merged = mergeRow(row, { total, best })
      putSpan.run(scope, day, merged.total, merged.best, addQuarters(row?.quarters, quarters))
    }
  }
}

/** Prepares the statements that read a scope, within a transaction. */
export function prepareScopeReading(
  database: DatabaseSync,
): (query: ScopeQuery) => Pick<ScopeReading, 'version' | 'total' | 'best' | 'spans'> {
  const readScope = database.prepare('SELECT version, total, best FROM scope_totals WHERE scope = ?')
  const columns = { all: 'day, total, quarters', totals: 'day, total, NULL AS quarters' }
  const [readAll, readTotals] = [columns.all, columns.totals].map((names) =>
    database.prepare(`SELECT ${names} FROM quarter_hours WHERE scope = ? AND day BETWEEN ? AND ? ORDER BY day LIMIT ?`),
  ) as [ReturnType<DatabaseSync['prepare']>, ReturnType<DatabaseSync['prepare']>]
  return ({ user_id, ranges, limit = -1, known }) => {
    const scope = scopeOf(user_id)
    const row = readScope.get(scope) as Row | undefined
    if (row === undefined) return { version: undefined, total: undefined, best: undefined, spans: [] }
    const read = ({ from, to, quarters }: SpanRange) =>
      (quarters ? readAll : readTotals).all(scope, from, to, limit) as SpanRow[]
    return { ...row, spans: row.version === known ? [] : ranges.flatMap(read) }
  }
}
