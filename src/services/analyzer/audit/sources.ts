import { Failure, type FailureCode } from '../../../errors.ts'
import type { EventType } from '../../../events/catalogue.ts'
import type { EpochMs } from '../../../events/instant.ts'
import type { PartitionCursor } from '../../../log/position.ts'
import type { EventStore, StoredEvent } from '../../../store/event-store.ts'

/** An event's id, and when it was received. */
export type ReceivedEvent = { trace_id: string; date_created: EpochMs }

/** Events received at `from` or later and before `to`: whole hours. */
export type AuditRange = { from: EpochMs; to: EpochMs }

/** What an audit asks of the store: of Storage by HTTP, or of the store itself. */
export type AuditedStore = Pick<EventStore, 'changes' | 'event'> & {
  /** The events of a type that were received from `from` on and before `to`, in that order, some at a time. */
  received(of: { type: EventType; from: EpochMs; to: EpochMs }): AsyncIterable<ReceivedEvent[]>
}

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

export const MS_PER_HOUR = 3_600_000
export const FINGERPRINTS = 2 ** 48

export function fingerprintOf({ trace_id }: { trace_id: string }): number {
  return Number.parseInt(trace_id.slice(-12), 16)
}

const PAGE_EVENTS = 1000

/** Where a service is: in this process, or at an address that may be known later, or not at all. */
type Place<T> = {
  here: T | undefined
  url: () => string | undefined
  apiKey: () => string | undefined
}

/** The store in this process, or Storage by HTTP. Throws `store_unavailable` where nobody knows where that is. */
export function findStore({ here, url, apiKey }: Place<EventStore>): () => Promise<AuditedStore> {
  if (here !== undefined) {
    const store = storeHere(here)
    return async () => store
  }
  return async () => {
    const address = url()
    if (address === undefined) throw unknownPlace('store_unavailable', 'RUNIFY_STORAGE_URL', 'Storage')
    const { HttpEventReader } = await import('../../../store/http-event-reader.ts')
    return new HttpEventReader({ url: address, apiKey: apiKey() })
  }
}

/** What the statistics in this process know of hours: Processing's `hours`, in which an hour is a number of hours. */
type StatisticsHere = {
  hours(range: AuditRange): Promise<{
    hours: readonly CountedHour[]
    uncounted: { hours: readonly CountedHour[]; events: UncountedEvent[] }
    cursors: PartitionCursor[]
  }>
}

/** The statistics in this process, or Processing by HTTP. Throws `statistics_unavailable` where nobody knows where that is. */
export function findCounted({ here, url, apiKey }: Place<StatisticsHere>): CountedReader {
  if (here !== undefined) {
    return async ({ from, to }) => {
      const { hours, uncounted, cursors } = await here.hours({ from: from / MS_PER_HOUR, to: to / MS_PER_HOUR })
      const inMs = (one: CountedHour) => ({ ...one, hour: one.hour * MS_PER_HOUR })
      return { hours: hours.map(inMs), uncounted: { ...uncounted, hours: uncounted.hours.map(inMs) }, cursors }
    }
  }
  return async (range) => {
    const address = url()
    if (address === undefined) throw unknownPlace('statistics_unavailable', 'RUNIFY_PROCESSING_URL', 'Processing')
    const { httpCounted } = await import('./http-counted.ts')
    return httpCounted({ url: address, apiKey: apiKey() })(range)
  }
}

function unknownPlace(code: FailureCode, variable: string, service: string): Failure {
  return new Failure(code, `${variable} does not say where ${service} is`, { retryable: false })
}

function storeHere(store: EventStore): AuditedStore {
  return {
    changes: (query) => store.changes(query),
    event: (traceId): Promise<StoredEvent | undefined> => store.event(traceId),
    async *received(range) {
      let after: { time: EpochMs; trace_id: string } | undefined
      while (true) {
        const query = { ...range, by: 'date_created', order: 'asc', limit: PAGE_EVENTS } as const
        const events = await store.page({ ...query, after })
        if (events.length > 0) yield events
        const last = events.at(-1)
        if (last === undefined || events.length < PAGE_EVENTS) return
        after = { time: last.date_created, trace_id: last.trace_id }
      }
    },
  }
}
