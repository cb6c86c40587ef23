import type { PlayedSong, PlayedTime } from '../../erasure/erasing.ts'
import { sumOf } from './play-tables.ts'

/** A row of `play_times` or `play_users`, as both databases give it. */
export type SumRow = {
  quarter: number
  artist_item: Uint8Array
  item: Uint8Array
  plays: number
  seconds: number
  exact: Uint8Array | null
}

export function readTime(row: SumRow): PlayedTime {
  return { quarter: row.quarter, item: Buffer.from(row.item), plays: row.plays, seconds: sumOf(row) }
}

export function readSong(row: SumRow): PlayedSong {
  return {
    artist_item: Buffer.from(row.artist_item),
    item: Buffer.from(row.item),
    plays: row.plays,
    seconds: sumOf(row),
  }
}
