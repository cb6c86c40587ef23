import type { DatabaseSync } from 'node:sqlite'
import type { DaysPart } from '../../days/quarter-hours.ts'
import { addQuarters } from '../../rollup/packed-quarters.ts'
import {
  firstVersion,
  mergeRow,
  type ScopeQuery,
  type ScopeReading,
  type SpanRange,
  type SpanRow,
} from '../tables/day-tables.ts'
import { scopeOf } from '../tables/statistics-tables.ts'

type Row = { version: number; total: Uint8Array; best: Uint8Array; quarters: Uint8Array }

/**
 * Prepares the statements that add the part to its tables, within the transaction of a fold. A row that is there is
 * updated: to replace it would take it out of the index by day, and put it in again.
 */
export function prepareDays(database: DatabaseSync): (days: DaysPart) => void {
  const readScope = database.prepare('SELECT version, total, best FROM scope_totals WHERE scope = ?')
  const insertScope = database.prepare('INSERT INTO scope_totals (version, total, best, scope) VALUES (?, ?, ?, ?)')
  const updateScope = database.prepare('UPDATE scope_totals SET version = ?, total = ?, best = ? WHERE scope = ?')
  const readSpan = database.prepare('SELECT total, best, quarters FROM quarter_hours WHERE scope = ? AND day = ?')
  const insertSpan = database.prepare(
    'INSERT INTO quarter_hours (total, best, quarters, scope, day) VALUES (?, ?, ?, ?, ?)',
  )
  const updateSpan = database.prepare(
    'UPDATE quarter_hours SET total = ?, best = ?, quarters = ? WHERE scope = ? AND day = ?',
  )
  return ({ scopes, spans }) => {
    for (const { user_id, total, best } of scopes) {
      const scope = scopeOf(user_id)
      const row = readScope.get(scope) as Row | undefined
      const merged = mergeRow(row, { total, best })
      if (row === undefined) insertScope.run(firstVersion(), merged.total, merged.best, scope)
      else updateScope.run(row.version + 1, merged.total, merged.best, scope)
    }
    for (const { user_id, day, total, best, quarters } of spans) {
      const scope = scopeOf(user_id)
      const row = readSpan.get(scope, day) as Row | undefined
      const merged = mergeRow(row, { total, best })
      const put = row === undefined ? insertSpan : updateSpan
      put.run(merged.total, merged.best, addQuarters(row?.quarters, quarters), scope, day)
    }
  }
}

/** Prepares the statements that read a scope, within a transaction. */
export function prepareScopeReading(
  database: DatabaseSync,
): (query: ScopeQuery) => Pick<ScopeReading, 'version' | 'total' | 'best' | 'spans'> {
  const readScope = database.prepare('SELECT version, total, best FROM scope_totals WHERE scope = ?')
  const columns = { all: 'day, NULL AS total, quarters', totals: 'day, total, NULL AS quarters' }
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
