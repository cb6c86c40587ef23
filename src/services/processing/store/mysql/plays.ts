import type { ColumnValue } from '../../../../store/columns.ts'
import { chunksOf } from '../../../../store/mysql/chunks.ts'
import { literal, nameList, rowLiteral } from '../../../../store/mysql/literal.ts'
import type { MysqlSession } from '../../../../store/mysql/session.ts'
import type { PlaysPart } from '../../plays/plays.ts'
import {
  type CountTable,
  KEYS,
  mergeCounts,
  NAME_COLUMNS,
  type NameRow,
  namesOf,
  type PlayRow,
  rowsOf,
  sumValues,
} from '../tables/play-tables.ts'

/** Rows in one statement: far below what the server takes, and few enough for it to look each up by its key. */
const STATEMENT_ROWS_MAX = 1000

type Row = Record<string, ColumnValue> & { plays: number; seconds: number; exact: Uint8Array | null }

/** Adds the part to its tables, within the transaction of a fold, which nobody else does at the same time. */
export async function addPlays(session: MysqlSession, part: PlaysPart): Promise<void> {
  const fresh = await addNames(session, namesOf(part.songs))
  for (const [table, rows] of Object.entries(rowsOf(part))) {
    for (const some of chunksOf(rows, STATEMENT_ROWS_MAX))
      await addRows(session, table as CountTable, { rows: some, fresh })
  }
}

/** Gives the items that had no name: nothing was counted of them before. */
async function addNames(session: MysqlSession, names: readonly NameRow[]): Promise<Set<ColumnValue>> {
  const fresh = new Set<ColumnValue>()
  for (const some of chunksOf(names, STATEMENT_ROWS_MAX)) {
    const items = some.map(([item]) => literal(item))
    const rows = await session.query<{ item: Uint8Array }[]>(`SELECT item FROM play_names WHERE item IN (${items})`)
    const known = new Set(rows.map(({ item }) => idOf([item])))
    const unknown = some.filter(([item]) => !known.has(idOf([item])))
    if (unknown.length === 0) continue
    await session.query(`INSERT INTO play_names (${nameList(NAME_COLUMNS)}) VALUES ${unknown.map(rowLiteral)}`)
    for (const [item] of unknown) fresh.add(item)
  }
  return fresh
}

async function addRows(
  session: MysqlSession,
  table: CountTable,
  { rows, fresh }: { rows: readonly PlayRow[]; fresh: Set<ColumnValue> },
): Promise<void> {
  const key = KEYS[table]
  const columns = nameList([...key, 'plays', 'seconds', 'exact'])
  const mayBeThere = rows.filter(({ key }) => !fresh.has(key.at(-1) as ColumnValue))
  const found =
    mayBeThere.length === 0
      ? []
      : await session.query<Row[]>(
          `SELECT ${columns} FROM ${table} WHERE (${nameList(key)}) IN (${mayBeThere.map((row) => rowLiteral(row.key))})`,
        )
  const before = new Map(found.map((row) => [idOf(key.map((name) => row[name] as ColumnValue)), row]))
  const merged = rows.map(({ key, count }) => {
    const row = before.size === 0 ? undefined : before.get(idOf(key))
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
