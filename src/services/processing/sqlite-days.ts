import type { DatabaseSync } from 'node:sqlite'
import { type DaysPart, mergeRollups } from './rollup.ts'
import { fromRow, ROLLUP_COLUMNS, type RollupRow, scopeOf, toRow } from './statistics-tables.ts'

/** Prepares the statements that add the part to its table, within the transaction of a fold. */
export function prepareDays(database: DatabaseSync): (days: DaysPart) => void {
  const read = database.prepare('SELECT * FROM rollups WHERE scope = ? AND day = ?')
  const put = database.prepare(
    `INSERT OR REPLACE INTO rollups (${ROLLUP_COLUMNS.join(', ')}) VALUES (${ROLLUP_COLUMNS.map(() => '?').join(', ')})`,
  )
  return (days) => {
    for (const { key, rollup } of days) {
      const before = read.get(scopeOf(key.user_id), key.day) as RollupRow | undefined
      const merged = before === undefined ? rollup : mergeRollups(fromRow(before), rollup)
      put.run(...toRow(key, merged))
    }
  }
}
