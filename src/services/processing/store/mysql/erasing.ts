import { chunksOf } from '../../../../store/mysql/chunks.ts'
import { literal, nameList, rowLiteral } from '../../../../store/mysql/literal.ts'
import type { MysqlSession } from '../../../../store/mysql/session.ts'
import { spanDays } from '../../days/quarter-hours.ts'
import { type ErasedUser, GlobalDays, ownDays, withoutPlays } from '../../erasure/erasing.ts'
import { decodeBestRuns, emptyBestRuns, encodeBestRuns, mergeBestRuns } from '../../rollup/best-runs.ts'
import { packRollup, unpackRollup } from '../../rollup/packed-quarters.ts'
import { EMPTY_ROLLUP, mergeRollups } from '../../rollup/rollup.ts'
import { readSong, readTime, type SumRow } from '../tables/erased-plays.ts'
import { type CountTable, KEYS, playScope, rowsOf } from '../tables/play-tables.ts'
import { scopeOf } from '../tables/statistics-tables.ts'
import { addDays } from './days.ts'
import { addPlays } from './plays.ts'

const EVERYBODY = literal(scopeOf(undefined))
/** Rows that are read at a time, and keys in one statement. */
const ROWS_MAX = 1000

/** Takes a user out of the tables, within the transaction that has the lock of those who fold. */
export async function eraseUser(session: MysqlSession, erased: ErasedUser): Promise<void> {
  await eraseDays(session, erased)
  await erasePlays(session, erased)
}

async function eraseDays(session: MysqlSession, { user_id, left }: ErasedUser): Promise<void> {
  const scope = literal(scopeOf(user_id))
  const weeks = await session.query<{ day: number }[]>(`SELECT day FROM quarter_hours WHERE scope = ${scope}`)
  await session.query(`DELETE FROM quarter_hours WHERE scope = ${scope}`)
  await session.query(`DELETE FROM scope_totals WHERE scope = ${scope}`)
  for (const { days } of left) await addDays(session, ownDays(days))
  for (const { day } of weeks) {
    const everybody = new GlobalDays(day)
    for await (const row of usersOf(session, 'quarter_hours', { columns: 'best, quarters', where: `day = ${day}` })) {
      everybody.add(row as unknown as { best: Uint8Array; quarters: Uint8Array })
    }
    const week = `BETWEEN ${day} AND ${day + spanDays(user_id) - 1}`
    await session.query(`DELETE FROM quarter_hours WHERE scope = ${EVERYBODY} AND day ${week}`)
    await addDays(session, { scopes: [], spans: everybody.spans() })
  }
  const rows = await session.query<{ total: Uint8Array }[]>(
    `SELECT total FROM quarter_hours WHERE scope = ${EVERYBODY}`,
  )
  const total = rows.reduce((sum, row) => mergeRollups(sum, unpackRollup(row.total)), EMPTY_ROLLUP)
  let best = emptyBestRuns()
  for await (const row of usersOf(session, 'scope_totals', { columns: 'best', where: 'TRUE' })) {
    best = mergeBestRuns(best, decodeBestRuns(row.best as Uint8Array))
  }
  const values = `total = ${literal(packRollup(total))}, best = ${literal(encodeBestRuns(best))}`
  await session.query(`UPDATE scope_totals SET version = version + 1, ${values} WHERE scope = ${EVERYBODY}`)
}

/** The rows of all users, some at a time. */
async function* usersOf(
  session: MysqlSession,
  table: string,
  { columns, where }: { columns: string; where: string },
): AsyncGenerator<Record<string, unknown>> {
  for (let after = EVERYBODY; ; ) {
    const rows = await session.query<(Record<string, unknown> & { scope: Uint8Array })[]>(
      `SELECT scope, ${columns} FROM ${table} WHERE ${where} AND scope > ${after} ORDER BY scope LIMIT ${ROWS_MAX}`,
    )
    yield* rows
    const last = rows.at(-1)
    if (last === undefined || rows.length < ROWS_MAX) return
    after = literal(last.scope)
  }
}

async function erasePlays(session: MysqlSession, { user_id, left }: ErasedUser): Promise<void> {
  const scope = literal(playScope(user_id))
  const times = await session.query<SumRow[]>(
    `SELECT quarter, item, plays, seconds, exact FROM play_times WHERE scope = ${scope}`,
  )
  const songs = await session.query<SumRow[]>(
    `SELECT artist_item, item, plays, seconds, exact FROM play_users WHERE user_id = ${scope}`,
  )
  const less = withoutPlays({ times: times.map(readTime), songs: songs.map(readSong) })
  await addPlays(session, less)
  await session.query(`DELETE FROM play_times WHERE scope = ${scope}`)
  await session.query(`DELETE FROM play_users WHERE user_id = ${scope}`)
  for (const [table, rows] of Object.entries(rowsOf(less))) {
    const key = nameList(KEYS[table as CountTable])
    for (const some of chunksOf(
      rows.map((row) => rowLiteral(row.key)),
      ROWS_MAX,
    )) {
      await session.query(`DELETE FROM ${table} WHERE (${key}) IN (${some}) AND plays = 0`)
    }
  }
  for (const { plays } of left) await addPlays(session, plays)
  for (const items of chunksOf(
    less.lists.map(({ item }) => literal(item)),
    ROWS_MAX,
  )) {
    const listed = 'SELECT 1 FROM play_lists WHERE list IN (0, 1) AND play_lists.item = play_names.item'
    await session.query(`DELETE FROM play_names WHERE item IN (${items}) AND NOT EXISTS (${listed})`)
  }
}
