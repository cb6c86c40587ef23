import { hash } from 'node:crypto'
import type { EventFields, RunifyEvent } from '../../../events/catalogue.ts'
import type { EpochMs } from '../../../events/instant.ts'
import { QUARTER_MS } from '../days/quarter-hours.ts'
import { addExactly, type ExactSum, mergeSums, ZERO_SUM } from '../rollup/exact-sum.ts'

/** What was played: a song is its name and artist exactly as they were sent. Items are 16 bytes, see `itemOf`. */
export type Song = { item: Buffer; artist_item: Buffer; song_name: string; artist: string }

export type Count = { plays: number; seconds: ExactSum }

/** Plays by what their row is found by. `user_id` is undefined for everybody. */
export type PlaysPart = {
  songs: readonly Song[]
  times: readonly (Count & { user_id: string | undefined; quarter: number; item: Buffer })[]
  months: readonly (Count & { month: number; item: Buffer })[]
  users: readonly (Count & { user_id: string; artist_item: Buffer; item: Buffer })[]
  lists: readonly (Count & { list: PlayList; item: Buffer })[]
}

/** The global totals of all time. */
export type PlayList = 'songs' | 'artists'

/**
 * Rows come in the order of their places, so that what lies together in a table is touched together. Within a part there is
 * one buffer for each item. Takes up to `FOLD_MAX` events.
 */
export function foldPlays(events: Iterable<RunifyEvent>): PlaysPart {
  const plays = [...events].filter((event) => event.type === 'music_info')
  if (plays.length > FOLD_MAX) throw new RangeError(`${plays.length} plays are more than ${FOLD_MAX}`)
  const users = rank(plays.map(({ fields }) => fields.user_id))
  const quarters = rank(plays.map(({ fields }) => Math.floor(fields.timestamp / QUARTER_MS)))
  const names = new Names()
  const times = new Counts<PlaysPart['times'][number]>()
  const everybodysTimes = new Counts<PlaysPart['times'][number]>()
  const months = new Counts<PlaysPart['months'][number]>()
  const userSongs = new Counts<PlaysPart['users'][number]>()
  const songs = new Counts<PlaysPart['lists'][number]>()
  const artists = new Counts<PlaysPart['lists'][number]>()
  for (const { fields } of plays) {
    const { user_id, song_duration, timestamp } = fields
    const { item, number, by } = names.songOf(fields)
    const quarter = Math.floor(timestamp / QUARTER_MS)
    const month = monthOf(timestamp)
    const [user, time] = [users.get(user_id) as number, quarters.get(quarter) as number]
    const once: Count = { plays: 1, seconds: addExactly(ZERO_SUM, song_duration) }
    times.add((user * FOLD_MAX + time) * FOLD_MAX + number, once, () => ({ user_id, quarter, item, ...once }))
    everybodysTimes.add(time * FOLD_MAX + number, once, () => ({ user_id: undefined, quarter, item, ...once }))
    months.add(month * FOLD_MAX + number, once, () => ({ month, item, ...once }))
    userSongs.add(user * FOLD_MAX + number, once, () => ({ user_id, artist_item: by.item, item, ...once }))
    songs.add(number, once, () => ({ list: 'songs', item, ...once }))
    artists.add(by.number, once, () => ({ list: 'artists', item: by.item, ...once }))
  }
  return {
    songs: names.songs,
    times: [...everybodysTimes.inOrder(), ...times.inOrder()],
    months: months.inOrder(),
    users: userSongs.inOrder(),
    lists: [...songs.inOrder(), ...artists.inOrder()],
  }
}

/** Three numbers below it are one that a double holds. */
const FOLD_MAX = 200_000

/**
 * The first 16 bytes of SHA-256 stand for a text of up to 1,024 characters in every key. Among a thousand million songs
 * two would share them with a chance of 1 in 10^21, and would then be counted as one.
 */
export function itemOf(kind: PlayList, artist: string, songName = ''): Buffer {
  const text = `${kind} ${artist.length} ${artist}${songName}`
  let item = known.get(text)
  if (item === undefined) {
    if (known.size >= KNOWN_MAX) known.clear()
    // By way of text, which costs half of what a buffer of the whole hash does.
    item = Buffer.from(hash('sha256', text, 'latin1').slice(0, 16), 'latin1')
    known.set(text, item)
  }
  return item
}

/** Songs come again and again, and a hash costs more than a look here. */
const KNOWN_MAX = 8192
const known = new Map<string, Buffer>()

/** Months since January 1970, of UTC. */
export function monthOf(timestamp: EpochMs): number {
  const date = new Date(timestamp)
  return (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth()
}

/** The first quarter hour of a month. */
export function quarterOfMonth(month: number): number {
  return new Date(0).setUTCFullYear(1970, month, 1) / QUARTER_MS
}

/** Where each of the values stands when they are sorted. */
function rank<V extends string | number>(values: readonly V[]): Map<V, number> {
  const sorted = [...new Set(values)].sort((a, b) => (a < b ? -1 : 1))
  return new Map(sorted.map((value, index) => [value, index]))
}

/** Rows by a number that stands for the values of their key, in their order. */
class Counts<R extends Count> {
  readonly #rows = new Map<number, R>()

  /** `make` gives the row of a key that has been counted once. */
  add(key: number, { seconds }: Count, make: () => R): void {
    const row = this.#rows.get(key)
    if (row === undefined) {
      this.#rows.set(key, make())
      return
    }
    row.plays++
    row.seconds = mergeSums(row.seconds, seconds)
  }

  inOrder(): R[] {
    const keys = Float64Array.from(this.#rows.keys()).sort()
    return Array.from(keys, (key) => this.#rows.get(key) as R)
  }
}

type Artist = { item: Buffer; number: number; songs: Map<string, NumberedSong> }
type NumberedSong = Song & { number: number; by: Artist }

/** The songs and artists of a part, each with a number. */
class Names {
  readonly songs: Song[] = []
  readonly #artists = new Map<string, Artist>()

  songOf({ song_name, artist }: EventFields<'music_info'>): NumberedSong {
    let by = this.#artists.get(artist)
    if (by === undefined) {
      by = { item: itemOf('artists', artist), number: this.#artists.size, songs: new Map() }
      this.#artists.set(artist, by)
    }
    let song = by.songs.get(song_name)
    if (song === undefined) {
      const item = itemOf('songs', artist, song_name)
      song = { item, artist_item: by.item, song_name, artist, number: this.songs.length, by }
      by.songs.set(song_name, song)
      this.songs.push(song)
    }
    return song
  }
}
