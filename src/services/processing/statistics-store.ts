import type { EpochMs } from '../../events/instant.ts'
import type { Cursors, PartitionCursor } from '../../log/position.ts'
import type { HoursPart } from './counted-hours.ts'
import type { HourRange } from './counted-hours-tables.ts'
import type { FoldParts } from './fold.ts'
import type { Rollup } from './rollup.ts'

export type Fold = {
  /** Where the reader stood before, of each partition that it read. */
  from: Cursors
  to: Cursors
  parts: FoldParts
  /** Kept as the time of the last change, unless there is nothing to add. */
  now: EpochMs
}

export type Totals = {
  rollup: Rollup
  /** Exactly the events below these cursors are in `rollup`. */
  cursors: PartitionCursor[]
  /** When an event was last counted. */
  updated: EpochMs | undefined
}

/**
 * Processing's own tables: the rollups, and up to where events are in them. Throws `statistics_unavailable`
 * (retryable) when the database cannot be reached.
 */
export interface StatisticsStore extends AsyncDisposable {
  cursors(): Promise<PartitionCursor[]>

  /**
   * Adds the parts and moves the cursors in one transaction. False, and nothing written, when the cursors are not at
   * `from` any more: another instance has folded these events.
   */
  fold(fold: Fold): Promise<boolean>

  /** Everything of `user_id`, or of everybody; of the days `from` to `to`, both included, or of all. */
  totals(of: { user_id?: string | undefined; from?: number | undefined; to?: number | undefined }): Promise<Totals>

  /** How many events are counted of each hour in which they were received. */
  hours(range: HourRange): Promise<{ hours: HoursPart; cursors: PartitionCursor[] }>

  /** Forgets everything, whole or not at all, also while others fold: they count anew from the beginning. */
  clear(): Promise<void>

  checkReady(): Promise<void>
}
