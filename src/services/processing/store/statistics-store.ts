import type { EpochMs } from '../../../events/instant.ts'
import type { Cursors, KeptCursor, PartitionCursor } from '../../../log/position.ts'
import type { DailyTotals, Totals } from '../days/day-statistics.ts'
import type { Records } from '../days/records.ts'
import type { ErasedUser } from '../erasure/erasing.ts'
import type { FoldOutcome, FoldParts } from '../fold.ts'
import type { HoursPart } from '../hourly-counts/counted-hours.ts'
import type { Played } from '../plays/play-lists.ts'
import type { Coverage, DailyQuery, HourRange, PlayedQuery, ScopeAt, TotalsQuery, UsersQuery } from '../query.ts'
import type { Comparison } from '../rebuild/comparison.ts'
import type { UncountedEvent, UncountedHours, UncountedPlace } from '../uncounted.ts'
import type { CountedUsers } from '../users/counted-users.ts'

export type Fold = {
  /** Where the reader stood before, of each partition that it read. */
  from: Cursors
  /** With the marks of the log that the reader has them of, which are kept beside them. */
  to: readonly KeptCursor[]
  parts: FoldParts
  /** An event below `to` that is in no part, because it is refused by itself. Kept with the cursors. */
  uncounted?: UncountedEvent | undefined
  /** Kept as the time of the last change, unless there is nothing to add. */
  now: EpochMs
}

/** Until it is disposed of, which throws it away. Nobody else counts into it. */
export type ShadowStatistics = AsyncDisposable & {
  statistics: StatisticsStore

  /**
   * Compares with the live statistics as they are at one moment, while others go on counting into those. `countUpTo` must
   * bring these exactly to the cursors of that moment.
   */
  compare(countUpTo: (cursors: Cursors) => Promise<void>): Promise<Comparison>

  /**
   * Puts these, with their cursors, in the place of the live ones, whole or not at all. Whoever counts goes on from there;
   * a fold under way finds that the cursors have changed.
   */
  swapIn(): Promise<void>
}

/**
 * Processing's own tables: the rollups, and up to where events are in them. Throws `statistics_unavailable`
 * (retryable) when the database cannot be reached.
 */
export interface StatisticsStore extends AsyncDisposable {
  cursors(): Promise<KeptCursor[]>

  /** As `EventStore.adopt`. */
  adopt(cursor: KeptCursor): Promise<void>

  /**
   * Adds the parts and moves the cursors in one transaction, unless the cursors are not at `from` any more, or the data is
   * refused.
   */
  fold(fold: Fold): Promise<FoldOutcome>

  /**
   * Takes a user out of everything, but for what is left of them, and moves the cursor behind the erasure, in one
   * transaction. False, and nothing written, when the cursors are not just at `from` any more.
   */
  erase(erased: ErasedUser): Promise<boolean>

  /** Everything of the scope; of the days `from` to `to`, both included, or of all. */
  totals(of: TotalsQuery): Promise<Totals>

  /** The days from `from` to `to` that have something, in order, and not more than `limit`. */
  daily(of: DailyQuery): Promise<DailyTotals>

  /** The records of all time. */
  records(of: ScopeAt): Promise<{ records: Records } & Coverage>

  /**
   * The most played songs or artists, at most `limit`: in falling order of plays, then of listening time, then by the code
   * points of song_name and artist.
   */
  played(of: PlayedQuery): Promise<{ played: Played[] } & Coverage>

  /**
   * How many events are counted of each hour in which they were received, and how many are not, of which the first
   * `UNCOUNTED_NAMED_MAX` are named. All of one moment.
   */
  hours(range: HourRange): Promise<{ hours: HoursPart; uncounted: UncountedHours; cursors: PartitionCursor[] }>

  /** The events of a user that are not counted. */
  uncountedOf(userId: string): Promise<UncountedPlace[]>

  /** Of whom something is counted, in order of their ids. A page costs the same however many users there are. */
  users(of: UsersQuery): Promise<CountedUsers>

  /** Empty statistics beside these, in the same place, to be counted anew. What another has begun there is thrown away. */
  shadow(): Promise<ShadowStatistics>

  /** Forgets everything, whole or not at all, also while others fold: they count anew from the beginning. */
  clear(): Promise<void>

  checkReady(): Promise<void>
}
