import type { ColumnValue } from '../../store/columns.ts'
import { nameList, rowLiteral } from '../../store/mysql-literal.ts'
import type { MysqlSession } from '../../store/mysql-session.ts'
import { type CountTable, KEYS, mergeCounts, NAME_COLUMNS, namesOf, rowsOf, sumValues } from './play-tables.ts'
import type { Count, PlaysPart } from './plays.ts'

/** Rows in one statement: far below what the server takes, and few enough for it to look each up by its key. */
const STATEMENT_ROWS_MAX = 1000

type Row = Record<string, ColumnValue> & { plays: number; seconds: number; exact: Uint8Array | null }

/** Adds the part to its tables, within the transaction of a fold, which nobody else does at the same time. */
export async function addPlays(session: MysqlSession, part: PlaysPart): Promise<void> {
  const names = namesOf(part.songs)
  for (let begin = 0; begin < names.length; begin += STATEMENT_ROWS_MAX) {
    const rows = names.slice(begin, begin + STATEMENT_ROWS_MAX).map(rowLiteral)
    await session.query(`INSERT IGNORE INTO play_names (${nameList(NAME_COLUMNS)}) VALUES ${rows}`)
  }
  for (const [table, rows] of Object.entries(rowsOf(part))) {
    for (let begin = 0; begin < rows.length; begin += STATEMENT_ROWS_MAX) {
      await addRows(session, table as CountTable, rows.slice(begin, begin + STATEMENT_ROWS_MAX))
    }
  }
}

async function addRows(
  session: MysqlSession,
  table: CountTable,
  rows: readonly { key: ColumnValue[]; count: Count }[],
): Promise<void> {
  const key = KEYS[table]
  const columns = nameList([...key, 'plays', 'seconds', 'exact'])
  const found = await session.query<Row[]>(
    `SELECT ${columns} FROM ${table} WHERE (${nameList(key)}) IN (${rows.map((row) => rowLiteral(row.key))})`,
  )
  const before = new Map(found.map((row) => [idOf(key.map((name) => row[name] as ColumnValue)), row]))
  const merged = rows.map(({ key, count }) => {
    const row = before.get(idOf(key))
    return rowLiteral([...key, ...sumValues(row === undefined ? count : mergeCounts(row, count))])
  })
  await session.query(
    `INSERT INTO ${table} (${columns}) VALUES ${merged} ON DUPLICATE KEY UPDATE ` +
      'plays = VALUES(plays), seconds = VALUES(seconds), exact = VALUES(exact)',
  )
}

function idOf(key: readonly ColumnValue[]): string {
  return key.map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value)).join(' ')
}
