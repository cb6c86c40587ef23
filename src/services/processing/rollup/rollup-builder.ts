import { GrowingSum } from './exact-sum.ts'
import { type PackedPosition, readDouble, readHead } from './packed-quarters.ts'
import type { Rollup } from './rollup.ts'

/** A rollup that grows in position, straight from packed bytes: a user's history is read as a hundred thousand of them. */
export class RollupBuilder {
  runs = 0
  plays = 0
  #distanceMax = 0
  #durationMax = 0
  readonly distance = new GrowingSum()
  readonly runDuration = new GrowingSum()
  readonly songDuration = new GrowingSum()

  /** Adds the rollup at the position, and moves the position behind it. */
  addPacked(position: PackedPosition): void {
    const { runs, plays, distances, durations, songs, distanceMax, durationMax } = readHead(position)
    this.runs += runs
    this.plays += plays
    this.#distanceMax = Math.max(this.#distanceMax, distanceMax)
    this.#durationMax = Math.max(this.#durationMax, durationMax)
    // Of one run the sum is the run, and never more than the maximum otherwise.
    const distance = addDoubles(this.distance, position, distances)
    const duration = addDoubles(this.runDuration, position, durations)
    addDoubles(this.songDuration, position, songs)
    if (runs === 1) {
      this.#distanceMax = Math.max(this.#distanceMax, distance)
      this.#durationMax = Math.max(this.#durationMax, duration)
    }
  }

  addRuns(other: RollupBuilder): void {
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
function addDoubles(sum: GrowingSum, position: PackedPosition, doubles: number): number {
  let value = 0
  for (let index = 0; index < doubles; index++) {
    value = readDouble(position)
    sum.add(value)
  }
  return value
}
