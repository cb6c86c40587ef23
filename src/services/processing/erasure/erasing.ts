import { CATALOGUE, type EventType } from '../../../events/catalogue.ts'
import { FINGERPRINTS } from '../../../events/fingerprint.ts'
import { dayOf } from '../../../events/instant.ts'
import { type Cursors, formatCursors, type KeptCursor, nextOf } from '../../../log/position.ts'
import { FORGOTTEN_TOPIC } from '../../../log/tombstone.ts'
import { type Erasure, type EventReader, type UserPlace, userPlaceOf } from '../../../store/event-store.ts'
import { type DaysPart, QUARTER_MS, QUARTERS_PER_DAY, type Quarters } from '../days/quarter-hours.ts'
import { type FoldParts, foldEvents } from '../fold.ts'
import type { CountedHour, HoursPart } from '../hourly-counts/counted-hours.ts'
import { monthOf, type PlayList, type PlaysPart } from '../plays/plays.ts'
import { decodeBestRuns, emptyBestRuns, mergeBestRuns } from '../rollup/best-runs.ts'
import { mergeSums } from '../rollup/exact-sum.ts'
import { nextQuarter, positionIn, readRollup } from '../rollup/packed-quarters.ts'
import { EMPTY_ROLLUP, mergeRollups, type Rollup } from '../rollup/rollup.ts'
import type { UncountedPlace } from '../uncounted.ts'

/** What takes a user out of the statistics. */
export type ErasedUser = {
  user_id: string
  /** The cursors that everything here is reckoned for: all that there are. */
  from: Cursors
  /** Behind the erasure. */
  to: KeptCursor
  /** All of the user that is counted and still stored. */
  left: readonly FoldParts[]
  /** What to add to the counts of hours: numbers below 0. */
  hours: HoursPart
  /** What was erased and is in none of the statistics. */
  uncounted: readonly UncountedPlace[]
  now: number
}

const PAGE_EVENTS = 1000

/**
 * Reckons what an erasure takes out of statistics that stand at `from`. Maxima cannot be subtracted, so the user's rows are
 * made anew from what is still stored. Hours have no users: there the feed of changes tells what to subtract, for of the
 * erased events just those below the cursors were counted.
 */
export async function reckonErasure(
  reader: EventReader,
  {
    erasure,
    from,
    uncounted,
    now,
  }: { erasure: Erasure; from: Cursors; uncounted: readonly UncountedPlace[]; now: number },
): Promise<ErasedUser> {
  const { user_id, request_id, partition, offset } = erasure
  const setAside = new Map(uncounted.map((place) => [placeText(place), place]))
  const isCounted = (type: EventType, at: { partition: number; offset: number }) =>
    at.offset < nextOf(from, { topic: CATALOGUE[type].topic, partition: at.partition }) &&
    !setAside.has(placeText({ type, ...at }))

  const left: FoldParts[] = []
  for (let after: UserPlace | undefined; ; ) {
    const page = await reader.userEvents({ user_id, after, limit: PAGE_EVENTS })
    const events = page.filter((stored) => isCounted(stored.event.type, stored)).map(({ event }) => event)
    if (events.length > 0) left.push(foldEvents(events))
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE_EVENTS) break
    after = userPlaceOf(last)
  }

  const hours = new Map<string, CountedHour>()
  const erasedUncounted: UncountedPlace[] = []
  for (let after: Parameters<EventReader['erasedEvents']>[0]['after']; ; ) {
    const page = await reader.erasedEvents({ request_id, after, limit: PAGE_EVENTS })
    for (const { type, hour, fingerprint, ...at } of page) {
      const notCounted = setAside.get(placeText({ type, ...at }))
      if (notCounted !== undefined) erasedUncounted.push(notCounted)
      if (!isCounted(type, at)) continue
      const before = hours.get(`${type} ${hour}`) ?? { type, hour, events: 0, fingerprint: 0 }
      before.events--
      before.fingerprint = (before.fingerprint + FINGERPRINTS - fingerprint) % FINGERPRINTS
      hours.set(`${type} ${hour}`, before)
    }
    after = page.at(-1)
    if (page.length < PAGE_EVENTS) break
  }
  const to = { topic: FORGOTTEN_TOPIC, partition, next: offset + 1 }
  return { user_id, from, to, left, hours: [...hours.values()], uncounted: erasedUncounted, now }
}

function placeText({ type, partition, offset }: UncountedPlace): string {
  return `${type}:${partition}:${offset}`
}

/** Whether statistics stand just there: an erasure is reckoned for one place only. */
export function standAt(cursors: Cursors, from: Cursors): boolean {
  return formatCursors(cursors) === formatCursors(from)
}

/** Whether nobody was erased between the two: what was read before may have events that are there no more. */
export function sameErasures(cursors: Cursors, from: Cursors): boolean {
  const erasures = (all: Cursors) => formatCursors(all.filter(({ topic }) => topic === FORGOTTEN_TOPIC))
  return erasures(cursors) === erasures(from)
}

/** The rows of all users that begin on the same day → those of everybody of the days that they span. */
export class GlobalDays {
  readonly #days = new Map<number, Quarters>()
  #best = emptyBestRuns()
  readonly #week: number

  constructor(week: number) {
    this.#week = week
  }

  add({ best, quarters }: { best: Uint8Array; quarters: Uint8Array }): void {
    this.#best = mergeBestRuns(this.#best, decodeBestRuns(best))
    const place = positionIn(quarters)
    for (let quarter = nextQuarter(place); quarter !== -1; quarter = nextQuarter(place)) {
      const day = this.#week + Math.floor(quarter / QUARTERS_PER_DAY)
      let within = this.#days.get(day)
      if (within === undefined) {
        within = new Map()
        this.#days.set(day, within)
      }
      const at = quarter % QUARTERS_PER_DAY
      const rollup = readRollup(place)
      const before = within.get(at)
      within.set(at, before === undefined ? rollup : mergeRollups(before, rollup))
    }
  }

  /** The best runs of a day are those among the best of its week, which is all that a week's rows know. */
  spans(): DaysPart['spans'] {
    return [...this.#days].map(([day, quarters]) => {
      const total = [...quarters.values()].reduce<Rollup>(mergeRollups, EMPTY_ROLLUP)
      const best = this.#best.map((run) => (run !== undefined && dayOf(run.timestamp) === day ? run : undefined))
      return { user_id: undefined, day, total, best, quarters }
    })
  }
}

/** Of the parts that are left, what belongs to the user alone: everybody's days are made anew of all users' rows. */
export function ownDays({ scopes, spans }: DaysPart): DaysPart {
  return {
    scopes: scopes.filter(({ user_id }) => user_id !== undefined),
    spans: spans.filter(({ user_id }) => user_id !== undefined),
  }
}

export type PlayedTime = { quarter: number; item: Buffer; plays: number; seconds: readonly number[] }
export type PlayedSong = { artist_item: Buffer; item: Buffer; plays: number; seconds: readonly number[] }

/** What to add to everybody's rows, so that a user's rows are out of them: numbers below 0, whose sums are exact too. */
export function withoutPlays({ times, songs }: { times: PlayedTime[]; songs: PlayedSong[] }): PlaysPart {
  const months = new Map<string, PlaysPart['months'][number]>()
  const lists = new Map<string, PlaysPart['lists'][number]>()
  const add = <R extends PlayedTime | PlayedSong, K extends object>(
    rows: Map<string, K & Pick<R, 'plays' | 'seconds'>>,
    id: string,
    key: K,
    { plays, seconds }: Pick<R, 'plays' | 'seconds'>,
  ) => {
    const before = rows.get(id)
    const sum = mergeSums(before?.seconds ?? [], negative(seconds))
    rows.set(id, { ...key, plays: (before?.plays ?? 0) - plays, seconds: sum })
  }
  for (const time of times) {
    const month = monthOf(time.quarter * QUARTER_MS)
    add(months, `${month} ${time.item.toString('latin1')}`, { month, item: time.item }, time)
  }
  for (const song of songs) {
    add(lists, `song ${song.item.toString('latin1')}`, listKey('songs', song.item), song)
    add(lists, `artist ${song.artist_item.toString('latin1')}`, listKey('artists', song.artist_item), song)
  }
  return {
    songs: [],
    times: times.map(({ quarter, item, plays, seconds }) => {
      return { user_id: undefined, quarter, item, plays: -plays, seconds: negative(seconds) }
    }),
    months: [...months.values()],
    users: [],
    lists: [...lists.values()],
  }
}

function listKey(list: PlayList, item: Buffer): { list: PlayList; item: Buffer } {
  return { list, item }
}

function negative(sum: readonly number[]): number[] {
  return sum.map((part) => -part)
}
