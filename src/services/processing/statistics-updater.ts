import { setImmediate as others, setTimeout as sleep } from 'node:timers/promises'
import { Failure, isFailure } from '../../errors.ts'
import { type KeptCursor, keptAt, type LogMark, nextOf, type PartitionCursor } from '../../log/position.ts'
import type { EventReader, StoredEvent } from '../../store/event-store.ts'
import { reckonErasure } from './erasure/erasing.ts'
import { type FoldOutcome, type FoldParts, foldEvents } from './fold.ts'
import type { Fold, StatisticsStore } from './store/statistics-store.ts'
import type { ProcessingTelemetry } from './telemetry.ts'
import { uncountedEvent } from './uncounted.ts'

export type StatisticsUpdaterDeps = {
  reader: EventReader
  statistics: StatisticsStore
  telemetry: ProcessingTelemetry
  periodMs: number
  batchRecordsMax: number
  now: () => number
  /** Tells of an event that is about to be set aside, before the cursor moves behind it: maybe more than once. */
  setAside: (event: StoredEvent, detail: string) => Promise<void>
}

/**
 * The change feed → the statistics. The invariant: rollups and the cursors that they cover change in one transaction,
 * so at any moment the statistics are a recount of what lies below the cursors, but for the events that are set aside
 * with them, as each is refused by itself.
 */
export class StatisticsUpdater {
  readonly #deps: StatisticsUpdaterDeps
  /** How many changes are asked for: fewer while one is looked for that is refused. */
  #limit: number
  lastError: unknown

  constructor(deps: StatisticsUpdaterDeps) {
    this.#deps = deps
    this.#limit = deps.batchRecordsMax
  }

  /** Brings the statistics up to date every period, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { periodMs, telemetry } = this.#deps
    while (!signal.aborted) {
      try {
        for (let more = true; more && !signal.aborted; ) {
          more = await this.countNext()
          this.lastError = undefined
          // An embedded store never waits for anything: without this, catching up would keep requests waiting.
          await others()
        }
      } catch (error) {
        this.lastError = error
        telemetry.workFailed('processing', error)
      }
      await sleep(periodMs, undefined, { signal }).catch(() => {})
    }
  }

  /** Counts one page of changes; false when there was nothing more. */
  async countNext(): Promise<boolean> {
    const { reader, statistics, telemetry, batchRecordsMax, now } = this.#deps
    const after = await statistics.cursors()
    const page = await reader.changes({ after, limit: this.#limit }).catch(withRemedy)
    const { changes, erasures, next, complete, stored } = page
    refuseOtherStore(after, stored)
    for (const { mark: _, ...cursor } of after.filter(({ mark }) => mark === undefined)) {
      const mark = markAt(stored, cursor)
      if (mark !== undefined) await statistics.adopt({ ...cursor, mark })
    }
    // Who is forgotten comes first, alone, and is reckoned for just these cursors.
    const [erasure] = erasures
    if (erasure !== undefined) {
      const uncounted = await statistics.uncountedOf(erasure.user_id)
      const erased = await reckonErasure(reader, { erasure, from: after, uncounted, now: now() })
      const mark = markAt(stored, erased.to)
      if (await statistics.erase({ ...erased, to: mark === undefined ? erased.to : { ...erased.to, mark } }))
        telemetry.userErased({ partition: erasure.partition, offset: erasure.offset })
      return true
    }
    const moved = next.filter((cursor) => cursor.next > nextOf(after, cursor))
    if (moved.length === 0) return false
    const to = moved.map((cursor) => {
      const mark = markAt(stored, cursor)
      return mark === undefined ? cursor : { ...cursor, mark }
    })
    const fold = { from: after, to, now: now() }
    const outcome = await foldChanges(statistics, changes, fold)
    if (outcome.kind === 'refused') {
      await this.#narrow(changes, fold, outcome.detail)
      return true
    }
    this.#limit = Math.min(batchRecordsMax, this.#limit * 2)
    // Where another instance was faster, its cursors are where to go on.
    if (outcome.kind === 'folded') telemetry.eventsCounted(changes.length, moved)
    return !complete
  }

  /** Has the next page end earlier; what is refused although it is alone is set aside. */
  async #narrow(changes: readonly StoredEvent[], fold: Omit<Fold, 'parts'>, detail: string): Promise<void> {
    const { statistics, setAside } = this.#deps
    const [change] = changes
    if (changes.length > 1) {
      this.#limit = changes.length >> 1
      return
    }
    if (change === undefined) throw refusedCursors(detail)
    await setAside(change, detail)
    const uncounted = uncountedEvent(change, detail)
    const outcome = await statistics.fold({ ...fold, parts: foldEvents([]), uncounted })
    if (outcome.kind === 'refused') throw refusedCursors(outcome.detail)
  }
}

async function foldChanges(
  statistics: StatisticsStore,
  changes: readonly StoredEvent[],
  fold: Omit<Fold, 'parts'>,
): Promise<FoldOutcome> {
  let parts: FoldParts
  try {
    parts = foldEvents(changes.map(({ event }) => event))
  } catch (error) {
    // It is a function of the events alone, so whatever it throws is theirs.
    return { kind: 'refused', detail: `it cannot be counted: ${(error as Error).message}` }
  }
  return statistics.fold({ ...fold, parts })
}

/** Not even the cursors can be written. */
function refusedCursors(detail: string): Failure {
  return new Failure('statistics_unavailable', detail, { retryable: true })
}

/** The mark that a cursor has when all that the store has below `stored` is below it; and that of its log otherwise. */
function markAt(stored: readonly KeptCursor[], cursor: PartitionCursor): LogMark | undefined {
  const there = keptAt(stored, cursor)
  if (there?.mark === undefined || there.next === cursor.next) return there?.mark
  return { logId: there.mark.logId }
}

/**
 * A store of another log is another store; one that is behind what was counted from it is another one too, or an older
 * copy: counting on would leave events out, or count them twice.
 */
function refuseOtherStore(after: readonly KeptCursor[], stored: readonly KeptCursor[]): void {
  for (const cursor of after) {
    const { topic, partition, next: counted, mark } = cursor
    const there = keptAt(stored, cursor)
    const refuse = (is: string) => {
      const detail = `the statistics have ${topic}:${partition} up to ${counted}${mark ? ` of the log ${mark.logId}` : ''}, ${is}`
      return new Failure('position_conflict', `${detail}: ${REMEDY}`, { retryable: true })
    }
    if (there?.mark !== undefined && mark !== undefined && there.mark.logId !== mark.logId)
      throw refuse(`but the store is of another log, ${there.mark.logId}`)
    if ((there?.next ?? 0) < counted) throw refuse(`the store only up to ${there?.next ?? 0}`)
    if (there?.next !== counted || there.mark?.appendTime === undefined || mark?.appendTime === undefined) continue
    if (there.mark.appendTime !== mark.appendTime)
      throw refuse(
        'but the store has another record before that, so it is of an older copy of the log that has gone on since',
      )
  }
}

/** What a reader refuses over HTTP, where it compares by itself. */
function withRemedy(error: unknown): never {
  if (!isFailure(error, 'position_conflict')) throw error
  throw new Failure('position_conflict', `${error.message}: ${REMEDY}`, { retryable: true, cause: error })
}

const REMEDY =
  'wait where the store is being filled; otherwise put back the store that belongs to them, or run ' +
  '`npx runify rebuild statistics`, which counts this store anew'
