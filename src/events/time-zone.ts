import { DAY_LAST, type EpochMs, MS_PER_DAY, nearestDay } from './instant.ts'

/** The calendar of a time zone, by the IANA data that Node brings. */

/** A name begins with a letter, which offsets such as `+02:00` do not: those Temporal would take too. */
const NAME = /^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/

/** The name as IANA writes it, aliases as they are; undefined where there is no such zone. */
export function parseTimeZone(text: string): string | undefined {
  if (!NAME.test(text)) return undefined
  try {
    return Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(text).timeZoneId
  } catch {
    return undefined
  }
}

/**
 * The days of a zone's calendar. Remembers the offset between the two changes around the last instant: instants in order
 * of time, however many, cost one look-up for each change. A year has two changes, or none.
 */
export class LocalDays {
  /** Up to here, but not to before the last instant that was asked for, it is the same day. */
  until: EpochMs = Number.NEGATIVE_INFINITY
  readonly #timeZone: string
  #begin = 0
  #end = 0
  #offsetMs = 0

  /** By its IANA name, which is known to be one. */
  constructor(timeZone = 'UTC') {
    this.#timeZone = timeZone
  }

  /** The day, as a number since 1970-01-01, at an instant; the nearest that can be written, from 0000-01-01 to 9999-12-31. */
  at(instant: EpochMs): number {
    if (instant < this.#begin || instant >= this.#end) {
      const there = Temporal.Instant.fromEpochMilliseconds(instant).toZonedDateTimeISO(this.#timeZone)
      this.#offsetMs = Math.floor(there.offsetNanoseconds / 1e6)
      this.#begin = instant
      this.#end = there.getTimeZoneTransition('next')?.epochMilliseconds ?? Number.POSITIVE_INFINITY
    }
    const day = nearestDay(Math.floor((instant + this.#offsetMs) / MS_PER_DAY))
    this.until = day === DAY_LAST ? this.#end : Math.min(this.#end, (day + 1) * MS_PER_DAY - this.#offsetMs)
    return day
  }
}
