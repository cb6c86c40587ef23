import { setTimeout as sleep } from 'node:timers/promises'
import { Failure } from '../../errors.ts'
import type { EventLog, PartitionRange } from '../../log/event-log.ts'
import { placeInLog } from '../../log/place-in-log.ts'
import { type KeptCursor, keptAt } from '../../log/position.ts'
import { decodeTombstone, FORGOTTEN_TOPIC } from '../../log/tombstone.ts'
import type { Erasure, EventStore } from '../../store/event-store.ts'
import { STORE } from './keeper.ts'
import type { StorageTelemetry } from './telemetry.ts'

export type ForgetterDeps = { log: EventLog; store: EventStore; telemetry: StorageTelemetry }

/** How often it looks for tombstones that another instance has written. */
const POLL_INTERVAL_MS = 1000
const READ_RECORDS = 100
/** How long somebody who asked to forget a user waits for it. */
const CARRY_OUT_MS_MAX = 20_000
const CARRY_OUT_POLL_INTERVAL_MS = 50

/**
 * The tombstones of the log → the store. Every instance of Storage does it, for the store carries each out once; and each
 * does it before it stores its first event, so that a store that is filled anew holds nobody who was forgotten.
 */
export class Forgetter {
  readonly #deps: ForgetterDeps
  #underWay: Promise<void> = Promise.resolve()
  /** Whether it has seen, since something failed, that the store's cursors are of this log. */
  #placed = false
  /** What keeps it from working now; undefined while all is well. */
  lastError: unknown

  constructor(deps: ForgetterDeps) {
    this.#deps = deps
  }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.catchUp().catch(() => {})
      await sleep(POLL_INTERVAL_MS, undefined, { signal }).catch(() => {})
    }
    await this.#underWay.catch(() => {})
  }

  /** Carries out all that the log has now. */
  catchUp(): Promise<void> {
    this.#underWay = this.#underWay.then(
      () => this.#catchUp(),
      () => this.#catchUp(),
    )
    return this.#underWay
  }

  /** What came of a tombstone that is in the log. Throws `store_unavailable` when that takes too long. */
  async carriedOut(requestId: string): Promise<Erasure> {
    const deadline = performance.now() + CARRY_OUT_MS_MAX
    for (;;) {
      await this.catchUp()
      const erasure = await this.#deps.store.erasure(requestId)
      if (erasure !== undefined) return erasure
      if (performance.now() > deadline) {
        const detail = 'it is written down, and the user will be forgotten as soon as the store takes it'
        throw new Failure('store_unavailable', detail, { retryable: true })
      }
      await sleep(CARRY_OUT_POLL_INTERVAL_MS)
    }
  }

  async #catchUp(): Promise<void> {
    const { log, store, telemetry } = this.#deps
    try {
      const cursors = await store.cursors()
      const logId = await log.logId(FORGOTTEN_TOPIC)
      for (const range of await log.partitions(FORGOTTEN_TOPIC)) await this.#forget(range, { cursors, logId })
      this.#placed = true
      this.lastError = undefined
    } catch (error) {
      this.#placed = false
      this.lastError = error
      telemetry.workFailed('forget', error)
      throw error
    }
  }

  async #forget(
    { partition, first, next: end }: PartitionRange,
    { cursors, logId }: { cursors: readonly KeptCursor[]; logId: string },
  ): Promise<void> {
    const { log, store, telemetry } = this.#deps
    const topic = FORGOTTEN_TOPIC
    const kept = keptAt(cursors, { topic, partition })
    const isNew = (kept?.next ?? 0) !== end || (kept !== undefined && kept.mark?.logId !== logId)
    if (this.#placed && !isNew) return
    const place = await placeInLog(log, { topic, partition, logId }, { cursors, keeper: STORE })
    if (kept !== undefined && kept.mark === undefined) await store.adopt(place)
    for (let from = place.next; from < end; ) {
      const records = await log.read({ topic, partition, logId, from: Math.max(from, first), limit: READ_RECORDS })
      if (records.length === 0) return
      for (const { offset, appendTime, value } of records) {
        const decoded = decodeTombstone(value)
        const tombstone = decoded && { ...decoded, offset }
        await store.forget({ partition, from, next: offset + 1, tombstone, mark: { logId, appendTime } })
        telemetry.userForgotten({ partition, offset, valid: decoded !== undefined })
        from = offset + 1
      }
    }
  }
}
