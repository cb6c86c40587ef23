import { type CreateTableBuilder, type Kysely, sql } from 'kysely'
import { type ColumnValue, columnType, type Dialect, uuidToBytes } from '../../../../store/columns.ts'
import type { Count, PlayList, PlaysPart, Song } from '../../plays/plays.ts'
import { decodeSum, type ExactSum, encodeSum, mergeSums, roundSum, ZERO_SUM } from '../../rollup/exact-sum.ts'

/**
 * The tables of what was played. `seconds` is the listening time rounded once, which is what lists are sorted by;
 * `exact` is the sum that it was rounded from, where a double does not hold it.
 *
 * - `play_names`: the texts of an item. An artist's row has no `song_name` and is its own `artist_item`.
 * - `play_times`: by scope (a user, or nobody's bytes for everybody), quarter hour and song: parts of a month, and any
 *   range of a user.
 * - `play_months`: everybody's by month and song: whole months of a range.
 * - `play_users`: a user's of all time, by artist and song.
 * - `play_lists`: everybody's of all time, songs and artists, with an index in the order of the answer.
 */
export const PLAY_TABLES = ['play_names', 'play_times', 'play_months', 'play_users', 'play_lists'] as const

type SumColumns = { plays: number; seconds: number; exact: Uint8Array | null }

export type PlaysDatabase = {
  play_names: { item: Uint8Array; artist_item: Uint8Array; song_name: string | null; artist: string }
  play_times: SumColumns & { scope: Uint8Array; quarter: number; item: Uint8Array }
  play_months: SumColumns & { month: number; item: Uint8Array }
  play_users: SumColumns & { user_id: Uint8Array; artist_item: Uint8Array; item: Uint8Array }
  play_lists: SumColumns & { list: number; item: Uint8Array }
}

export type CountTable = Exclude<(typeof PLAY_TABLES)[number], 'play_names'>

/** The columns of each table's key, in its order. */
export const KEYS = {
  play_times: ['scope', 'quarter', 'item'],
  play_months: ['month', 'item'],
  play_users: ['user_id', 'artist_item', 'item'],
  play_lists: ['list', 'item'],
} as const satisfies Record<CountTable, readonly string[]>

export const LIST_NUMBERS: Record<PlayList, number> = { songs: 0, artists: 1 }

export const NAME_COLUMNS = ['item', 'artist_item', 'song_name', 'artist'] as const

const NOBODY = Buffer.alloc(0)

/** The values of a row's key, the item last, and what is counted. */
export type PlayRow = { key: ColumnValue[]; count: Count }

/** The rows that a part adds to each table. */
export function rowsOf(part: PlaysPart): Record<CountTable, PlayRow[]> {
  return {
    play_times: part.times.map((row) => ({ key: [playScope(row.user_id), row.quarter, row.item], count: row })),
    play_months: part.months.map((row) => ({ key: [row.month, row.item], count: row })),
    play_users: part.users.map((row) => ({ key: [uuidToBytes(row.user_id), row.artist_item, row.item], count: row })),
    play_lists: part.lists.map((row) => ({ key: [LIST_NUMBERS[row.list], row.item], count: row })),
  }
}

export function playScope(userId: string | undefined): Uint8Array {
  return userId === undefined ? NOBODY : uuidToBytes(userId)
}

export type NameRow = [item: Uint8Array, artist_item: Uint8Array, song_name: string | null, artist: string]

/** The names of songs and of their artists, as rows of `play_names`. */
export function namesOf(songs: readonly Song[]): NameRow[] {
  const artists = new Map(songs.map((song) => [song.artist, song]))
  return [
    ...songs.map(({ item, artist_item, song_name, artist }): NameRow => [item, artist_item, song_name, artist]),
    ...[...artists.values()].map(({ artist_item, artist }): NameRow => [artist_item, artist_item, null, artist]),
  ]
}

/** The columns `plays`, `seconds` and `exact`. */
export function sumValues({ plays, seconds }: Count): [plays: number, seconds: number, exact: Uint8Array | null] {
  return [plays, roundSum(seconds), seconds.length > 1 ? encodeSum(seconds) : null]
}

export function sumOf({ seconds, exact }: Pick<SumColumns, 'seconds' | 'exact'>): ExactSum {
  if (exact !== null) return decodeSum(exact)
  return seconds === 0 ? ZERO_SUM : [seconds]
}

export function mergeCounts(row: SumColumns, count: Count): Count {
  return { plays: row.plays + count.plays, seconds: mergeSums(sumOf(row), count.seconds) }
}

export async function createPlayTables(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  const integer = sql.raw(sqlite ? 'integer' : 'bigint')
  const int = sql.raw(sqlite ? 'integer' : 'int')
  const item = sql.raw(sqlite ? 'blob' : 'binary(16)')
  const types = {
    scope: sql.raw(sqlite ? 'blob' : 'varbinary(16)'),
    user_id: item,
    artist_item: item,
    item,
    quarter: int,
    month: int,
    list: int,
  }
  const text = sql.raw(columnType(dialect, 'text', 512))
  const ending = sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`
  await db.schema
    .createTable('play_names')
    .ifNotExists()
    .addColumn('item', item, (column) => column.notNull())
    .addColumn('artist_item', item, (column) => column.notNull())
    .addColumn('song_name', text)
    .addColumn('artist', text, (column) => column.notNull())
    .addPrimaryKeyConstraint('play_names_key', ['item'])
    .modifyEnd(ending)
    .execute()
  for (const [table, key] of Object.entries(KEYS)) {
    let create: CreateTableBuilder<string, string> = db.schema.createTable(table).ifNotExists()
    for (const name of key) create = create.addColumn(name, types[name], (column) => column.notNull())
    create = create
      .addColumn('plays', integer, (column) => column.notNull())
      .addColumn('seconds', sql.raw(columnType(dialect, 'number')), (column) => column.notNull())
      // An exact sum of doubles spans at most 2,098 bits: 40 parts of 53 bits.
      .addColumn('exact', sql.raw(sqlite ? 'blob' : 'varbinary(320)'))
      .addPrimaryKeyConstraint(`${table}_key`, [...key])
    // MySQL has no `create index if not exists`, but makes a table with its indexes whole or not at all.
    if (!sqlite && table === 'play_lists') create = create.addIndex(ORDER, [...ORDER_COLUMNS])
    await create.modifyEnd(ending).execute()
  }
  if (sqlite)
    await db.schema
      .createIndex(ORDER)
      .on('play_lists')
      .columns([...ORDER_COLUMNS])
      .execute()
}

const ORDER = 'play_lists_order'
const ORDER_COLUMNS = ['list', 'plays', 'seconds'] as const
