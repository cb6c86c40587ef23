import { literal, nameList, rowLiteral } from '../../store/mysql-literal.ts'
import type { MysqlSession } from '../../store/mysql-session.ts'
import { type DaysPart, mergeRollups, type RollupKey } from './rollup.ts'
import { fromRow, ROLLUP_COLUMNS, type RollupRow, scopeOf, toRow } from './statistics-tables.ts'

const COLUMNS = nameList(ROLLUP_COLUMNS)

/** Rows in one statement: far below what the server takes, and few enough for it to look each up by its key. */
const STATEMENT_ROWS_MAX = 1000

/** Adds the part to its table, within the transaction of a fold. */
export async function addDays(session: MysqlSession, days: DaysPart): Promise<void> {
  for (let begin = 0; begin < days.length; begin += STATEMENT_ROWS_MAX) {
    await addRollups(session, days.slice(begin, begin + STATEMENT_ROWS_MAX))
  }
}

async function addRollups(session: MysqlSession, rollups: DaysPart): Promise<void> {
  const places = rollups.map(({ key }) => `(${literal(scopeOf(key.user_id))},${key.day})`)
  const rows = await session.query<RollupRow[]>(
    `SELECT ${COLUMNS} FROM rollups WHERE (scope, day) IN (${places}) FOR UPDATE`,
  )
  const before = new Map(rows.map((row) => [rowId(row), fromRow(row)]))
  const merged = rollups.map(({ key, rollup }) => {
    const found = before.get(keyId(key))
    return rowLiteral(toRow(key, found === undefined ? rollup : mergeRollups(found, rollup)))
  })
  const values = ROLLUP_COLUMNS.slice(2).map((column) => `\`${column}\` = VALUES(\`${column}\`)`)
  await session.query(`INSERT INTO rollups (${COLUMNS}) VALUES ${merged} ON DUPLICATE KEY UPDATE ${values}`)
}

function keyId({ user_id, day }: RollupKey): string {
  return idOf(scopeOf(user_id), day)
}

function rowId({ scope, day }: RollupRow): string {
  return idOf(scope, day)
}

function idOf(scope: Uint8Array, day: number): string {
  return `${Buffer.from(scope.buffer, scope.byteOffset, scope.byteLength).toString('hex')} ${day}`
}
