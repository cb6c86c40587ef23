import { Failure } from '../../../errors.ts'
import type { EpochMs } from '../../../events/instant.ts'
import type { KeptCursor, LogMark } from '../../../log/position.ts'
import type { ForgottenUsers, Tombstone } from '../../../log/tombstone.ts'
import type { Anomaly, AnomalyType } from '../anomaly.ts'
import type { EncodedStates, FoundAnomaly, Judgement, RefusedRecord } from '../detector.ts'
import type { WebhookStore } from './webhook-store.ts'

/** Consecutive records of one partition, to be judged: all there is in the log from offset `from` up to `next`. */
export type JudgedBatch = {
  topic: string
  partition: number
  from: number
  next: number
  /** The users of whom there are events in it, each once. */
  users: readonly string[]
  /** Kept beside the cursor; without one, what is kept stays. */
  mark?: LogMark | undefined
  /**
   * Judges the events from offset `begin` on, by the states that the users have. Called within the transaction, and
   * called again when that is run again; must do nothing else.
   */
  judge: (begin: number, states: EncodedStates, forgotten: ForgottenUsers) => Judgement
}

/**
 * The anomalies that are new; or nothing is written, because of records that cannot be judged, or of which the database
 * does not take what was found, now and always: the batch is to be judged again without them.
 */
export type JudgeOutcome = { kind: 'judged'; anomalies: Anomaly[] } | { kind: 'refused'; records: RefusedRecord[] }

/** Consecutive records of one partition that say who is to be forgotten. */
export type ForgettingBatch = Pick<JudgedBatch, 'topic' | 'partition' | 'from' | 'next' | 'mark'> & {
  tombstones: readonly Omit<Tombstone, 'request_id'>[]
}

export type AnomalyQuery = {
  /** The order, the newest first, and what `from` and `to` are about. */
  by: 'timestamp' | 'date_created'
  anomaly_type?: AnomalyType | undefined
  user_id?: string | undefined
  /** from ≤ t */
  from?: EpochMs | undefined
  /** t < to */
  to?: EpochMs | undefined
  /** The place of the last anomaly of the page before. */
  after?: AnomalyPlace | undefined
  limit: number
}

export type AnomalyPlace = { time: EpochMs; anomaly_id: string }

/**
 * The detector's own tables: what it found, what it knows of each user, and up to where the log is judged. Every adapter
 * runs `testing/anomaly-store.contract.ts` whole. All methods throw `anomalies_unavailable` (retryable) when the database cannot
 * be reached.
 */
export interface AnomalyStore extends AsyncDisposable {
  /** Batches of so many partitions may be judged at once with gain. */
  readonly writesAtOnce: number

  /** How far the webhooks have come. */
  readonly webhooks: WebhookStore

  /** Up to where each partition is judged: the place to read on from. */
  cursors(): Promise<KeptCursor[]>

  /** As `EventStore.adopt`. */
  adopt(cursor: KeptCursor): Promise<void>

  /**
   * Judges a batch, keeps what was found and the users' states, and moves the cursor, all in one transaction. What lies
   * before the cursor is skipped, so a batch may be judged again. An anomaly that is there stays as it is. Throws
   * `position_conflict` when the batch begins behind the cursor, or is of another log.
   */
  judge(batch: JudgedBatch): Promise<JudgeOutcome>

  /**
   * Forgets users: the anomalies of the records that a tombstone is about, and what is known of them; moves the cursor in
   * the same transaction. Of such records those that come later are to be left out: `judge` is told. May be done again.
   */
  forget(batch: ForgettingBatch): Promise<void>

  /** Up to `limit` anomalies, ordered by (time, anomaly_id), the last first. */
  page(query: AnomalyQuery): Promise<Anomaly[]>

  anomaly(anomalyId: string): Promise<Anomaly | undefined>

  /** Forgets everything, whole or not at all, also while others judge: they begin anew at the beginning of the log. */
  clear(): Promise<void>

  /** How many there are of each type. Does not scan. */
  counts(): Promise<Record<AnomalyType, number>>

  checkReady(): Promise<void>
}

/** For adapters, of an anomaly that the database does not take. */
export function refusedRecord({ offset, anomaly }: FoundAnomaly, error: unknown): RefusedRecord {
  const detail = `the database refuses the ${anomaly.anomaly_type} that it shows: ${(error as Error).message}`
  return { offset, detail }
}

/** For adapters: a batch that begins behind the cursor would leave records out. */
export function refuseGap(batch: { topic: string; partition: number; from: number; at: number }): void {
  const { topic, partition, from, at } = batch
  if (at >= from) return
  const detail = `${topic}:${partition} is judged up to ${at}, the batch begins at ${from}`
  throw new Failure('position_conflict', detail, { retryable: true })
}
