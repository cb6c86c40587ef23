import { type EpochMs, MS_PER_DAY } from './instant.ts'

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

/** The day on a zone's calendar, as a number since 1970-01-01, at an instant. */
export type LocalDays = (instant: EpochMs) => number

/**
 * Remembers the offset between the two changes around the last instant: instants in order of time, however many, cost one
 * look-up for each change. A year has two changes, or none.
 */
export function localDaysOf(timeZone: string): LocalDays {
  let [begin, end, offsetMs] = [0, 0, 0]
  return (instant) => {
    if (instant < begin || instant >= end) {
      const there = Temporal.Instant.fromEpochMilliseconds(instant).toZonedDateTimeISO(timeZone)
      offsetMs = Math.floor(there.offsetNanoseconds / 1e6)
      begin = instant
      end = there.getTimeZoneTransition('next')?.epochMilliseconds ?? Number.POSITIVE_INFINITY
    }
    return Math.floor((instant + offsetMs) / MS_PER_DAY)
  }
}
