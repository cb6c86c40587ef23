import { type Kysely, type RawBuilder, sql } from 'kysely'
import { dayFinder } from '../days/day-statistics.ts'
import { QUARTER_MS } from '../days/quarter-hours.ts'
import { type QuarterRange, quarterRanges } from '../days/quarter-ranges.ts'
import type { Coverage, PlayedQuery } from '../query.ts'
import { type ExactSum, mergeSums, roundSum, ZERO_SUM } from '../rollup/exact-sum.ts'
import { LIST_NUMBERS, playScope, sumOf } from '../store/tables/play-tables.ts'
import { readCursors, type StatisticsDatabase, scopeOf } from '../store/tables/statistics-tables.ts'
import { VersionCache } from '../version-cache.ts'
import { monthOf, type PlayList, quarterOfMonth } from './plays.ts'

/** How the most played are found: by SQL, which adds up as doubles do, and then exactly among those that may be it. */

type PlaysQuery = {
  list: PlayList
  user_id?: string | undefined
  /** Undefined for all time. In order, and apart from each other. */
  ranges?: readonly QuarterRange[] | undefined
  limit: number
}

/** `song_name` is null in a list of artists. Seconds are the exact sum, rounded once. */
export type Played = { song_name: string | null; artist: string; plays: number; seconds: number }

type Db = Kysely<StatisticsDatabase>
type Sql = RawBuilder<unknown>
/** `seconds` may be as far from the exact sum as `isBelow` allows for. */
type Group = { item: Buffer; plays: number; seconds: number }
type ExactRow = { item: Buffer; plays: number; seconds: number; exact: Uint8Array | null }

/** Rows of play tables that together hold what is asked for. */
type Source = {
  /** A query of item, plays, seconds, where an item may come several times. */
  rows: Sql
  /** Whether each item is one row, so that its seconds are exact already. */
  single: boolean
}

/** Of the answers that are kept, in characters: some 10,000 rows as people name songs, 4 MB at most. */
const KEPT_CHARACTERS_MAX = 2_000_000
/** What a row takes beside its names. */
const ROW_CHARACTERS = 100

/** What was played most. An answer is kept and given again while the version of its scope is the same. */
export class PlayLists {
  readonly #kept = new VersionCache<Played[]>(KEPT_CHARACTERS_MAX, charactersOf)

  /**
   * In falling order of plays, then of listening time, then by the code points of song_name and artist. Within one
   * transaction, so that all of it is of the same moment.
   */
  async read(db: Db, of: PlayedQuery): Promise<{ played: Played[] } & Coverage> {
    const { list, user_id, from, to, time_zone, limit } = of
    const key = [list, user_id, from, to, time_zone, limit].join(' ')
    const version = await readVersion(db, user_id)
    const coverage = await readCursors(db)
    if (version === undefined) return { played: [], ...coverage }
    const kept = this.#kept.get(key)
    if (kept?.version === version) return { played: kept.value, ...coverage }
    const ranges = quarterRanges(of, time_zone === undefined ? undefined : dayFinder(time_zone))
    const played = await readList(db, { list, user_id, ranges, limit })
    this.#kept.put(key, { version, value: played })
    return { played, ...coverage }
  }
}

function charactersOf(played: readonly Played[]): number {
  let characters = ROW_CHARACTERS
  for (const { song_name, artist } of played) characters += ROW_CHARACTERS + (song_name?.length ?? 0) + artist.length
  return characters
}

/** See `ScopeReading`. */
async function readVersion(db: Db, userId: string | undefined): Promise<number | undefined> {
  const row = await db
    .selectFrom('scope_totals')
    .select('version')
    .where('scope', '=', scopeOf(userId))
    .executeTakeFirst()
  return row?.version
}

async function readList(db: Db, query: PlaysQuery): Promise<Played[]> {
  // A day that a zone skipped.
  if (query.ranges?.length === 0) return []
  const source = sourceOf(query)
  const candidates = await findCandidates(db, source, query.limit)
  if (candidates.length === 0) return []
  const items = candidates.map(({ item }) => item)
  const counted = source.single ? candidates : await countExactly(db, source, items)
  const names = await readNames(db, items)
  return counted
    .map(({ item, plays, seconds }) => ({ ...(names.get(idOf(item)) as Names), plays, seconds }))
    .sort(inOrder)
    .slice(0, query.limit)
}

/** All that may be among the first `limit`. */
async function findCandidates(db: Db, { rows, single }: Source, limit: number): Promise<Group[]> {
  const grouped = single
    ? rows
    : sql`SELECT item, CAST(SUM(plays) AS signed) AS plays, SUM(seconds) AS seconds FROM (${rows}) AS counted GROUP BY item`
  const most = limit + SPARE
  const first = await run<Group>(
    db,
    sql`SELECT * FROM (${grouped}) AS played ORDER BY plays DESC, seconds DESC LIMIT ${sql.lit(most)}`,
  )
  const last = first[limit - 1]
  if (last === undefined) return first
  const [at, slack] = [Number(last.plays), single ? 0 : Number(last.seconds) * ERROR_MAX]
  const isBelow = ({ plays, seconds }: Group) => plays < at || (plays === at && seconds < last.seconds - slack)
  const enough = first.length < most || isBelow(first.at(-1) as Group)
  if (enough) return first.filter((group) => !isBelow(group))
  const above = first.filter(({ plays, seconds }) => plays > at || seconds > last.seconds + slack)
  const between = sql`played.plays = ${sql.lit(at)} AND played.seconds >= ${last.seconds - slack} AND played.seconds <= ${last.seconds + slack}`
  const ties = single
    ? sql`SELECT played.* FROM (${grouped}) AS played JOIN play_names AS name ON name.item = played.item WHERE ${between}
        ORDER BY name.song_name, name.artist LIMIT ${sql.lit(limit)}`
    : sql`SELECT * FROM (${grouped}) AS played WHERE ${between}`
  return [...above, ...(await run<Group>(db, ties))]
}

/** Beyond the limit, so that a look at those is seldom needed that are equal to the last one. */
const SPARE = 32
/** Of up to 2^23 doubles that are not negative, a plain sum is no further from the exact one than this part of it. */
const ERROR_MAX = 2 ** -29

async function countExactly(db: Db, { rows }: Source, items: readonly Buffer[]): Promise<Group[]> {
  const found = await run<ExactRow>(db, sql`SELECT * FROM (${rows}) AS counted WHERE item IN (${sql.join(items)})`)
  const sums = new Map<string, { item: Buffer; plays: number; sum: ExactSum }>()
  for (const row of found) {
    const id = idOf(row.item)
    const before = sums.get(id) ?? { item: row.item, plays: 0, sum: ZERO_SUM }
    sums.set(id, { ...before, plays: before.plays + row.plays, sum: mergeSums(before.sum, sumOf(row)) })
  }
  return [...sums.values()].map(({ item, plays, sum }) => ({ item, plays, seconds: roundSum(sum) }))
}

function sourceOf({ list, user_id, ranges }: PlaysQuery): Source {
  if (ranges !== undefined) {
    const rows = sql`${sql.join(rangeRows(user_id, ranges), sql` UNION ALL `)}`
    return { rows: list === 'songs' ? rows : byArtist(rows), single: false }
  }
  if (user_id === undefined) {
    const number = sql.lit(LIST_NUMBERS[list])
    return { rows: sql`SELECT item, plays, seconds, exact FROM play_lists WHERE list = ${number}`, single: true }
  }
  const item = list === 'songs' ? sql`item` : sql`artist_item AS item`
  const rows = sql`SELECT ${item}, plays, seconds, exact FROM play_users WHERE user_id = ${playScope(user_id)}`
  return { rows, single: list === 'songs' }
}

function byArtist(rows: Sql): Sql {
  return sql`SELECT name.artist_item AS item, song.plays, song.seconds, song.exact FROM (${rows}) AS song
    JOIN play_names AS name ON name.item = song.item`
}

/** Whole months of everybody are rows of their own; all else is read by quarter hours. */
function rangeRows(userId: string | undefined, ranges: readonly QuarterRange[]): Sql[] {
  const scope = playScope(userId)
  const ofTimes = ({ begin, end }: QuarterRange) =>
    sql`SELECT item, plays, seconds, exact FROM play_times
      WHERE scope = ${scope} AND quarter >= ${sql.lit(begin)} AND quarter < ${sql.lit(end)}`
  if (userId !== undefined) return ranges.map(ofTimes)
  return ranges.flatMap(({ begin, end }) => {
    const first = monthFrom(begin)
    const beyond = monthFrom(end + 1) - 1
    if (first >= beyond) return [ofTimes({ begin, end })]
    const [monthsBegin, monthsEnd] = [quarterOfMonth(first), quarterOfMonth(beyond)]
    return [
      sql`SELECT item, plays, seconds, exact FROM play_months WHERE month >= ${sql.lit(first)} AND month < ${sql.lit(beyond)}`,
      ...(begin < monthsBegin ? [ofTimes({ begin, end: monthsBegin })] : []),
      ...(monthsEnd < end ? [ofTimes({ begin: monthsEnd, end })] : []),
    ]
  })
}

/** The first month that begins at the quarter hour or later. */
function monthFrom(quarter: number): number {
  const month = monthOf(quarter * QUARTER_MS)
  return quarterOfMonth(month) === quarter ? month : month + 1
}

type Names = { song_name: string | null; artist: string }

async function readNames(db: Db, items: readonly Buffer[]): Promise<Map<string, Names>> {
  const rows = await run<Names & { item: Buffer }>(
    db,
    sql`SELECT item, song_name, artist FROM play_names WHERE item IN (${sql.join(items)})`,
  )
  return new Map(rows.map(({ item, song_name, artist }) => [idOf(item), { song_name, artist }]))
}

async function run<T>(db: Db, query: Sql): Promise<T[]> {
  const { rows } = await (query as RawBuilder<T>).execute(db)
  return rows
}

function inOrder(a: Played, b: Played): number {
  return (
    b.plays - a.plays ||
    b.seconds - a.seconds ||
    byCodePoints(a.song_name ?? '', b.song_name ?? '') ||
    byCodePoints(a.artist, b.artist)
  )
}

/** JavaScript compares the halves of surrogate pairs; UTF-8 sorts as code points do. */
function byCodePoints(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function idOf(item: Uint8Array): string {
  return Buffer.from(item.buffer, item.byteOffset, item.byteLength).toString('latin1')
}
