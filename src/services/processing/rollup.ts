import type { RunifyEvent } from '../../events/catalogue.ts'
import { dayOf } from '../../events/instant.ts'
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

/** Whose events: one user's, or everybody's where there is no user. `day` is a UTC day, or all of them. */
export type RollupKey = { user_id: string | undefined; day: number }

export type DaysPart = { key: RollupKey; rollup: Rollup }[]

/** The day number that stands for all days, before any that an event can have. */
export const ALL_DAYS = -2_147_483_648

export const EMPTY_ROLLUP: Readonly<Rollup> = {
  runs: 0,
  plays: 0,
  max_distance: null,
  max_duration: null,
  distance: ZERO_SUM,
  run_duration: ZERO_SUM,
  song_duration: ZERO_SUM,
}

/** Folds events into the rollups that they belong to, four each: user and everybody, its day and all days. */
export function foldDays(events: Iterable<RunifyEvent>): DaysPart {
  const folded = new Map<string, { key: RollupKey; rollup: Rollup }>()
  const at = (user_id: string | undefined, day: number): Rollup => {
    const id = `${user_id} ${day}`
    let entry = folded.get(id)
    if (entry === undefined) {
      entry = { key: { user_id, day }, rollup: { ...EMPTY_ROLLUP } }
      folded.set(id, entry)
    }
    return entry.rollup
  }
  for (const event of events) {
    const { user_id, timestamp } = event.fields
    const day = dayOf(timestamp)
    addEvent(at(user_id, day), event)
    addEvent(at(user_id, ALL_DAYS), event)
    addEvent(at(undefined, day), event)
    addEvent(at(undefined, ALL_DAYS), event)
  }
  return [...folded.values()]
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

function addEvent(rollup: Rollup, event: RunifyEvent): void {
  if (event.type === 'running_stats') {
    const { distance, duration } = event.fields
    rollup.runs++
    rollup.max_distance = larger(rollup.max_distance, distance)
    rollup.max_duration = larger(rollup.max_duration, duration)
    rollup.distance = addExactly(rollup.distance, distance)
    rollup.run_duration = addExactly(rollup.run_duration, duration)
  } else {
    rollup.plays++
    rollup.song_duration = addExactly(rollup.song_duration, event.fields.song_duration)
  }
}

function larger(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b
  return Math.max(a, b)
}
