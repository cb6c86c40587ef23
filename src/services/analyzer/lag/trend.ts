import type { EpochMs } from '../../../events/instant.ts'

/** Lag in records, and the age in seconds of the oldest record that the group has not read. */
export type GroupLag = { group: string; lag: number; lag_seconds: number }

/** What was seen of a topic: how many records there ever were, and how far behind each group was. */
export type LagSample = { at: EpochMs; appended: number; groups: readonly GroupLag[] }

export type LagTrend = {
  /** Null: it has not been watched for long enough. */
  trend: 'growing' | 'steady' | 'shrinking' | null
  appended_per_second: number | null
  read_per_second: number | null
  /** Null: it never will at this pace, or nobody can tell yet. */
  catch_up_seconds: number | null
}

/** A shorter time says nothing: groups tell twice a second how far they are. */
const WATCHED_MS_MIN = 2000
/** A lag moves by what comes between two commits, and that is no trend. */
const STEADY_SECONDS = 1

/** Where a group's lag leads, by the oldest and the newest of the samples that have it. */
export function lagTrend(samples: readonly LagSample[], group: string): LagTrend {
  const seen = samples.flatMap(({ at, appended, groups }) => {
    const found = groups.find((one) => one.group === group)
    return found === undefined ? [] : [{ at, appended, lag: found.lag }]
  })
  const [first, last] = [seen[0], seen.at(-1)]
  const nothing = { trend: null, appended_per_second: null, read_per_second: null }
  if (first === undefined || last === undefined) return { ...nothing, catch_up_seconds: null }
  if (last.at - first.at < WATCHED_MS_MIN) return { ...nothing, catch_up_seconds: last.lag === 0 ? 0 : null }
  const seconds = (last.at - first.at) / 1000
  const appended = (last.appended - first.appended) / seconds
  const change = last.lag - first.lag
  // What was appended and is not part of a larger lag was read; less than nothing where a group went back.
  const read = appended - change / seconds
  const isSteady = last.lag === first.lag || Math.abs(change) <= 1 + appended * STEADY_SECONDS
  return {
    trend: isSteady ? 'steady' : change > 0 ? 'growing' : 'shrinking',
    appended_per_second: round(appended),
    read_per_second: round(read),
    catch_up_seconds: last.lag === 0 ? 0 : read > appended ? round(last.lag / (read - appended)) : null,
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
