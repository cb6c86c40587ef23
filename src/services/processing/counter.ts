import { setImmediate as others, setTimeout as sleep } from 'node:timers/promises'
import { Failure, isFailure } from '../../errors.ts'
import { type KeptCursor, keptAt, type LogMark, nextOf, type PartitionCursor } from '../../log/position.ts'
import type { EventReader } from '../../store/event-store.ts'
import type { Telemetry } from '../../telemetry.ts'
import { reckonErasure } from './erasure/erasing.ts'
import { foldEvents } from './fold.ts'
import type { StatisticsStore } from './store/statistics-store.ts'

export type CounterDeps = {
  reader: EventReader
  statistics: StatisticsStore
  telemetry: Telemetry
  periodMs: number
  batchRecordsMax: number
  now: () => number
}

/**
 * The change feed → the statistics. The invariant: rollups and the cursors that they cover change in one transaction,
 * so at any moment the statistics are a recount of what lies below the cursors.
 */
export class Counter {
  readonly #deps: CounterDeps
  trouble: unknown

  constructor(deps: CounterDeps) {
    this.#deps = deps
  }

  /** Brings the statistics up to date every period, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { periodMs, telemetry } = this.#deps
    while (!signal.aborted) {
      try {
        for (let more = true; more && !signal.aborted; ) {
          more = await this.countNext()
          this.trouble = undefined
          // An embedded store never waits for anything: without this, catching up would keep requests waiting.
          await others()
        }
      } catch (error) {
        this.trouble = error
        telemetry.workFailed('processing', error)
      }
      await sleep(periodMs, undefined, { signal }).catch(() => {})
    }
  }

  /** Counts one page of changes; false when there was nothing more. */
  async countNext(): Promise<boolean> {
    const { reader, statistics, telemetry, batchRecordsMax, now } = this.#deps
    const after = await statistics.cursors()
    const page = await reader.changes({ after, limit: batchRecordsMax }).catch(withRemedy)
    const { changes, erasures, next, complete, stored } = page
    refuseOtherStore(after, stored)
    for (const { mark: _, ...cursor } of after.filter(({ mark }) => mark === undefined)) {
      const mark = markAt(stored, cursor)
      if (mark !== undefined) await statistics.adopt({ ...cursor, mark })
    }
    // Who is forgotten comes first, alone, and is reckoned for just these cursors.
    const [erasure] = erasures
    if (erasure !== undefined) {
      const erased = await reckonErasure(reader, { erasure, from: after, now: now() })
      const mark = markAt(stored, erased.to)
      if (await statistics.erase({ ...erased, to: mark === undefined ? erased.to : { ...erased.to, mark } }))
        telemetry.userErased({ partition: erasure.partition, offset: erasure.offset })
      return true
    }
    const moved = next.filter((cursor) => cursor.next > nextOf(after, cursor))
    if (moved.length === 0) return false
    const parts = foldEvents(changes.map(({ event }) => event))
    // False means that another instance was faster: its cursors are where to go on.
    const to = moved.map((cursor) => {
      const mark = markAt(stored, cursor)
      return mark === undefined ? cursor : { ...cursor, mark }
    })
    if (await statistics.fold({ from: after, to, parts, now: now() })) {
      telemetry.eventsCounted(changes.length, moved)
    }
    return !complete
  }
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
