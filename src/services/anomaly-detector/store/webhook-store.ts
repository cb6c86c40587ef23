import type { EpochMs } from '../../../events/instant.ts'
import type { PartitionCursor } from '../../../log/position.ts'
import type { Anomaly } from '../anomaly.ts'

/** Who delivers: one instance at a time, until its lease runs out. */
export type Claim = { webhook: string; owner: string; now: EpochMs; until: EpochMs }

/** Anomalies in the order in which the log showed them, and where delivery stands when they are delivered. */
export type Pending = { anomalies: Anomaly[]; cursors: PartitionCursor[] }

/**
 * How far each webhook has come, in the detector's own tables. A webhook reads on by the positions of the records that
 * showed something, so it misses nothing, whoever wrote it. Each of these is one statement that may be repeated.
 */
export interface WebhookStore {
  /** One that is new stands at the end of what is judged; one that was parked is tried again. */
  register(webhook: string): Promise<void>

  /** Takes the webhook or keeps it for longer; false while another instance has it, or while it is parked. */
  claim(claim: Claim): Promise<boolean>

  /** Gives it back before the lease runs out, if it is still the owner's. */
  release(claim: Pick<Claim, 'webhook' | 'owner'>): Promise<void>

  /** What is to be delivered next, about `limit` anomalies; all that one record showed come together. */
  pending(webhook: string, limit: number): Promise<Pending>

  /** They are delivered. */
  advance(webhook: string, cursors: readonly PartitionCursor[]): Promise<void>

  /** Delivers no more, until it is registered again: by whoever starts, or by somebody's order. */
  park(webhook: string, since: EpochMs): Promise<void>

  /** Since when those are parked that are. */
  parked(): Promise<Map<string, EpochMs>>
}
