import type { RunifyEvent } from '../../events/catalogue.ts'
import { type DaysPart, foldDays } from './days/quarter-hours.ts'
import { foldHours, type HoursPart } from './hourly-counts/counted-hours.ts'
import { foldPlays, type PlaysPart } from './plays/plays.ts'

/**
 * What a page of changes adds to the statistics, a part for each group of tables. A part has a pure function that makes
 * it of events, and a file for each database that writes it (`store/sqlite/days.ts`, `store/mysql/days.ts`). Parts of two pages may
 * be added in any order.
 */
export type FoldParts = {
  days: DaysPart
  hours: HoursPart
  plays: PlaysPart
}

export type FoldOutcome =
  | { kind: 'folded' }
  /** Nothing written: another instance has folded these events, or erased a user of whom some of them may be. */
  | { kind: 'overtaken' }
  /** Nothing written, because the database does not take what they add, however often it is tried. */
  | { kind: 'refused'; detail: string }

export function foldEvents(events: readonly RunifyEvent[]): FoldParts {
  return { days: foldDays(events), hours: foldHours(events), plays: foldPlays(events) }
}

/** Every event is counted in its hour, whatever else it is counted in. */
export function isEmptyFold({ hours }: FoldParts): boolean {
  return hours.length === 0
}

/** Whether our own code cannot make anything of the data, rather than that the world around it is broken. */
export function isUncountable(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError
}

/** Why a database does not take a fold; what it says of that is for operators. */
export function refusedFold(why: string): FoldOutcome {
  return { kind: 'refused', detail: `the statistics' database refuses what it adds: ${why}` }
}
