import type { EpochMs } from '../../events/instant.ts'
import type { PartitionCursor } from '../../log/position.ts'
import type { PlayList } from './plays/plays.ts'

/** What can be asked of the statistics, and what every answer says of itself. */

/** One user, or everybody; with days as the time zone (its IANA name) has them, or UTC. */
export type ScopeAt = { user_id?: string | undefined; time_zone?: string | undefined }

/** Days are numbers since 1970-01-01, both included. */
export type TotalsQuery = ScopeAt & { from?: number | undefined; to?: number | undefined }

export type DailyQuery = TotalsQuery & { limit: number }

export type PlayedQuery = TotalsQuery & { list: PlayList; limit: number }

/** Hours from `from` up to, not including, `to`. */
export type HourRange = { from: number; to: number }

export type UsersQuery = {
  /** How their ids begin, in the text form of a UUID; nothing: everybody. */
  prefix?: string | undefined
  /** Those behind this one only. */
  after?: string | undefined
  /** Whose days they are, by its IANA name; UTC where it is not given. */
  time_zone?: string | undefined
  limit: number
}

/** What an answer covers. */
export type Coverage = {
  /** Exactly the events below these cursors are in the answer. */
  cursors: PartitionCursor[]
  /** When an event was last counted. */
  updated: EpochMs | undefined
  /** How many events below the cursors are in no answer, of whomever they are: see `UncountedEvent`. */
  uncounted: number
}
