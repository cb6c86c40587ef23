import assert from 'node:assert/strict'
import type { Json } from './harness.ts'

/** What Processing must say, counted anew from all events by other means than its own. */
export function recount({ runs, songs }: { runs: readonly Json[]; songs: readonly Json[] }) {
  const runDurations = numbers(runs, 'duration')
  const songDurations = numbers(songs, 'song_duration')
  return {
    num_running_stats: runs.length,
    num_music_info: songs.length,
    max_distance: largest(numbers(runs, 'distance')),
    max_duration: largest(runDurations),
    avg_run_duration: average(runDurations),
    avg_song_duration: average(songDurations),
  }
}

/** What `GET /stats/daily` must say, likewise: days by the clocks of a zone, as `Intl` has them. */
export function recountDays({ runs, songs }: { runs: readonly Json[]; songs: readonly Json[] }, timeZone: string) {
  const format = new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' })
  const dayOf = ({ timestamp }: Json) => {
    const begin = new Date(timestamp as string)
    begin.setUTCMinutes(begin.getUTCMinutes() - (begin.getUTCMinutes() % 15), 0, 0)
    return format.format(begin)
  }
  const [runsOf, songsOf] = [Map.groupBy(runs, dayOf), Map.groupBy(songs, dayOf)]
  return [...new Set([...runsOf.keys(), ...songsOf.keys()])].sort().map((day) => {
    const [itsRuns, itsSongs] = [runsOf.get(day) ?? [], songsOf.get(day) ?? []]
    return {
      day,
      num_running_stats: itsRuns.length,
      total_distance: exactSum(numbers(itsRuns, 'distance')),
      total_run_duration: exactSum(numbers(itsRuns, 'duration')),
      num_music_info: itsSongs.length,
      total_song_duration: exactSum(numbers(itsSongs, 'song_duration')),
    }
  })
}

/** The part of Processing's answer that a recount can give. */
export function statisticsOf(answer: Json): Json {
  return Object.fromEntries(Object.keys(recount({ runs: [], songs: [] })).map((name) => [name, answer[name]]))
}

/** Every double from 2^-8 up is a whole number of 2^-60ths, so whole numbers sum them exactly. */
const SCALE = 2 ** 60

function exactSum(values: readonly number[]): number {
  let sum = 0n
  for (const value of values) {
    assert.ok(Number.isInteger(value * SCALE), `${value} is too small a fraction for this recount`)
    sum += BigInt(value * SCALE)
  }
  return Number(sum) / SCALE
}

function average(values: readonly number[]): number | null {
  return values.length === 0 ? null : exactSum(values) / values.length
}

function largest(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((a, b) => Math.max(a, b))
}

function numbers(events: readonly Json[], name: string): number[] {
  return events.map((event) => event[name] as number)
}
