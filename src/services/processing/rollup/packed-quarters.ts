import type { Quarters } from '../days/quarter-hours.ts'
import type { ExactSum } from './exact-sum.ts'
import { mergeRollups, type Rollup } from './rollup.ts'

/**
 * Rollups as bytes. Counts are varints (LEB128), then come the numbers of doubles of the three sums, a byte each, then
 * the doubles, little-endian: the two maxima where there are two runs or more (of one run they are its sums), and the
 * sums. A span's quarters follow each other in order, each behind its number and its length, two bytes each: what is
 * not touched is copied without a look into it.
 */
const HEAD_BYTES = 4
/** Two counts of up to 2^53, three lengths, two maxima, three sums of at most 40 doubles. */
const ROLLUP_BYTES_MAX = 8 + 8 + 3 + 16 + 3 * 40 * 8

export function packRollup(rollup: Readonly<Rollup>): Uint8Array {
  reserve(0, ROLLUP_BYTES_MAX)
  return scratch.slice(0, writeRollup(0, rollup))
}

export function unpackRollup(bytes: Uint8Array): Rollup {
  return readRollup({ view: viewOf(bytes), at: 0 })
}

/** What stands before the sums of a rollup, and how many doubles each sum has. */
export type RollupHead = {
  runs: number
  plays: number
  distances: number
  durations: number
  songs: number
  /** 0 where there are fewer than two runs. */
  distanceMax: number
  durationMax: number
}

const head: RollupHead = { runs: 0, plays: 0, distances: 0, durations: 0, songs: 0, distanceMax: 0, durationMax: 0 }

/**
 * Reads the head of the rollup at the position, and moves the position to the doubles of its sums. Always the same object, which
 * holds until the next is read: a user's history has a hundred thousand of them.
 */
export function readHead(position: PackedPosition): Readonly<RollupHead> {
  const { view } = position
  head.runs = readCount(position)
  head.plays = readCount(position)
  head.distances = view.getUint8(position.at)
  head.durations = view.getUint8(position.at + 1)
  head.songs = view.getUint8(position.at + 2)
  position.at += 3
  head.distanceMax = head.runs > 1 ? readDouble(position) : 0
  head.durationMax = head.runs > 1 ? readDouble(position) : 0
  return head
}

/** The quarters of a row with others added to them. */
export function addQuarters(before: Uint8Array | undefined, added: Quarters): Uint8Array {
  const bytes = before ?? NOTHING
  const view = viewOf(bytes)
  let [read, written] = [0, 0]
  for (const [quarter, rollup] of [...added].sort(([a], [b]) => a - b)) {
    let end = read
    while (end < bytes.length && view.getUint16(end, true) < quarter) end += HEAD_BYTES + view.getUint16(end + 2, true)
    written = copy(written, bytes.subarray(read, end))
    read = end
    let sum: Readonly<Rollup> = rollup
    if (read < bytes.length && view.getUint16(read, true) === quarter) {
      sum = mergeRollups(readRollup({ view, at: read + HEAD_BYTES }), rollup)
      read += HEAD_BYTES + view.getUint16(read + 2, true)
    }
    reserve(written, HEAD_BYTES + ROLLUP_BYTES_MAX)
    const behind = writeRollup(written + HEAD_BYTES, sum)
    scratchView.setUint16(written, quarter, true)
    scratchView.setUint16(written + 2, behind - written - HEAD_BYTES, true)
    written = behind
  }
  written = copy(written, bytes.subarray(read))
  return scratch.slice(0, written)
}

/** Where a reader stands in packed bytes. */
export type PackedPosition = { view: DataView; at: number }

export function positionIn(bytes: Uint8Array): PackedPosition {
  return { view: viewOf(bytes), at: 0 }
}

/** The number of the next quarter, and the position at its rollup; -1 at the end. */
export function nextQuarter(position: PackedPosition): number {
  if (position.at >= position.view.byteLength) return -1
  const quarter = position.view.getUint16(position.at, true)
  position.at += HEAD_BYTES
  return quarter
}

/** Moves the position behind the rollup of `nextQuarter`. */
export function skipRollup(position: PackedPosition): void {
  position.at += position.view.getUint16(position.at - 2, true)
}

export function readRollup(position: PackedPosition): Rollup {
  const { runs, plays, distances, durations, songs, distanceMax, durationMax } = readHead(position)
  const distance = readSum(position, distances)
  const run_duration = readSum(position, durations)
  const song_duration = readSum(position, songs)
  return {
    runs,
    plays,
    max_distance: runs === 0 ? null : runs === 1 ? (distance[0] ?? 0) : distanceMax,
    max_duration: runs === 0 ? null : runs === 1 ? (run_duration[0] ?? 0) : durationMax,
    distance,
    run_duration,
    song_duration,
  }
}

/** LEB128 of a whole number up to 2^53, nearly always one byte. */
function readCount(position: PackedPosition): number {
  let byte = position.view.getUint8(position.at++)
  if (byte < 0x80) return byte
  let count = byte & 0x7f
  for (let unit = 0x80; byte >= 0x80; unit *= 0x80) {
    byte = position.view.getUint8(position.at++)
    count += (byte & 0x7f) * unit
  }
  return count
}

export function readDouble(position: PackedPosition): number {
  const value = position.view.getFloat64(position.at, true)
  position.at += 8
  return value
}

function readSum(position: PackedPosition, doubles: number): ExactSum {
  const sum: number[] = []
  for (let index = 0; index < doubles; index++) sum.push(readDouble(position))
  return sum
}

const NOTHING = new Uint8Array(0)

/** What is being written; a copy of it is given away. Grows with the largest row and stays. */
let scratch = new Uint8Array(64 * 1024)
let scratchView = viewOf(scratch)

function reserve(at: number, bytes: number): void {
  if (at + bytes <= scratch.length) return
  const grown = new Uint8Array(Math.max(scratch.length * 2, at + bytes))
  grown.set(scratch)
  scratch = grown
  scratchView = viewOf(grown)
}

function copy(at: number, bytes: Uint8Array): number {
  reserve(at, bytes.length)
  scratch.set(bytes, at)
  return at + bytes.length
}

/** Writes into the scratch bytes, which must have room, and gives the position behind it. */
function writeRollup(at: number, rollup: Readonly<Rollup>): number {
  const { runs, plays, max_distance, max_duration, distance, run_duration, song_duration } = rollup
  let next = writeCount(writeCount(at, runs), plays)
  for (const sum of [distance, run_duration, song_duration]) scratchView.setUint8(next++, sum.length)
  const maxima = runs > 1 ? [max_distance as number, max_duration as number] : []
  for (const doubles of [maxima, distance, run_duration, song_duration]) {
    for (const double of doubles) {
      scratchView.setFloat64(next, double, true)
      next += 8
    }
  }
  return next
}

function writeCount(at: number, count: number): number {
  if (!Number.isSafeInteger(count) || count < 0) throw new RangeError(`${count} is no count`)
  let [next, rest] = [at, count]
  while (rest >= 0x80) {
    scratchView.setUint8(next++, (rest % 0x80) + 0x80)
    rest = Math.floor(rest / 0x80)
  }
  scratchView.setUint8(next++, rest)
  return next
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
