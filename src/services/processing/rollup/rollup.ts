import type { EventType, RunifyEvent } from '../../../events/catalogue.ts'
import { addExactly, type ExactSum, mergeSums, roundSum, ZERO_SUM } from './exact-sum.ts'

/** What is known of a set of events; the events may come in any order, and sets may be merged. Metres and seconds. */
export type Rollup = {
  runs: number
  plays: number
  max_distance: number | null
  max_duration: number | null
  distance: ExactSum
  run_duration: ExactSum
  song_duration: ExactSum
}

export const EMPTY_ROLLUP: Readonly<Rollup> = {
  runs: 0,
  plays: 0,
  max_distance: null,
  max_duration: null,
  distance: ZERO_SUM,
  run_duration: ZERO_SUM,
  song_duration: ZERO_SUM,
}

export function mergeRollups(a: Readonly<Rollup>, b: Readonly<Rollup>): Rollup {
  return {
    runs: a.runs + b.runs,
    plays: a.plays + b.plays,
    max_distance: larger(a.max_distance, b.max_distance),
    max_duration: larger(a.max_duration, b.max_duration),
    distance: mergeSums(a.distance, b.distance),
    run_duration: mergeSums(a.run_duration, b.run_duration),
    song_duration: mergeSums(a.song_duration, b.song_duration),
  }
}

/** The statistics as clients read them: counts, and null for what has no value without events. */
export function toStatistics(rollup: Readonly<Rollup>) {
  const { runs, plays } = rollup
  return {
    num_running_stats: runs,
    num_music_info: plays,
    max_distance: rollup.max_distance,
    max_duration: rollup.max_duration,
    avg_run_duration: runs === 0 ? null : roundSum(rollup.run_duration) / runs,
    avg_song_duration: plays === 0 ? null : roundSum(rollup.song_duration) / plays,
    total_distance: runs === 0 ? null : roundSum(rollup.distance),
    total_run_duration: runs === 0 ? null : roundSum(rollup.run_duration),
    total_song_duration: plays === 0 ? null : roundSum(rollup.song_duration),
  }
}

/** The types that have a part in sums; an event of another one is in none. */
const SUMMED: readonly EventType[] = ['running_stats', 'music_info']

export function isSummed({ type }: RunifyEvent): boolean {
  return SUMMED.includes(type)
}

export function addEvent(rollup: Rollup, event: RunifyEvent): void {
  if (event.type === 'running_stats') {
    const { distance, duration } = event.fields
    rollup.runs++
    rollup.max_distance = larger(rollup.max_distance, distance)
    rollup.max_duration = larger(rollup.max_duration, duration)
    rollup.distance = addExactly(rollup.distance, distance)
    rollup.run_duration = addExactly(rollup.run_duration, duration)
  } else if (event.type === 'music_info') {
    rollup.plays++
    rollup.song_duration = addExactly(rollup.song_duration, event.fields.song_duration)
  }
}

function larger(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b
  return Math.max(a, b)
}
