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

export function foldEvents(events: readonly RunifyEvent[]): FoldParts {
  return { days: foldDays(events), hours: foldHours(events), plays: foldPlays(events) }
}

export function isEmptyFold({ days }: FoldParts): boolean {
  return days.scopes.length === 0
}
