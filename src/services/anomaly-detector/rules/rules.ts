import { type EpochMs, formatInstant, MS_PER_DAY } from '../../../events/instant.ts'
import type { AnomalyType } from '../anomaly.ts'
import { findOutlier } from './baseline.ts'
import type { AnomalyThresholds } from './settings.ts'
import { isBefore, type KnownPlay, type KnownRun, type Remembered } from './user-state.ts'
import { recordPace } from './world-records.ts'

/** What a rule says of an event. */
export type Finding = {
  anomaly_type: AnomalyType
  /** The event that is not as it should be. */
  about: Remembered
  value: number
  threshold: number
  description: string
}

/**
 * A rule looks at an event and at what is known of the same user from the same topic, the event itself not among it.
 * Rules keep nothing and ask for nothing else, so the same events in the same order have the same findings.
 */
export type Rule<E extends Remembered> = (
  event: E,
  known: readonly E[],
  thresholds: AnomalyThresholds,
) => readonly Finding[]

export const RUN_RULES: readonly Rule<KnownRun>[] = [
  longRun,
  shortRun,
  impossiblePace,
  overlappingRun,
  unusualDistance,
  unusualPace,
]

export const PLAY_RULES: readonly Rule<KnownPlay>[] = [longSong, shortSong, overlappingSong]

/** A rule of what cannot be. It knows only the event, and when Runify received it. */
export type ImpossibilityRule<E extends Remembered> = (
  event: E,
  received: EpochMs,
  thresholds: AnomalyThresholds,
) => readonly Finding[]

export const PLAY_IMPOSSIBILITIES: readonly ImpossibilityRule<KnownPlay>[] = [futureTimestamp, ancientTimestamp]
export const RUN_IMPOSSIBILITIES: readonly ImpossibilityRule<KnownRun>[] = [
  futureTimestamp,
  ancientTimestamp,
  endlessRun,
]

/** How much of the runner's past counts, and how many runs it takes to say what is usual. */
export const BASELINE_DAYS = 90
export const BASELINE_RUNS_MIN = 10
/** Devices measure distances with errors of some percent. */
const RECORD_TOLERANCE = 0.02
/** A run that says to have taken longer is judged when it comes, and not held against those that come after it. */
const COMPARED_SECONDS_MAX = 2 * 86_400
/**
 * What deviations count as at the least, by the factor between a value and the usual one: somebody who always runs the
 * same way has none, and may run twice as far.
 */
const DISTANCE_DEVIATION_MIN = 0.15
const PACE_DEVIATION_MIN = 0.05
const NOTHING: readonly Finding[] = []

function futureTimestamp(
  event: Remembered,
  received: EpochMs,
  { futureSeconds }: AnomalyThresholds,
): readonly Finding[] {
  const value = (event.timestamp - received) / 1000
  if (!(value > futureSeconds)) return NOTHING
  const description =
    `It says to have begun at ${formatInstant(event.timestamp)}, more than ${seconds(futureSeconds)} after it was ` +
    `received at ${formatInstant(received)}.`
  return [{ anomaly_type: 'FutureTimestamp', about: event, value, threshold: futureSeconds, description }]
}

function ancientTimestamp(event: Remembered, _: EpochMs, { firstYear }: AnomalyThresholds): readonly Finding[] {
  const value = new Date(event.timestamp).getUTCFullYear()
  if (!(value < firstYear)) return NOTHING
  const description = `It says to have begun at ${formatInstant(event.timestamp)}, before the year ${firstYear}.`
  return [{ anomaly_type: 'AncientTimestamp', about: event, value, threshold: firstYear, description }]
}

function endlessRun(run: KnownRun, _: EpochMs, { endlessRunSeconds }: AnomalyThresholds): readonly Finding[] {
  const { duration } = run
  if (!(duration > endlessRunSeconds)) return NOTHING
  const description = `The run says to have taken ${seconds(duration)}, more than ${seconds(endlessRunSeconds)}.`
  return [{ anomaly_type: 'EndlessRun', about: run, value: duration, threshold: endlessRunSeconds, description }]
}

function longRun(run: KnownRun, _known: readonly KnownRun[], { longRunMetres }: AnomalyThresholds): readonly Finding[] {
  const { distance } = run
  if (!(distance > longRunMetres)) return NOTHING
  const description = `The run is ${metres(distance)} long, more than ${metres(longRunMetres)}.`
  return [{ anomaly_type: 'LongRun', about: run, value: distance, threshold: longRunMetres, description }]
}

function shortRun(run: KnownRun, _: readonly KnownRun[], { shortRunSeconds }: AnomalyThresholds): readonly Finding[] {
  const { duration } = run
  if (!(duration < shortRunSeconds)) return NOTHING
  const description = `The run took ${seconds(duration)}, less than ${seconds(shortRunSeconds)}.`
  return [{ anomaly_type: 'ShortRun', about: run, value: duration, threshold: shortRunSeconds, description }]
}

function impossiblePace(run: KnownRun): readonly Finding[] {
  const { distance, duration } = run
  if (distance === 0) return NOTHING
  // Of 1e-310 m in half an hour it is infinite, which is no impossible pace.
  const [value, threshold] = [paceOf(run), recordPace(distance) * (1 - RECORD_TOLERANCE)]
  if (!(value < threshold)) return NOTHING
  const description =
    `${metres(distance)} in ${seconds(duration)} is ${pace(value)}; ` +
    `nobody in the world has run that far faster than ${pace(threshold)}.`
  return [{ anomaly_type: 'ImpossiblePace', about: run, value, threshold, description }]
}

function overlappingRun(
  run: KnownRun,
  known: readonly KnownRun[],
  { runOverlapSeconds }: AnomalyThresholds,
): readonly Finding[] {
  let value = runOverlapSeconds
  let other: KnownRun | undefined
  for (const one of known) {
    if (one.duration > COMPARED_SECONDS_MAX) continue
    const overlap = overlapSeconds(run, one)
    if (overlap > value) [value, other] = [overlap, one]
  }
  if (other === undefined) return NOTHING
  const description =
    `The run overlaps by ${seconds(value)} the run ${other.trace_id} of the same runner, ` +
    `which began at ${formatInstant(other.timestamp)}.`
  return [{ anomaly_type: 'OverlappingRun', about: run, value, threshold: runOverlapSeconds, description }]
}

function unusualDistance(
  run: KnownRun,
  known: readonly KnownRun[],
  { baselineDeviations: deviations }: AnomalyThresholds,
): readonly Finding[] {
  const value = run.distance
  if (value === 0) return NOTHING
  const usual = runsBefore(run, known).flatMap(({ distance }) => (distance > 0 ? [distance] : []))
  if (usual.length < BASELINE_RUNS_MIN) return NOTHING
  const outlier = findOutlier(value, usual, { deviations, deviationMin: DISTANCE_DEVIATION_MIN })
  if (outlier === undefined) return NOTHING
  const { threshold, median } = outlier
  const description =
    `The run is ${metres(value)} long; half of this runner's ${usual.length} runs of the ${BASELINE_DAYS} days before ` +
    `were up to ${metres(median)}, and ${value > threshold ? 'over' : 'under'} ${metres(threshold)} is unusual.`
  return [{ anomaly_type: 'UnusualDistance', about: run, value, threshold, description }]
}

function unusualPace(
  run: KnownRun,
  known: readonly KnownRun[],
  { baselineDeviations: deviations }: AnomalyThresholds,
): readonly Finding[] {
  if (!hasPace(run)) return NOTHING
  const value = paceOf(run)
  const usual = runsBefore(run, known).flatMap((other) => (hasPace(other) ? [paceOf(other)] : []))
  if (usual.length < BASELINE_RUNS_MIN) return NOTHING
  const outlier = findOutlier(value, usual, { deviations, deviationMin: PACE_DEVIATION_MIN })
  if (outlier === undefined) return NOTHING
  const { threshold, median } = outlier
  const description =
    `The pace is ${pace(value)}; half of this runner's ${usual.length} runs of the ${BASELINE_DAYS} days before had up ` +
    `to ${pace(median)}, and ${value > threshold ? 'slower' : 'faster'} than ${pace(threshold)} is unusual.`
  return [{ anomaly_type: 'UnusualPace', about: run, value, threshold, description }]
}

function longSong(
  play: KnownPlay,
  _: readonly KnownPlay[],
  { longSongSeconds }: AnomalyThresholds,
): readonly Finding[] {
  const { song_duration: value } = play
  if (!(value > longSongSeconds)) return NOTHING
  const description = `The song was played for ${seconds(value)}, more than ${seconds(longSongSeconds)}.`
  return [{ anomaly_type: 'LongSong', about: play, value, threshold: longSongSeconds, description }]
}

function shortSong(
  play: KnownPlay,
  _: readonly KnownPlay[],
  { shortSongSeconds }: AnomalyThresholds,
): readonly Finding[] {
  const { song_duration: value } = play
  if (!(value < shortSongSeconds)) return NOTHING
  const description = `The song was played for ${seconds(value)}, less than ${seconds(shortSongSeconds)}.`
  return [{ anomaly_type: 'ShortSong', about: play, value, threshold: shortSongSeconds, description }]
}

/**
 * `song_duration` is how long a song was played, so one that is skipped is short and ends before the next begins. What
 * is wrong is a play that goes on after the next one began: the earlier of the two says more than can be. A play that
 * comes late is compared with those on both sides of it, so the finding may be about the one before.
 */
function overlappingSong(
  play: KnownPlay,
  known: readonly KnownPlay[],
  { songOverlapSeconds }: AnomalyThresholds,
): readonly Finding[] {
  const at = known.findLastIndex((other) => isBefore(other, play))
  const inOrder = [known[at], play, known[at + 1]]
  return inOrder.slice(1).flatMap((next, index) => {
    const about = inOrder[index]
    if (about === undefined || next === undefined) return NOTHING
    const value = about.song_duration - (next.timestamp - about.timestamp) / 1000
    if (!(value > songOverlapSeconds)) return NOTHING
    const description =
      `The song was played for ${seconds(about.song_duration)}, but the next one of the same listener began ` +
      `${seconds(value)} before its end, at ${formatInstant(next.timestamp)} (${next.trace_id}).`
    return [{ anomaly_type: 'OverlappingSong', about, value, threshold: songOverlapSeconds, description }]
  })
}

/** Of what is known, the runs of the time that tells what is usual. */
function runsBefore({ timestamp }: KnownRun, known: readonly KnownRun[]): KnownRun[] {
  const from = timestamp - BASELINE_DAYS * MS_PER_DAY
  return known.filter((run) => run.timestamp >= from && run.timestamp < timestamp)
}

function overlapSeconds(a: KnownRun, b: KnownRun): number {
  const end = Math.min(a.timestamp + a.duration * 1000, b.timestamp + b.duration * 1000)
  return (end - Math.max(a.timestamp, b.timestamp)) / 1000
}

/** Whether there is a pace that has a logarithm, and that JSON and a table hold: 1e-310 m in half an hour has none. */
function hasPace(run: KnownRun): boolean {
  const pace = paceOf(run)
  return pace > 0 && Number.isFinite(pace)
}

/** Seconds a kilometre; no number, or none that is finite, where the distance is next to nothing. */
function paceOf({ distance, duration }: KnownRun): number {
  return (duration / distance) * 1000
}

const NUMBER = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 1 })

function metres(value: number): string {
  return `${amount(value)} m`
}

function seconds(value: number): string {
  return `${amount(value)} s`
}

function pace(value: number): string {
  return `${amount(value)} s/km`
}

/** Written out, a double may have 300 digits, and three of them are longer than a description may be. */
function amount(value: number): string {
  const size = Math.abs(value)
  return size === 0 || (size >= 0.05 && size < 1e9) ? NUMBER.format(value) : value.toExponential(1)
}
