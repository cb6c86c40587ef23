import type { AuditRange, CountedHour, CountedReader, UncountedEvent } from '../../../clients/http-counted.ts'
import type { ReceivedEvent } from '../../../clients/http-event-reader.ts'
import { Failure, type FailureCode } from '../../../errors.ts'
import type { EventType } from '../../../events/catalogue.ts'
import { type EpochMs, MS_PER_HOUR } from '../../../events/instant.ts'
import type { PartitionCursor } from '../../../log/position.ts'
import type { EventStore, StoredEvent } from '../../../store/event-store.ts'

/** What an audit asks of the store: of Storage by HTTP, or of the store itself. */
export type AuditedStore = Pick<EventStore, 'changes' | 'event'> & {
  /** The events of a type that were received from `from` on and before `to`, in that order, some at a time. */
  received(of: { type: EventType; from: EpochMs; to: EpochMs }): AsyncIterable<ReceivedEvent[]>
}

const PAGE_EVENTS = 1000

/** Where a service is: in this process, or at an address that may be known later, or not at all. */
type Source<T> = {
  here: T | undefined
  url: () => string | undefined
  apiKey: () => string | undefined
}

/** The store in this process, or Storage by HTTP. Throws `store_unavailable` where nobody knows where that is. */
export function findStore({ here, url, apiKey }: Source<EventStore>): () => Promise<AuditedStore> {
  if (here !== undefined) {
    const store = storeHere(here)
    return async () => store
  }
  return async () => {
    const address = url()
    if (address === undefined) throw unknownPlace('store_unavailable', 'RUNIFY_STORAGE_URL', 'Storage')
    const { HttpEventReader } = await import('../../../clients/http-event-reader.ts')
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
export function findCounted({ here, url, apiKey }: Source<StatisticsHere>): CountedReader {
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
    const { httpCounted } = await import('../../../clients/http-counted.ts')
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
