import { Failure } from '../errors.ts'
import { EVENT_TYPES, type EventType } from '../events/catalogue.ts'
import { type EpochMs, formatInstant, parseInstant } from '../events/instant.ts'
import type { PartitionCursor } from '../log/position.ts'
import { bearer, serviceUrl } from './service-request.ts'

/** Events received at `from` or later and before `to`: whole hours. */
export type AuditRange = { from: EpochMs; to: EpochMs }

/** How many events of a type are counted of an hour, and the sum of the last six bytes of their ids, modulo 2^48. */
export type CountedHour = { type: EventType; hour: EpochMs; events: number; fingerprint: number }

export type UncountedEvent = {
  type: EventType
  trace_id: string
  partition: number
  offset: number
  date_created: EpochMs
  /** Why, for people. */
  detail: string
}

/** What Processing has set aside, because it cannot be counted: by hours, and the first by name. */
export type Uncounted = { hours: CountedHour[]; events: UncountedEvent[] }

export type Counted = { hours: CountedHour[]; uncounted: Uncounted; cursors: PartitionCursor[] }

/** What Processing has counted of the hours that begin at `from` or later and before `to`. */
export type CountedReader = (range: AuditRange) => Promise<Counted>

const ANSWER_MS_MAX = 15_000

type WireHour = Omit<CountedHour, 'hour'> & { hour: string }
type WireUncounted = Omit<UncountedEvent, 'date_created'> & { date_created: string }
type WireCounted = {
  hours: WireHour[]
  /** A Processing of the version before does not tell. */
  uncounted?: { hours: WireHour[]; events: WireUncounted[] }
  as_of: PartitionCursor[]
}

/**
 * Processing's `GET /stats/counted`, where the Analyzer does not share a process with it. Throws `statistics_unavailable`
 * (retryable) when Processing does not answer, or answers something else.
 */
export function httpCounted({ url, apiKey }: { url: string; apiKey: string | undefined }): CountedReader {
  const headers = bearer(apiKey)
  return async ({ from, to }) => {
    const query = new URLSearchParams({ from: formatInstant(from), to: formatInstant(to) })
    try {
      const signal = AbortSignal.timeout(ANSWER_MS_MAX)
      const response = await fetch(serviceUrl(url, `/stats/counted?${query}`), { headers, signal })
      if (response.status !== 200) throw new Error(`Processing answered ${response.status}: ${await response.text()}`)
      const { hours, uncounted, as_of } = (await response.json()) as WireCounted
      return {
        hours: hours.map(readHour),
        uncounted: {
          hours: uncounted?.hours.map(readHour) ?? [],
          events: uncounted?.events.map(readUncounted) ?? [],
        },
        cursors: as_of,
      } satisfies Counted
    } catch (cause) {
      const detail = 'Processing did not say what it has counted'
      throw new Failure('statistics_unavailable', detail, { retryable: true, cause })
    }
  }
}

function readHour({ type, hour, events, fingerprint }: WireHour): CountedHour {
  const time = parseInstant(hour)
  if (time === undefined || !EVENT_TYPES.includes(type) || !Number.isSafeInteger(events)) {
    throw new Error(`not an hour: ${type} ${hour}`)
  }
  return { type, hour: time, events, fingerprint }
}

function readUncounted({ date_created, ...event }: WireUncounted): UncountedEvent {
  const time = parseInstant(date_created)
  if (time === undefined) throw new Error(`not a time: ${date_created}`)
  return { ...event, date_created: time }
}
