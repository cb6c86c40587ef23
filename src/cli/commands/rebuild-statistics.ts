import { openReader, openStatistics, openStore } from '../../adapters.ts'
import type { Config } from '../../config.ts'
import { isFailure } from '../../errors.ts'
import { lockFolder } from '../../log/folder-lock.ts'
import { backfill } from '../../services/processing/rebuild/backfill.ts'
import type { Comparison, Difference } from '../../services/processing/rebuild/comparison.ts'
import type { StatisticsUpdaterDeps } from '../../services/processing/statistics-updater.ts'
import type { ShadowStatistics } from '../../services/processing/store/statistics-store.ts'
import { processingTelemetry } from '../../services/processing/telemetry.ts'
import { createTelemetry } from '../../telemetry.ts'
import type { Progress } from '../progress.ts'

export type Rebuilt = {
  /** Events that were counted anew. */
  counted: number
  /** Or why the statistics that there were could not be compared. */
  comparison: Comparison | string
  /** How many cannot be counted and were set aside, and the first of them, for people. */
  uncounted: number
  named: string[]
}

const NAMED_MAX = 20

/**
 * Counts all that the store has into shadow statistics, compares them with the live ones, and puts them in their place. On MySQL all
 * may go on running; the embedded pair must be stopped.
 */
export async function rebuildStatistics(config: Config, progress: Progress): Promise<Rebuilt> {
  await using opened = new AsyncDisposableStack()
  if (config.store.kind === 'embedded') opened.use(lockFolder(config.dataDir))
  const reader = (await openReader(config)) ?? opened.use(await openStore(config.store))
  const live = opened.use(await openStatistics(config.store))
  const shadow = opened.use(await live.shadow())
  let counted = 0
  const telemetry = {
    ...processingTelemetry(createTelemetry('rebuild', 'silent')),
    eventsCounted: (count: number) => {
      counted += count
      progress.addEvents(count)
    },
  }
  const { statistics } = shadow
  let uncounted = 0
  const named: string[] = []
  // The log may not be within reach from here: who started this is told, and the statistics themselves say it.
  const setAside: StatisticsUpdaterDeps['setAside'] = async (
    { partition, offset, event: { type, trace_id } },
    detail,
  ) => {
    uncounted++
    if (named.length < NAMED_MAX) named.push(`${type} ${trace_id} at ${partition}:${offset}: ${detail}`)
  }
  const deps = { reader, statistics, telemetry, batchRecordsMax: config.batchRecordsMax, now: Date.now, setAside }
  const countUpTo = (goal: Parameters<typeof backfill>[1]) => backfill(deps, goal)
  const comparison = await compare(shadow, async () => countUpTo(await live.cursors()), countUpTo)
  await countUpTo(undefined)
  await shadow.swapIn()
  return { counted, comparison, uncounted, named }
}

/** The long way first, so that the moment of the live statistics that is compared is not held for long. */
async function compare(
  shadow: ShadowStatistics,
  approach: () => Promise<void>,
  countUpTo: Parameters<ShadowStatistics['compare']>[0],
): Promise<Comparison | string> {
  try {
    await approach()
    return await shadow.compare(countUpTo)
  } catch (error) {
    // Statistics of another store, or of a newer copy, are what this command is for.
    if (isFailure(error, 'position_conflict')) return error.message
    throw error
  }
}

export function describe({ counted, comparison, uncounted, named }: Rebuilt): string {
  const lines = [`counted    ${counted}`]
  if (uncounted > 0) lines.push(`uncounted  ${uncounted}`, ...named.map((event) => `  ${event}`))
  if (uncounted > named.length) lines.push(`  … and ${uncounted - named.length} more`)
  if (typeof comparison === 'string') return [...lines, `compared   nothing: ${comparison}`, ''].join('\n')
  const { rows, different, differences } = comparison
  lines.push(`compared   ${rows} rows`, `different  ${different}`, ...differences.map(describeDifference))
  if (different > differences.length) lines.push(`  … and ${different - differences.length} more`)
  return `${lines.join('\n')}\n`
}

const TEXT_LENGTH_MAX = 400

function describeDifference({ table, key, counted, recounted }: Difference): string {
  const text = (value: object | undefined) =>
    value === undefined ? 'nothing' : JSON.stringify(value).slice(0, TEXT_LENGTH_MAX)
  return `  ${table} ${JSON.stringify(key)}: was ${text(counted)}, is ${text(recounted)}`
}
