import type { EventType, RunifyEvent } from '../events/catalogue.ts'
import type { EpochMs } from '../events/instant.ts'
import type { Cursors, PartitionCursor } from '../log/position.ts'
import type { StoredEvent } from './columns.ts'
import type { TextFormat } from './event-text.ts'

export type { StoredEvent } from './columns.ts'

/**
 * Consecutive records of one partition, decoded: all there is in the log from offset `from` up to, not including,
 * `next`, less those that went to the dead letters. Their topic is that of their type.
 */
export type StoreBatch = {
  type: EventType
  partition: number
  from: number
  next: number
  events: readonly { offset: number; event: RunifyEvent }[]
}

export type WriteOutcome =
  /** The batch is in and the cursor stands at `next` or further. `repeated` were there before, with the same content. */
  | { kind: 'stored'; stored: number; repeated: number }
  /** Nothing was written, because of these, in the order of their offsets. The batch without them may be written. */
  | { kind: 'refused'; events: RefusedEvent[] }

export type RefusedEvent = {
  offset: number
  reason: /** Its `trace_id` is stored with another content, or comes earlier in the batch with another content. */
    | 'conflict'
    /** The database does not take its data, however often it is tried. */
    | 'unstorable'
  detail: string
}

export type PageQuery = {
  type: EventType
  by: 'timestamp' | 'date_created'
  order: 'asc' | 'desc'
  /** from ≤ t */
  from?: EpochMs | undefined
  /** t < to */
  to?: EpochMs | undefined
  user_id?: string | undefined
  /** The place of the last event of the page before. */
  after?: { time: EpochMs; trace_id: string } | undefined
  limit: number
}

/** The events of a page as text, each without a line's end; `next` is the place of the last, where there are more behind it. */
export type TextPage = { events: string[]; next: PageQuery['after'] }

export type ChangePage = {
  /** Ordered by offset within each partition. */
  changes: StoredEvent[]
  /** Where the next page begins. */
  next: PartitionCursor[]
  /** Whether `next` is all that the store had. */
  complete: boolean
  /** Up to where the store had everything when the page was read. */
  stored: PartitionCursor[]
}

/**
 * Keeps the events of the log, each once, with the cursor up to which it has them. Every adapter runs
 * `event-store.contract.ts` whole. All methods throw `store_unavailable` (retryable) when the database cannot be
 * reached.
 */
export interface EventStore extends AsyncDisposable {
  /** Batches of so many partitions may be written at once with gain. */
  readonly writesAtOnce: number

  /** Up to where each partition is stored: the place to read on from. */
  cursors(): Promise<PartitionCursor[]>

  /**
   * Stores a batch and moves its partition's cursor in one transaction. What lies before the cursor is skipped, so a
   * batch may be written again. Throws `position_conflict` when the batch begins behind the cursor: records would be
   * left out.
   */
  write(batch: StoreBatch): Promise<WriteOutcome>

  /** Up to `limit` events in the order of (time, trace_id). */
  page(query: PageQuery): Promise<RunifyEvent[]>

  /** The same events as text: quicker, for those who only pass them on. */
  textPage(query: PageQuery & { format: TextFormat }): Promise<TextPage>

  /** What was stored after `after`, up to `limit` rows. A reader that keeps `next` misses nothing, ever. */
  changes(query: { after: Cursors; limit: number }): Promise<ChangePage>

  /** How many events of each type are stored. Does not scan. */
  counts(): Promise<Record<EventType, number>>

  event(traceId: string): Promise<StoredEvent | undefined>

  /** Forgets everything, whole or not at all, also while others write: they begin anew at the beginning of the log. */
  clear(): Promise<void>

  /** Resolves when the database answers; throws `store_unavailable` when it does not. */
  checkReady(): Promise<void>
}

/** All that Processing needs of the store: in one process the store itself, elsewhere Storage's `GET /changes`. */
export type EventReader = Pick<EventStore, 'changes'>
