import type { DatabaseSync } from 'node:sqlite'
import { type DaysPart, spanDays } from '../../days/quarter-hours.ts'
import { type ErasedUser, GlobalDays, ownDays, withoutPlays } from '../../erasure/erasing.ts'
import type { PlaysPart } from '../../plays/plays.ts'
import { decodeBestRuns, emptyBestRuns, encodeBestRuns, mergeBestRuns } from '../../rollup/best-runs.ts'
import { packRollup, unpackRollup } from '../../rollup/packed-quarters.ts'
import { EMPTY_ROLLUP, mergeRollups } from '../../rollup/rollup.ts'
import { readSong, readTime, type SumRow } from '../tables/erased-plays.ts'
import { type CountTable, KEYS, playScope, rowsOf } from '../tables/play-tables.ts'
import { scopeOf } from '../tables/statistics-tables.ts'

type Add = { days: (days: DaysPart) => void; plays: (plays: PlaysPart) => void }
type Best = { best: Uint8Array }

/** Prepares the statements that take a user out of the tables, within one transaction. */
export function prepareErasing(database: DatabaseSync, add: Add): (erased: ErasedUser) => void {
  const eraseDays = prepareDays(database, add)
  const erasePlays = preparePlays(database, add)
  return (erased) => {
    eraseDays(erased)
    erasePlays(erased)
  }
}

function prepareDays(database: DatabaseSync, add: Add): (erased: ErasedUser) => void {
  const weeksOf = database.prepare('SELECT day FROM quarter_hours WHERE scope = ?')
  const removeSpans = database.prepare('DELETE FROM quarter_hours WHERE scope = ?')
  const removeScope = database.prepare('DELETE FROM scope_totals WHERE scope = ?')
  const removeDays = database.prepare("DELETE FROM quarter_hours WHERE scope = x'' AND day BETWEEN ? AND ?")
  const ofUsers = database.prepare("SELECT best, quarters FROM quarter_hours WHERE day = ? AND scope <> x''")
  const totals = database.prepare("SELECT total FROM quarter_hours WHERE scope = x''")
  const bests = database.prepare("SELECT best FROM scope_totals WHERE scope <> x''")
  const put = database.prepare("UPDATE scope_totals SET version = version + 1, total = ?, best = ? WHERE scope = x''")
  return ({ user_id, left }) => {
    const scope = scopeOf(user_id)
    const weeks = weeksOf.all(scope) as { day: number }[]
    removeSpans.run(scope)
    removeScope.run(scope)
    for (const { days } of left) add.days(ownDays(days))
    for (const { day } of weeks) {
      const everybody = new GlobalDays(day)
      for (const row of ofUsers.iterate(day)) everybody.add(row as { best: Uint8Array; quarters: Uint8Array })
      removeDays.run(day, day + spanDays(user_id) - 1)
      add.days({ scopes: [], spans: everybody.spans() })
    }
    let total = EMPTY_ROLLUP
    for (const row of totals.iterate()) total = mergeRollups(total, unpackRollup(row.total as Uint8Array))
    let best = emptyBestRuns()
    for (const row of bests.iterate()) best = mergeBestRuns(best, decodeBestRuns((row as Best).best))
    put.run(packRollup(total), encodeBestRuns(best))
  }
}

function preparePlays(database: DatabaseSync, add: Add): (erased: ErasedUser) => void {
  const times = database.prepare('SELECT quarter, item, plays, seconds, exact FROM play_times WHERE scope = ?')
  const songs = database.prepare('SELECT artist_item, item, plays, seconds, exact FROM play_users WHERE user_id = ?')
  const removeTimes = database.prepare('DELETE FROM play_times WHERE scope = ?')
  const removeSongs = database.prepare('DELETE FROM play_users WHERE user_id = ?')
  const removeEmpty = Object.fromEntries(
    Object.entries(KEYS).map(([table, key]) => {
      const where = key.map((name) => `${name} = ?`).join(' AND ')
      return [table, database.prepare(`DELETE FROM ${table} WHERE ${where} AND plays = 0`)]
    }),
  ) as Record<CountTable, ReturnType<DatabaseSync['prepare']>>
  const removeName = database.prepare(
    'DELETE FROM play_names WHERE item = ?1 AND NOT EXISTS (SELECT 1 FROM play_lists WHERE list IN (0, 1) AND item = ?1)',
  )
  return ({ user_id, left }) => {
    const scope = playScope(user_id)
    const less = withoutPlays({
      times: (times.all(scope) as SumRow[]).map(readTime),
      songs: (songs.all(scope) as SumRow[]).map(readSong),
    })
    add.plays(less)
    removeTimes.run(scope)
    removeSongs.run(scope)
    for (const [table, rows] of Object.entries(rowsOf(less))) {
      for (const { key } of rows) removeEmpty[table as CountTable].run(...key)
    }
    for (const { plays } of left) add.plays(plays)
    for (const { item } of less.lists) removeName.run(item)
  }
}
