import { GrowingSum } from './exact-sum.ts'
import { type Place, readDouble, readHead } from './packed-quarters.ts'
import type { Rollup } from './rollup.ts'

/** A rollup that grows in place, straight from packed bytes: a user's history is read as a hundred thousand of them. */
export class Tally {
  runs = 0
  plays = 0
  #distanceMax = 0
  #durationMax = 0
  readonly distance = new GrowingSum()
  readonly runDuration = new GrowingSum()
  readonly songDuration = new GrowingSum()

  /** Adds the rollup at the place, and moves the place behind it. */
  addPacked(place: Place): void {
    const { runs, plays, distances, durations, songs, distanceMax, durationMax } = readHead(place)
    this.runs += runs
    this.plays += plays
    this.#distanceMax = Math.max(this.#distanceMax, distanceMax)
    this.#durationMax = Math.max(this.#durationMax, durationMax)
    // Of one run the sum is the run, and never more than the maximum otherwise.
    const distance = addDoubles(this.distance, place, distances)
    const duration = addDoubles(this.runDuration, place, durations)
    addDoubles(this.songDuration, place, songs)
    if (runs === 1) {
      this.#distanceMax = Math.max(this.#distanceMax, distance)
      this.#durationMax = Math.max(this.#durationMax, duration)
    }
  }

  addRuns(other: Tally): void {
    this.runs += other.runs
    this.distance.addSum(other.distance)
    this.runDuration.addSum(other.runDuration)
  }

  rollup(): Rollup {
    const { runs, plays } = this
    return {
      runs,
      plays,
      max_distance: runs === 0 ? null : this.#distanceMax,
      max_duration: runs === 0 ? null : this.#durationMax,
      distance: this.distance.parts(),
      run_duration: this.runDuration.parts(),
      song_duration: this.songDuration.parts(),
    }
  }
}

/** Gives the last one, or 0. */
function addDoubles(sum: GrowingSum, place: Place, doubles: number): number {
  let value = 0
  for (let index = 0; index < doubles; index++) {
    value = readDouble(place)
    sum.add(value)
  }
  return value
}
