import type { DatabaseSync } from 'node:sqlite'
import type { ColumnValue } from '../../../../store/columns.ts'
import type { PlaysPart } from '../../plays/plays.ts'
import { type ExactSum, mergeSums, roundSum } from '../../rollup/exact-sum.ts'
import { type CountTable, KEYS, NAME_COLUMNS, namesOf, rowsOf, sumOf, sumValues } from '../tables/play-tables.ts'

const TABLES = Object.keys(KEYS) as CountTable[]

/** Prepares the statements that add the part to its tables, within the transaction of a fold. */
export function preparePlays(database: DatabaseSync): (part: PlaysPart) => void {
  defineSums(database)
  const add = Object.fromEntries(TABLES.map((table) => [table, prepareAdd(database, table)])) as Record<
    CountTable,
    ReturnType<typeof prepareAdd>
  >
  const known = database.prepare('SELECT 1 FROM play_names WHERE item = ?')
  const name = database.prepare(
    `INSERT OR IGNORE INTO play_names (${NAME_COLUMNS.join(', ')}) VALUES (${NAME_COLUMNS.map(() => '?').join(', ')})`,
  )
  return (part) => {
    const fresh = part.songs.filter(({ item }) => known.get(item) === undefined)
    for (const row of namesOf(fresh)) name.run(...row)
    const rows = rowsOf(part)
    for (const table of TABLES) {
      for (const { key, count } of rows[table]) add[table].run(...key, ...sumValues(count))
    }
  }
}

function prepareAdd(database: DatabaseSync, table: CountTable) {
  const columns = [...KEYS[table], 'plays', 'seconds', 'exact']
  const [before, more] = [`${table}.seconds, ${table}.exact`, 'excluded.seconds, excluded.exact']
  return database.prepare(
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')}) ` +
      `ON CONFLICT DO UPDATE SET plays = plays + excluded.plays, seconds = sum_rounded(${before}, ${more}), ` +
      `exact = sum_exact(${before}, ${more})`,
  )
}

/** A function in the statement costs a third of reading the row and writing it again. */
function defineSums(database: DatabaseSync): void {
  const define = (name: string, give: (sum: ExactSum) => ColumnValue) =>
    database.function(name, { deterministic: true, varargs: true }, (...values) => {
      const [seconds, exact, moreSeconds, moreExact] = values as [number, Exact, number, Exact]
      return give(mergeSums(sumOf({ seconds, exact }), sumOf({ seconds: moreSeconds, exact: moreExact })))
    })
  define('sum_rounded', roundSum)
  define('sum_exact', (seconds) => sumValues({ plays: 0, seconds })[2])
}

type Exact = Uint8Array | null
