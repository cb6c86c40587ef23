import type { RunifyEvent } from '../../../events/catalogue.ts'
import type { EpochMs } from '../../../events/instant.ts'
import { uuidFromBytes, uuidToBytes } from '../../../store/columns.ts'

/** A run that holds a record. Seconds and metres. */
export type BestRun = { trace_id: string; timestamp: EpochMs; distance: number; duration: number }

type Length = Pick<BestRun, 'distance' | 'duration'>

/** The distances, in metres, that a run must have at least, to count for the fastest pace over them. */
export const PACE_DISTANCES = [1000, 5000, 10_000, 21_100, 42_200] as const

/**
 * What is best: the fastest pace over each of the distances, then the longest run by distance, and by duration. Runs
 * without a duration have no pace, and those of length 0 are not the longest.
 */
const MEASURES: { counts: (run: Length) => boolean; value: (run: Length) => number }[] = [
  ...PACE_DISTANCES.map((metres) => ({
    counts: ({ distance, duration }: Length) => distance >= metres && duration > 0,
    value: (run: Length) => -paceOf(run),
  })),
  { counts: ({ distance }) => distance > 0, value: ({ distance }) => distance },
  { counts: ({ duration }) => duration > 0, value: ({ duration }) => duration },
]

/** In the order of the measures. */
export type BestRuns = (BestRun | undefined)[]

export const LONGEST_DISTANCE = PACE_DISTANCES.length
export const LONGEST_DURATION = PACE_DISTANCES.length + 1

export function emptyBestRuns(): BestRuns {
  return MEASURES.map(() => undefined)
}

/** Seconds a kilometre. */
export function paceOf({ distance, duration }: Length): number {
  return duration / (distance / 1000)
}

export function addRun(best: BestRuns, { trace_id, fields }: RunifyEvent<'running_stats'>): void {
  let run: BestRun | undefined
  for (const [index, { counts, value }] of MEASURES.entries()) {
    if (!counts(fields)) continue
    const before = best[index]
    // Few runs are a record, so most never become one of these.
    if (before !== undefined && value(before) > value(fields)) continue
    const { timestamp, distance, duration } = fields
    run ??= { trace_id, timestamp, distance, duration }
    best[index] = better(index, before, run)
  }
}

export function mergeBestRuns(a: BestRuns, b: BestRuns): BestRuns {
  return MEASURES.map((_, index) => {
    const run = b[index]
    return run === undefined ? a[index] : better(index, a[index], run)
  })
}

/** Of two that are as good the earlier one, then the one with the lower id: the order in which they came never matters. */
function better(index: number, a: BestRun | undefined, b: BestRun): BestRun {
  if (a === undefined) return b
  const { value } = MEASURES[index] as (typeof MEASURES)[number]
  const [valueA, valueB] = [value(a), value(b)]
  if (valueA !== valueB) return valueA > valueB ? a : b
  if (a.timestamp !== b.timestamp) return a.timestamp < b.timestamp ? a : b
  return a.trace_id <= b.trace_id ? a : b
}

const RUN_BYTES = 41

/** Each run once: for what it is best (a bit each), its id, then three doubles, little-endian. */
export function encodeBestRuns(best: BestRuns): Uint8Array {
  const runs = new Map<string, { run: BestRun; mask: number }>()
  for (const [index, run] of best.entries()) {
    if (run === undefined) continue
    const known = runs.get(run.trace_id)
    if (known === undefined) runs.set(run.trace_id, { run, mask: 1 << index })
    else known.mask |= 1 << index
  }
  const bytes = Buffer.allocUnsafe(runs.size * RUN_BYTES)
  let at = 0
  for (const { run, mask } of runs.values()) {
    bytes.writeUInt8(mask, at)
    bytes.set(uuidToBytes(run.trace_id), at + 1)
    bytes.writeDoubleLE(run.timestamp, at + 17)
    bytes.writeDoubleLE(run.distance, at + 25)
    bytes.writeDoubleLE(run.duration, at + 33)
    at += RUN_BYTES
  }
  return bytes
}

export function decodeBestRuns(bytes: Uint8Array): BestRuns {
  const best = emptyBestRuns()
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at < bytes.byteLength; at += RUN_BYTES) {
    const mask = view.getUint8(at)
    const run = {
      trace_id: uuidFromBytes(bytes.subarray(at + 1, at + 17)),
      timestamp: view.getFloat64(at + 17, true),
      distance: view.getFloat64(at + 25, true),
      duration: view.getFloat64(at + 33, true),
    }
    for (const index of best.keys()) if ((mask & (1 << index)) !== 0) best[index] = run
  }
  return best
}
