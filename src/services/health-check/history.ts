import type { EpochMs } from '../../events/instant.ts'

/** What one question gave: whether the service was well, and how long it took to say so. */
export type Observation = { time: EpochMs; healthy: boolean /** Undefined where no answer came. */; ms?: number }

export type Summary = {
  /** How often it was asked. */
  asked: number
  /** Percent of the questions to which it was healthy; null when it was not asked. */
  uptime: number | null
  /** Milliseconds to an answer, within 12 %; null when none came. */
  latency_p50: number | null
  latency_p99: number | null
}

/** A minute: its number since 1970, how often was asked and with success, then pairs of a latency's bound and how often. */
export type SavedMinutes = readonly (readonly number[])[]

const MINUTE_MS = 60_000
/** What an `Int32Array` holds: the year 6053. */
const MINUTE_MAX = 0x7fff_ffff
export const HISTORY_MINUTES = 24 * 60
/** Each bound is 1.25 times the one before: 0.5 ms to 12 s and more. */
const BOUND_FIRST_MS = 0.5
const BOUND_FACTOR = 1.25
const BOUNDS = 46

/**
 * A day of observations of one service, in a ring of minutes. However often it is asked, and however long this runs, it
 * takes the same 150 kB: a minute keeps counts, not observations. What is older than a day is written over.
 */
export class History {
  /** Which minute since 1970 a place of the ring holds. */
  readonly #minutes = new Int32Array(HISTORY_MINUTES).fill(-1)
  readonly #asked = new Uint16Array(HISTORY_MINUTES)
  readonly #healthy = new Uint16Array(HISTORY_MINUTES)
  readonly #latencies = new Uint16Array(HISTORY_MINUTES * BOUNDS)

  add({ time, healthy, ms }: Observation): void {
    const minute = Math.floor(time / MINUTE_MS)
    const place = minute % HISTORY_MINUTES
    if (this.#minutes[place] !== minute) this.#begin(place, minute)
    increment(this.#asked, place)
    if (healthy) increment(this.#healthy, place)
    if (ms !== undefined) increment(this.#latencies, place * BOUNDS + boundOf(ms))
  }

  /** The minutes of the day that ends at `now`, for `fromMinutes`. */
  toMinutes(now: EpochMs): SavedMinutes {
    const last = Math.floor(now / MINUTE_MS)
    const saved: number[][] = []
    for (let place = 0; place < HISTORY_MINUTES; place++) {
      const minute = this.#minutes[place] as number
      if (minute > last || minute <= last - HISTORY_MINUTES) continue
      const latencies: number[] = []
      for (let at = 0; at < BOUNDS; at++) if (this.#latency(place, at) > 0) latencies.push(at, this.#latency(place, at))
      saved.push([minute, this.#asked[place] as number, this.#healthy[place] as number, ...latencies])
    }
    return saved
  }

  /** Throws where they are none. */
  static fromMinutes(saved: SavedMinutes): History {
    const history = new History()
    for (const [minute = -1, asked = -1, healthy = -1, ...latencies] of saved) {
      const counts = [asked, healthy, ...latencies]
      const isMinute = Number.isInteger(minute) && minute >= 0 && minute <= MINUTE_MAX && latencies.length % 2 === 0
      if (!isMinute || !counts.every((count) => Number.isInteger(count) && count >= 0 && count <= 0xffff)) {
        throw new Error(`${JSON.stringify([minute, ...counts])} is no minute of a history`)
      }
      const place = minute % HISTORY_MINUTES
      history.#begin(place, minute)
      history.#asked[place] = asked
      history.#healthy[place] = healthy
      for (let n = 0; n < latencies.length; n += 2) {
        const at = latencies[n] as number
        if (at < BOUNDS) history.#latencies[place * BOUNDS + at] = latencies[n + 1] as number
      }
    }
    return history
  }

  /** Of the last `minutes`, the one of `now` among them; 1…1440. */
  summary({ now, minutes }: { now: EpochMs; minutes: number }): Summary {
    const last = Math.floor(now / MINUTE_MS)
    const latencies = new Uint32Array(BOUNDS)
    let asked = 0
    let healthy = 0
    for (let place = 0; place < HISTORY_MINUTES; place++) {
      const minute = this.#minutes[place] as number
      if (minute > last || minute <= last - minutes) continue
      asked += this.#asked[place] as number
      healthy += this.#healthy[place] as number
      for (let at = 0; at < BOUNDS; at++) latencies[at] = (latencies[at] as number) + this.#latency(place, at)
    }
    return {
      asked,
      uptime: asked === 0 ? null : percent(healthy, asked),
      latency_p50: quantile(latencies, 0.5),
      latency_p99: quantile(latencies, 0.99),
    }
  }

  #latency(place: number, at: number): number {
    return this.#latencies[place * BOUNDS + at] as number
  }

  #begin(place: number, minute: number): void {
    this.#minutes[place] = minute
    this.#asked[place] = 0
    this.#healthy[place] = 0
    this.#latencies.fill(0, place * BOUNDS, (place + 1) * BOUNDS)
  }
}

/** Stands still at the largest number instead of beginning anew. */
function increment(counts: Uint16Array, at: number): void {
  const count = counts[at] as number
  if (count < 0xffff) counts[at] = count + 1
}

/** Never 100 where there was a failure, nor 0 where there was none. */
function percent(part: number, whole: number): number {
  if (part === whole) return 100
  return Math.min(99.999, Math.round((part / whole) * 100_000) / 1000)
}

function boundOf(ms: number): number {
  const at = Math.ceil(Math.log(ms / BOUND_FIRST_MS) / Math.log(BOUND_FACTOR))
  return Math.min(BOUNDS - 1, Math.max(0, at))
}

/** The middle of the bounds between which it lies. */
function quantile(counts: Uint32Array, q: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return null
  const rank = Math.ceil(q * total)
  let seen = 0
  let at = 0
  while (at < BOUNDS - 1) {
    seen += counts[at] as number
    if (seen >= rank) break
    at++
  }
  const upper = BOUND_FIRST_MS * BOUND_FACTOR ** at
  return Number((upper / Math.sqrt(BOUND_FACTOR)).toPrecision(3))
}
