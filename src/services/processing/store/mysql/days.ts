import { chunksOf } from '../../../../store/mysql/chunks.ts'
import type { MysqlDatabase } from '../../../../store/mysql/database.ts'
import { literal, rowLiteral } from '../../../../store/mysql/literal.ts'
import type { MysqlSession } from '../../../../store/mysql/session.ts'
import type { DaysPart } from '../../days/quarter-hours.ts'
import { addQuarters } from '../../rollup/packed-quarters.ts'
import { EMPTY_ROLLUP } from '../../rollup/rollup.ts'
import { firstVersion, mergeRow, type ScopeQuery, type ScopeReading } from '../tables/day-tables.ts'
import { coverageOf, scopeOf } from '../tables/statistics-tables.ts'

/** Rows in one statement: few enough for the server to look each up by its key. */
const STATEMENT_ROWS_MAX = 1000
/** Characters of one INSERT: far below what the server takes. */
const STATEMENT_LENGTH_MAX = 4 * 1024 * 1024

type Scope = DaysPart['scopes'][number]
type Span = DaysPart['spans'][number]
type Row = {
  scope: Uint8Array
  day?: number
  version: number
  total: Uint8Array
  best: Uint8Array
  quarters: Uint8Array
}

/** Adds the part to its tables, within the transaction of a fold. */
export async function addDays(session: MysqlSession, { scopes, spans }: DaysPart): Promise<void> {
  for (const some of chunksOf(scopes, STATEMENT_ROWS_MAX)) await addScopes(session, some)
  for (const some of chunksOf(spans, STATEMENT_ROWS_MAX)) await addSpans(session, some)
}

/** What is locked by whoever folds; makes it where it is missing, for what is not there cannot be locked. */
export async function lockGlobalScope(session: MysqlSession): Promise<void> {
  const row = rowLiteral([scopeOf(undefined), firstVersion(), mergeRow(undefined, NOTHING).total, new Uint8Array(0)])
  await session.query(
    `INSERT INTO scope_totals (scope, version, total, best) VALUES ${row} ON DUPLICATE KEY UPDATE version = version`,
  )
}

async function addScopes(session: MysqlSession, scopes: readonly Scope[]): Promise<void> {
  const places = scopes.map(({ user_id }) => literal(scopeOf(user_id)))
  const rows = await session.query<Row[]>(
    `SELECT scope, version, total, best FROM scope_totals WHERE scope IN (${places}) FOR UPDATE`,
  )
  const before = new Map(rows.map((row) => [idOf(row.scope), row]))
  const merged = scopes.map(({ user_id, ...added }) => {
    const scope = scopeOf(user_id)
    const row = before.get(idOf(scope))
    const { total, best } = mergeRow(row, added)
    return rowLiteral([scope, row === undefined ? firstVersion() : row.version + 1, total, best])
  })
  await insert(session, {
    into: 'scope_totals (scope, version, total, best)',
    rows: merged,
    put: ['version', 'total', 'best'],
  })
}

async function addSpans(session: MysqlSession, spans: readonly Span[]): Promise<void> {
  const places = spans.map(({ user_id, day }) => rowLiteral([scopeOf(user_id), day]))
  const rows = await session.query<Row[]>(
    `SELECT scope, day, total, best, quarters FROM quarter_hours WHERE (scope, day) IN (${places}) FOR UPDATE`,
  )
  const before = new Map(rows.map((row) => [idOf(row.scope, row.day), row]))
  const merged = spans.map(({ user_id, day, quarters, ...added }) => {
    const scope = scopeOf(user_id)
    const row = before.get(idOf(scope, day))
    const { total, best } = mergeRow(row, added)
    return rowLiteral([scope, day, total, best, addQuarters(row?.quarters, quarters)])
  })
  await insert(session, {
    into: 'quarter_hours (scope, day, total, best, quarters)',
    rows: merged,
    put: ['total', 'best', 'quarters'],
  })
}

async function insert(
  session: MysqlSession,
  { into, rows, put }: { into: string; rows: readonly string[]; put: readonly string[] },
): Promise<void> {
  const assignments = put.map((column) => `${column} = VALUES(${column})`)
  const send = (some: readonly string[]) =>
    session.query(`INSERT INTO ${into} VALUES ${some} ON DUPLICATE KEY UPDATE ${assignments}`)
  let waiting: string[] = []
  let length = 0
  for (const row of rows) {
    if (waiting.length > 0 && length + row.length > STATEMENT_LENGTH_MAX) {
      await send(waiting)
      waiting = []
      length = 0
    }
    waiting.push(row)
    length += row.length
  }
  await send(waiting)
}

/** In one statement, for what one statement reads is of one moment; and a user waits for one round trip only. */
export async function readScope<DB>(database: MysqlDatabase<DB>, query: ScopeQuery): Promise<ScopeReading> {
  const [head, ...spans] = await database.select<HeadRow & SpanRow>(scopeStatement(query))
  const { version, total, best, cursors } = head as HeadRow
  const rows = (JSON.parse(cursors ?? '[]') as [string, number, number, number | null, number][]).map(
    ([topic, partition_id, next, updated, uncounted]) => ({ topic, partition_id, next, updated, uncounted }),
  )
  return {
    version: version ?? undefined,
    total: total ?? undefined,
    best: best ?? undefined,
    spans: spans.map(({ day, span_total, quarters }) => ({ day, total: span_total, quarters })),
    ...coverageOf(rows),
  }
}

type HeadRow = { version: number | null; total: Uint8Array | null; best: Uint8Array | null; cursors: string | null }
type SpanRow = { day: number; span_total: Uint8Array | null; quarters: Uint8Array | null }

/** The scope and the cursors in the first row, then the spans. */
function scopeStatement({ user_id, ranges, limit, known }: ScopeQuery): string {
  const scope = literal(scopeOf(user_id))
  const unknown =
    known === undefined
      ? ''
      : ` AND NOT EXISTS (SELECT 1 FROM scope_totals WHERE scope = ${scope} AND version = ${known})`
  const spans = ranges.map(
    ({ from, to, quarters }) =>
      `UNION ALL (SELECT NULL, NULL, NULL, NULL, day, ${quarters ? 'NULL, quarters' : 'total, NULL'} FROM quarter_hours ` +
      `WHERE scope = ${scope} AND day BETWEEN ${from} AND ${to}${unknown} ORDER BY day LIMIT ${limit ?? ROWS_MAX})`,
  )
  const head =
    'SELECT s.version, s.total, s.best, c.cursors, NULL AS day, NULL AS span_total, NULL AS quarters FROM ' +
    '(SELECT (SELECT CAST(JSON_ARRAYAGG(JSON_ARRAY(topic, partition_id, next, updated, uncounted)) AS CHAR) FROM counted_cursors) ' +
    `AS cursors) c LEFT JOIN scope_totals s ON s.scope = ${scope}`
  return `${head} ${spans.join(' ')}`
}

/** More than there are days. */
const ROWS_MAX = 10_000_000
const NOTHING = { total: EMPTY_ROLLUP, best: [] }

function idOf(scope: Uint8Array, day = 0): string {
  return `${Buffer.from(scope.buffer, scope.byteOffset, scope.byteLength).toString('hex')} ${day}`
}
