import type { RunifyEvent } from '../../../events/catalogue.ts'
import { type EpochMs, MS_PER_DAY } from '../../../events/instant.ts'
import { addRun, type BestRuns, emptyBestRuns } from '../rollup/best-runs.ts'
import { addEvent, EMPTY_ROLLUP, isSummed, type Rollup } from '../rollup/rollup.ts'

/**
 * Events by the quarter hour in which they began, counted from 1970-01-01. An event's day in a time zone is the day of
 * the beginning of its quarter hour. That is the day of the event itself wherever the zone's offset is a multiple of
 * 15 minutes and changes at one, which is so everywhere since 1979 but for the hour of a few changes at 00:01; and it
 * is a definition for all the other times too.
 */
export const QUARTER_MS = 900_000
export const QUARTERS_PER_DAY = MS_PER_DAY / QUARTER_MS

/**
 * A span is the UTC days whose quarter hours are one row: a week of a user, from Monday, so that 20 years are a thousand
 * rows and not seven; one day of everybody, whose quarter hours are nearly all taken.
 */
export function spanDays(user_id: string | undefined): number {
  return user_id === undefined ? 1 : 7
}

/** The first day of the span that has the day. 1970-01-01 was a Thursday. */
export function spanOf(user_id: string | undefined, day: number): number {
  return user_id === undefined ? day : day - modulo(day + 3, 7)
}

/** The quarters of a span: number from the span's beginning → what is in it, in order. */
export type Quarters = Map<number, Rollup>

/** What a page of changes adds to these tables. */
export type DaysPart = {
  /** Of all time, one for each scope: a user, or everybody where there is no user. */
  scopes: { user_id: string | undefined; total: Rollup; best: BestRuns }[]
  spans: { user_id: string | undefined; day: number; total: Rollup; best: BestRuns; quarters: Quarters }[]
}

export function foldDays(events: Iterable<RunifyEvent>): DaysPart {
  const scopes = new Map<string | undefined, ScopePart>()
  for (const event of events) {
    if (!isSummed(event)) continue
    const { user_id, timestamp } = event.fields
    addTo(scopes, user_id, event, timestamp)
    addTo(scopes, undefined, event, timestamp)
  }
  // In the order of their keys, rows that lie together are touched together.
  const parts = [...scopes.values()].sort((a, b) => ((a.user_id ?? '') < (b.user_id ?? '') ? -1 : 1))
  const inOrder = ({ spans }: ScopePart) => [...spans.values()].sort((a, b) => a.day - b.day)
  return { scopes: parts, spans: parts.flatMap(inOrder) }
}

type ScopePart = DaysPart['scopes'][number] & { spans: Map<number, DaysPart['spans'][number]> }

function addTo(
  scopes: Map<string | undefined, ScopePart>,
  user_id: string | undefined,
  event: RunifyEvent,
  timestamp: EpochMs,
): void {
  const day = spanOf(user_id, Math.floor(timestamp / MS_PER_DAY))
  let scope = scopes.get(user_id)
  if (scope === undefined) {
    scope = { user_id, total: { ...EMPTY_ROLLUP }, best: emptyBestRuns(), spans: new Map() }
    scopes.set(user_id, scope)
  }
  let span = scope.spans.get(day)
  if (span === undefined) {
    span = { user_id, day, total: { ...EMPTY_ROLLUP }, best: emptyBestRuns(), quarters: new Map() }
    scope.spans.set(day, span)
  }
  const quarter = Math.floor(timestamp / QUARTER_MS) - day * QUARTERS_PER_DAY
  let within = span.quarters.get(quarter)
  if (within === undefined) {
    within = { ...EMPTY_ROLLUP }
    span.quarters.set(quarter, within)
  }
  addEvent(within, event)
  addEvent(span.total, event)
  addEvent(scope.total, event)
  if (event.type !== 'running_stats') return
  addRun(span.best, event)
  addRun(scope.best, event)
}

function modulo(a: number, b: number): number {
  return ((a % b) + b) % b
}
