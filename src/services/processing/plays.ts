import { hash } from 'node:crypto'
import type { RunifyEvent } from '../../events/catalogue.ts'
import type { EpochMs } from '../../events/instant.ts'
import { addExactly, type ExactSum, ZERO_SUM } from './exact-sum.ts'
import { QUARTER_MS } from './quarter-hours.ts'

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

/** Everybody's of all time. */
export type PlayList = 'songs' | 'artists'

/** The rows of one place of a table come together, so that its pages are looked for once. */
export function foldPlays(events: Iterable<RunifyEvent>): PlaysPart {
  const songs = new Map<string, Song>()
  const times = new Counts<PlaysPart['times'][number]>()
  const months = new Counts<PlaysPart['months'][number]>()
  const users = new Counts<PlaysPart['users'][number]>()
  const lists = new Counts<PlaysPart['lists'][number]>()
  for (const event of events) {
    if (event.type !== 'music_info') continue
    const { user_id, song_name, artist, song_duration, timestamp } = event.fields
    const { song, id, artistId } = songOf(song_name, artist)
    const { item, artist_item } = song
    songs.set(id, song)
    const quarter = Math.floor(timestamp / QUARTER_MS)
    const month = monthOf(timestamp)
    times.add(user_id + quarter, id, song_duration, () => ({ user_id, quarter, item, ...NONE }))
    times.add(`${quarter}`, id, song_duration, () => ({ user_id: undefined, quarter, item, ...NONE }))
    months.add(`${month}`, id, song_duration, () => ({ month, item, ...NONE }))
    users.add(user_id, id, song_duration, () => ({ user_id, artist_item, item, ...NONE }))
    lists.add('songs', id, song_duration, () => ({ list: 'songs', item, ...NONE }))
    lists.add('artists', artistId, song_duration, () => ({ list: 'artists', item: artist_item, ...NONE }))
  }
  return {
    songs: [...songs.values()],
    times: times.inOrder(),
    months: months.inOrder(),
    users: users.inOrder(),
    lists: lists.inOrder(),
  }
}

/**
 * The first 16 bytes of SHA-256 stand for a text of up to 1,024 characters in every key. Among a thousand million songs
 * two would share them with a chance of 1 in 10^21, and would then be counted as one.
 */
export function itemOf(kind: PlayList, artist: string, songName = ''): Buffer {
  return hash('sha256', `${kind} ${artist.length} ${artist}${songName}`, 'buffer').subarray(0, 16)
}

/** Months since January 1970, of UTC. */
export function monthOf(timestamp: EpochMs): number {
  const date = new Date(timestamp)
  return (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth()
}

/** The first quarter hour of a month. */
export function quarterOfMonth(month: number): number {
  return new Date(0).setUTCFullYear(1970, month, 1) / QUARTER_MS
}

const NONE: Count = { plays: 0, seconds: ZERO_SUM }

/** Rows by the place of a table in which they are, and what they are of there. */
class Counts<R extends Count> {
  readonly #places = new Map<string, Map<string, R>>()

  add(place: string, id: string, seconds: number, make: () => R): void {
    let rows = this.#places.get(place)
    if (rows === undefined) {
      rows = new Map()
      this.#places.set(place, rows)
    }
    let row = rows.get(id)
    if (row === undefined) {
      row = make()
      rows.set(id, row)
    }
    row.plays++
    row.seconds = addExactly(row.seconds, seconds)
  }

  inOrder(): R[] {
    const places = [...this.#places.keys()].sort()
    return places.flatMap((place) => [...(this.#places.get(place) as Map<string, R>).values()])
  }
}

type KnownSong = { song: Song; id: string; artistId: string }

/** Songs come again and again, and a hash costs more than a look here. */
const KNOWN_MAX = 4096
const known = new Map<string, KnownSong>()

function songOf(song_name: string, artist: string): KnownSong {
  const name = `${artist.length} ${artist}${song_name}`
  let found = known.get(name)
  if (found === undefined) {
    if (known.size >= KNOWN_MAX) known.clear()
    const item = itemOf('songs', artist, song_name)
    const artist_item = itemOf('artists', artist)
    const song = { item, artist_item, song_name, artist }
    found = { song, id: item.toString('latin1'), artistId: artist_item.toString('latin1') }
    known.set(name, found)
  }
  return found
}
