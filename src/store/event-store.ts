import type { EventType, RunifyEvent } from '../events/catalogue.ts'
import type { EpochMs } from '../events/instant.ts'
import type { Cursors, KeptCursor, LogMark, PartitionCursor } from '../log/position.ts'
import type { Tombstone } from '../log/tombstone.ts'
import type { CanaryBatch, StoredCanary } from './canaries.ts'
import type { StoredEvent } from './columns.ts'
import type { TextFormat } from './event-text.ts'

export type { CanaryBatch, StoredCanary } from './canaries.ts'
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
  /** Kept beside the cursor; without one, what is kept stays. */
  mark?: LogMark | undefined
}

export type WriteOutcome =
  /** The batch is in and the cursor stands at `next` or further. `repeated` were there before, with the same content. */
  | {
      kind: 'stored'
      stored: number
      repeated: number
      /** Left out, because their user was forgotten later; absent where there are none. */
      forgotten?: number
    }
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

/** A page as text ends with the event that brings it to `bytesMax`, where that comes before its limit. */
export type TextQuery = PageQuery & { format: TextFormat; bytesMax?: number | undefined }

/** So many events as text, in UTF-8; `next` is the place of the last, where there are more behind it. */
export type TextPage = { text: Buffer; events: number; next: PageQuery['after'] }

/** Consecutive records of one partition of `FORGOTTEN_TOPIC`, with at most one tombstone among them. */
export type ForgetBatch = {
  partition: number
  from: number
  next: number
  tombstone: (Tombstone & { offset: number }) | undefined
  mark?: LogMark | undefined
}

/** A tombstone that has been carried out: nothing that it is about is stored any more. */
export type Erasure = Omit<Tombstone, 'positions'> & {
  partition: number
  offset: number
  /** How many events were erased. */
  erased: Record<EventType, number>
}

/** What an erasure has removed: where it was, and what an audit's counts have of it. Nothing of it tells of whom it was. */
export type ErasedEvent = {
  type: EventType
  partition: number
  offset: number
  /** Hours since 1970-01-01T00:00:00Z, by `date_created`. */
  hour: number
  /** The last six bytes of its `trace_id`, as a number. */
  fingerprint: number
}

/** What is stored of a user: of each type and partition how much, and when it was received. */
export type Held = { type: EventType; partition: number; events: number; first: EpochMs; last: EpochMs }[]

export type ChangePage = {
  /** Ordered by offset within each partition. */
  changes: StoredEvent[]
  /** Users that were erased: what was read of them before is there no more. To be handled before `changes`. */
  erasures: Erasure[]
  /** Where the next page begins. */
  next: PartitionCursor[]
  /** Whether `next` is all that the store had. */
  complete: boolean
  /** Up to where the store had everything when the page was read. */
  stored: KeptCursor[]
}

/**
 * Keeps the events of the log, each once, with the cursor up to which it has them. Every adapter runs
 * `testing/event-store.contract.ts` whole. All methods throw `store_unavailable` (retryable) when the database cannot be
 * reached.
 */
export interface EventStore extends AsyncDisposable {
  /** Batches of so many partitions may be written at once with gain. */
  readonly writesAtOnce: number

  /** Up to where each partition is stored: the place to read on from. */
  cursors(): Promise<KeptCursor[]>

  /** Keeps the mark of a cursor that stands there and has none, as an older version wrote it. */
  adopt(cursor: KeptCursor): Promise<void>

  /**
   * Stores a batch and moves its partition's cursor in one transaction. What lies before the cursor is skipped, so a
   * batch may be written again. Throws `position_conflict` when the batch begins behind the cursor, for records would be
   * left out; and when it is of another log than the cursor.
   */
  write(batch: StoreBatch): Promise<WriteOutcome>

  /** Stores canaries and moves their partition's cursor, like `write`; old ones go (`CANARIES_KEPT`). */
  writeCanaries(batch: CanaryBatch): Promise<void>

  /** Where a canary is in the log, once it is stored. */
  canary(traceId: string): Promise<StoredCanary | undefined>

  /** Up to `limit` events in the order of (time, trace_id). */
  page(query: PageQuery): Promise<RunifyEvent[]>

  /** The same events as text: quicker, for those who only pass them on. */
  textPage(query: TextQuery): Promise<TextPage>

  /**
   * What was stored after `after`, up to `limit` rows, and about `CHANGES_BYTES_MAX` of them. A reader that keeps `next` misses nothing, ever. What has been
   * erased comes no more; `erasures` tells of it, once, and while one is under way nothing else comes: so a reader that
   * handles erasures before it goes on has had of the erased events just those below its cursors. Canaries are no
   * changes, but `next` passes them when all that was stored before has been read.
   */
  changes(query: { after: Cursors; limit: number }): Promise<ChangePage>

  /**
   * Carries a tombstone out: the user's events that lie before its positions, or without any were received at
   * `forgotten_at` or before, are removed, and left out when they are written later. Then moves the cursor of `FORGOTTEN_TOPIC`, with which the erasure appears in the feed of
   * changes. May be repeated, by several at once; killed in the midst of it, it is to be called again. Throws
   * `position_conflict` like `write`.
   */
  forget(batch: ForgetBatch): Promise<void>

  /** The erasure that the request led to; undefined until it is complete. */
  erasure(requestId: string): Promise<Erasure | undefined>

  /** What an erasure has removed: up to `limit` events behind `after`, ordered by type, partition and offset. */
  erasedEvents(query: {
    request_id: string
    after?: Pick<ErasedEvent, 'type' | 'partition' | 'offset'> | undefined
    limit: number
  }): Promise<ErasedEvent[]>

  /** What is stored of a user that was received at `until` or earlier, and that lies in the log at `from` or later and before `before`. */
  held(of: {
    user_id: string
    until?: EpochMs | undefined
    from?: Cursors | undefined
    before?: Cursors | undefined
  }): Promise<Held>

  /** A user's events of all types, up to `limit` of those behind `after`, ordered by type, date_created and trace_id. */
  userEvents(query: { user_id: string; after?: UserPlace | undefined; limit: number }): Promise<StoredEvent[]>

  /** How many events of each type are stored. Does not scan. */
  counts(): Promise<Record<EventType, number>>

  event(traceId: string): Promise<StoredEvent | undefined>

  /** Forgets everything, whole or not at all, also while others write: they begin anew at the beginning of the log. */
  clear(): Promise<void>

  /** Resolves when the database answers; throws `store_unavailable` when it does not. */
  checkReady(): Promise<void>
}

/** All that Processing needs of the store: in one process the store itself, elsewhere Storage's `GET /changes`. */
export type EventReader = Pick<EventStore, 'changes' | 'userEvents' | 'erasedEvents'>

/** The place of an event among those of its user. */
export type UserPlace = { type: EventType; time: EpochMs; trace_id: string }

export function userPlaceOf({ event }: StoredEvent): UserPlace {
  return { type: event.type, time: event.date_created, trace_id: event.trace_id }
}
