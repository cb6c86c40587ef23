import type { EpochMs } from '../events/instant.ts'
import type { PartitionCursor } from './position.ts'

/** A record that is to be appended. Records of one key go to one partition and stay in the order of their appends. */
export type NewRecord = { topic: string; key: string; value: Uint8Array }

export type LogRecord = {
  offset: number
  /** When the log took it, epoch milliseconds; never decreases within a partition. */
  appendTime: EpochMs
  key: string
  value: Uint8Array
}

/**
 * Consecutive records of one partition: everything the log holds from offset `from` up to, not including, `next`.
 * Offsets may be missing between them (retention, compaction), so `next` can be more than the last offset + 1.
 */
export type RecordBatch = {
  topic: string
  partition: number
  from: number
  next: number
  records: LogRecord[]
  /** The `logId` that `startAt` was told. */
  logId: string
  /** So many records that it had between two offsets are no more, as compaction removes them. */
  gap?: OffsetGap
}

export type OffsetGap = { from: number; to: number; records: number }

/** `first` is the oldest offset that is still there, `next` the one that the next record will get. */
export type PartitionRange = { partition: number; first: number; next: number }

/** A record's offset and append time; where there is no such record, the partition's `next` and no time. */
export type TimedOffset = { partition: number; offset: number; appendTime: EpochMs | undefined }

export type GroupCursor = PartitionCursor & { group: string }

/**
 * The durable, ordered log of events, a topic for each type. Every adapter runs `testing/event-log.contract.ts` whole.
 * All methods throw a `Failure`: `log_unavailable` (retryable) when the log cannot be reached, `closed` after closing.
 */
export interface EventLog extends AsyncDisposable {
  /**
   * Resolves when all the records are durable, so that no crash of any process loses them. When it rejects, each of
   * them may be in the log or not: append them again, readers tell repeats apart. Calls that wait at the same time
   * are made durable together. Throws `log_overloaded` (retryable) at once when too much is waiting already, and
   * `RecordsTooLarge` when the log can never take some of them: all the others are durable then.
   */
  append(records: readonly NewRecord[]): Promise<void>

  /**
   * The partitions of a topic in order, at least one, those included that others have added. A topic comes into being
   * when it is first named.
   */
  partitions(topic: string): Promise<PartitionRange[]>

  /**
   * Which log the topic's records are in: offsets of another one mean nothing here. Stays the same for as long as the topic
   * is there, and is never given to another: embedded, it is made with the file; in Kafka it is of the cluster and the topic.
   */
  logId(topic: string): Promise<string>

  /**
   * Up to `limit` records from offset `from` on, in order and less than about `bytesMax` in all, but at least one
   * where there is one; none at the end. Throws `offset_removed` when retention has removed `from`, and `position_conflict`
   * when the topic's records are in another log than `logId` by now.
   */
  read(from: {
    topic: string
    partition: number
    from: number
    limit: number
    bytesMax?: number
    logId?: string | undefined
  }): Promise<LogRecord[]>

  /** For each partition, or each of `partitions`, in order, the first record whose append time is at or after `time`. */
  offsetsAt(at: { topic: string; time: EpochMs; partitions?: readonly number[] }): Promise<TimedOffset[]>

  /**
   * Yields batches of the partitions that this member of `group` has, for ever, until `signal` aborts; then it ends
   * without an error. Reading begins where `startAt` says, not at the group's committed cursor; a beginning that
   * retention has removed moves up to the first offset there is, which shows in `from`. An adapter may
   * read ahead, within bounds: what retention has removed in the meantime may then still come. Who names no group reads
   * alone, all partitions, and nobody hears of it. Partitions that are added later come too, after `startAt` was asked.
   * All that comes of a partition is of the log that `startAt` was told; it throws when the topic is made anew.
   */
  consume(options: {
    group?: string | undefined
    topics: readonly string[]
    startAt: (at: { topic: string; partition: number; logId: string }) => Promise<number>
    batchRecordsMax: number
    signal: AbortSignal
  }): AsyncIterable<RecordBatch>

  /** Keeps the group's cursor, for those who watch its lag. Nothing reads from it: see `consume`. */
  commit(group: string, cursors: readonly PartitionCursor[]): Promise<void>

  /** The committed cursors of every group that has one in the topic. */
  groups(topic: string): Promise<GroupCursor[]>

  /** How long records of a topic stay in the log at least, milliseconds; undefined: for ever, as far as is known. */
  retentionMs(topic: string): Promise<number | undefined>

  /** Resolves when the log answers; throws `log_unavailable` when it does not. */
  checkReady(): Promise<void>
}
