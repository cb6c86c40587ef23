import type { EpochMs } from '../../../events/instant.ts'
import { uuidToBytes } from '../../../store/columns.ts'

/**
 * What is remembered of one user in one topic, so that the next event can be judged: bounded, and the same for the same
 * records in the same order. Runs and plays have no part of it in common, because their topics are read at different
 * speeds, and after a restart at others.
 */
export type UserState<E extends Remembered> = {
  /** By timestamp, then trace_id. */
  events: E[]
  /** How many came in each of the last 60 seconds in which some did, oldest first. */
  arrivals: Arrival[]
  /** Whether the rate has been too high and has not fallen yet. */
  inBurst: boolean
}

export type Remembered = { trace_id: string; timestamp: EpochMs }
/** Seconds and metres, as sent. */
export type KnownRun = Remembered & { duration: number; distance: number }
export type KnownPlay = Remembered & { song_duration: number }
/** `second`: of the log's clock, since 1970. */
export type Arrival = { second: number; count: number }

/** How many are remembered, and for how long before the newest, milliseconds. */
export type MemoryBounds = { eventsMax: number; ageMsMax: number }

/** What a clock may be ahead; an event that says to begin later is judged and not remembered: it would age all others. */
const AHEAD_MS_MAX = 86_400_000

export function emptyState<E extends Remembered>(): UserState<E> {
  return { events: [], arrivals: [], inBurst: false }
}

export function knows({ events }: UserState<Remembered>, traceId: string): boolean {
  return events.some(({ trace_id }) => trace_id === traceId)
}

/** Puts the event in its place and forgets what is beyond the bounds. `now` is when the log took the event. */
export function remember<E extends Remembered>(
  { events }: UserState<E>,
  event: E,
  { eventsMax, ageMsMax, now }: MemoryBounds & { now: EpochMs },
): void {
  if (event.timestamp > now + AHEAD_MS_MAX) return
  events.splice(placeOf(events, event), 0, event)
  const oldest = (events.at(-1) as E).timestamp - ageMsMax
  const old = events.findIndex(({ timestamp }) => timestamp >= oldest)
  events.splice(0, Math.max(old, events.length - eventsMax))
}

/** Where it is or would be among the events. */
export function placeOf(events: readonly Remembered[], event: Remembered): number {
  let [low, high] = [0, events.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isBefore(events[middle] as Remembered, event)) low = middle + 1
    else high = middle
  }
  return low
}

/** Counts an arrival and gives how many there were in this second and the 59 before it. */
export function countArrival(state: UserState<Remembered>, at: EpochMs): number {
  // A state has 32 bits for it; only a clock that is far from right needs more.
  const second = Math.min(Math.max(0, Math.floor(at / 1000)), 0xffff_ffff)
  // The log's time does not go back within a partition; a user may come from another one when partitions were added.
  const arrivals = state.arrivals.filter((arrival) => arrival.second > second - 60 && arrival.second <= second)
  const last = arrivals.at(-1)
  if (last?.second === second) arrivals[arrivals.length - 1] = { second, count: last.count + 1 }
  else arrivals.push({ second, count: 1 })
  state.arrivals = arrivals
  return arrivals.reduce((sum, { count }) => sum + count, 0)
}

/** How an event of a type is written: as so many doubles behind its id. */
export type EventForm<E extends Remembered> = {
  numbersCount: number
  numbers: (event: E) => readonly number[]
  event: (trace_id: string, number: (n: number) => number) => E
}

export const RUN_FORM: EventForm<KnownRun> = {
  numbersCount: 3,
  numbers: ({ timestamp, duration, distance }) => [timestamp, duration, distance],
  event: (trace_id, number) => ({ trace_id, timestamp: number(0), duration: number(1), distance: number(2) }),
}

export const PLAY_FORM: EventForm<KnownPlay> = {
  numbersCount: 2,
  numbers: ({ timestamp, song_duration }) => [timestamp, song_duration],
  event: (trace_id, number) => ({ trace_id, timestamp: number(0), song_duration: number(1) }),
}

const VERSION = 1
const HEAD_BYTES = 4
const ARRIVAL_BYTES = 8
const ID_BYTES = 16

/** Little-endian: version, whether in a burst, count of arrivals (16 bits), arrivals of two 32-bit numbers, events. */
export function encodeState<E extends Remembered>(state: UserState<E>, form: EventForm<E>): Uint8Array {
  const { events, arrivals, inBurst } = state
  const eventBytes = ID_BYTES + 8 * form.numbersCount
  const bytes = Buffer.alloc(HEAD_BYTES + ARRIVAL_BYTES * arrivals.length + eventBytes * events.length)
  bytes.writeUInt8(VERSION, 0)
  bytes.writeUInt8(inBurst ? 1 : 0, 1)
  bytes.writeUInt16LE(arrivals.length, 2)
  let at = HEAD_BYTES
  for (const { second, count } of arrivals) {
    bytes.writeUInt32LE(second, at)
    bytes.writeUInt32LE(count, at + 4)
    at += ARRIVAL_BYTES
  }
  for (const event of events) {
    bytes.set(uuidToBytes(event.trace_id), at)
    at += ID_BYTES
    for (const number of form.numbers(event)) at = bytes.writeDoubleLE(number, at)
  }
  return bytes
}

export function decodeState<E extends Remembered>(encoded: Uint8Array, form: EventForm<E>): UserState<E> {
  const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength)
  if (bytes[0] !== VERSION) throw new Error(`a user's state is of version ${bytes[0]}, not ${VERSION}`)
  const arrivals: Arrival[] = []
  const eventsAt = HEAD_BYTES + ARRIVAL_BYTES * bytes.readUInt16LE(2)
  for (let at = HEAD_BYTES; at < eventsAt; at += ARRIVAL_BYTES) {
    arrivals.push({ second: bytes.readUInt32LE(at), count: bytes.readUInt32LE(at + 4) })
  }
  const events: E[] = []
  // Several times as quick as the buffer's own methods, and most of the time of judging a runner goes here.
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const ids = bytes.toString('hex')
  let at = eventsAt
  const number = (n: number) => view.getFloat64(at + ID_BYTES + 8 * n, true)
  for (; at < bytes.length; at += ID_BYTES + 8 * form.numbersCount) events.push(form.event(uuidAt(ids, 2 * at), number))
  return { events, arrivals, inBurst: bytes[1] === 1 }
}

function uuidAt(hex: string, at: number): string {
  const part = (from: number, to: number) => hex.slice(at + from, at + to)
  return `${part(0, 8)}-${part(8, 12)}-${part(12, 16)}-${part(16, 20)}-${part(20, 32)}`
}

export function isBefore(a: Remembered, b: Remembered): boolean {
  return a.timestamp === b.timestamp ? a.trace_id < b.trace_id : a.timestamp < b.timestamp
}
