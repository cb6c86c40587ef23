import { openLog, openStatistics, openStore } from '../adapters.ts'
import type { Config } from '../config.ts'
import { TOPICS } from '../events/catalogue.ts'
import { type EpochMs, MS_PER_HOUR } from '../events/instant.ts'
import type { EventLog } from '../log/event-log.ts'
import { lockFolder } from '../log/folder-lock.ts'
import { auditAnswer } from '../services/analyzer/audit/audit.ts'
import { Audit } from '../services/analyzer/audit/run.ts'
import { findCounted, findStore } from '../services/analyzer/audit/sources.ts'

/** Of all hours together. */
export type RestoredAudit = {
  accepted: number
  stored: number
  /** In the log, behind what is stored. */
  pending: number
  /** Hours of which retention has removed some of the log, so that they cannot be compared. */
  unknownHours: number
  /** What is wrong, for people; nothing where nothing is. */
  differences: string[]
}

/** What an audit keeps in memory is of so many hours. */
const SLICE_MS = 31 * 24 * MS_PER_HOUR

/** The Analyzer's audit, of everything since the log begins, with the log, the store and the statistics opened here. */
export async function auditRestored(config: Config, now: EpochMs): Promise<RestoredAudit> {
  await using opened = new AsyncDisposableStack()
  if (config.log.kind === 'embedded' || config.store.kind === 'embedded') opened.use(lockFolder(config.dataDir))
  const log = opened.use(await openLog(config))
  const store = opened.use(await openStore(config.store))
  const statistics = opened.use(await openStatistics(config.store))
  const nowhere = { url: () => undefined, apiKey: () => undefined }
  const deps = {
    log,
    store: await findStore({ here: store, ...nowhere })(),
    counted: findCounted({ here: statistics, ...nowhere }),
  }
  const found: RestoredAudit = { accepted: 0, stored: 0, pending: 0, unknownHours: 0, differences: [] }
  const end = hourOf(now) + 2 * MS_PER_HOUR
  for (let from = await beginningOf(log, now); from < end; from += SLICE_MS) {
    const range = { from, to: Math.min(end, from + SLICE_MS) }
    add(found, auditAnswer(range, await Audit.run(deps, range, new AbortController().signal)))
  }
  return found
}

function add(found: RestoredAudit, { hours, differences, complete }: ReturnType<typeof auditAnswer>): void {
  for (const { type, hour, accepted, stored, pending, equal, rightly_counted } of hours) {
    found.accepted += accepted
    found.stored += stored
    found.pending += pending
    if (equal === null) found.unknownHours++
    if (rightly_counted === false)
      found.differences.push(`${type} of ${hour}: other events are counted than are stored`)
  }
  for (const [kind, some] of Object.entries(differences)) {
    for (const { type, trace_id, partition, offset, detail } of some) {
      found.differences.push(`${kind} ${type} ${trace_id ?? '-'} at ${partition}:${offset}: ${detail}`)
    }
  }
  if (!complete) found.differences.push('so much differs that the audit ended early')
}

/** The hour before the log's oldest record: its event was received a little before it was appended. */
async function beginningOf(log: EventLog, now: EpochMs): Promise<EpochMs> {
  let oldest = now
  for (const topic of TOPICS) {
    for (const { partition, first, next } of await log.partitions(topic)) {
      if (first === next) continue
      const [record] = await log.read({ topic, partition, from: first, limit: 1 })
      oldest = Math.min(oldest, record?.appendTime ?? oldest)
    }
  }
  return hourOf(oldest) - MS_PER_HOUR
}

function hourOf(time: EpochMs): EpochMs {
  return Math.floor(time / MS_PER_HOUR) * MS_PER_HOUR
}
