import { Failure, RecordsTooLarge } from '../errors.ts'
import type { NewRecord } from './event-log.ts'

export type AppendLimits = {
  /** Bytes of values that may wait or be under way; an append beyond that is refused at once. */
  pendingBytesMax: number
  /** How long an append may take before its caller is told that the log is too slow, milliseconds. */
  deadlineMs: number
  /** How long the log may have taken nothing before appends are refused at once, milliseconds. */
  stalledMs: number
  /** What one write takes at most. */
  batchRecordsMax: number
  batchBytesMax: number
}

export const DEFAULT_APPEND_LIMITS: AppendLimits = {
  pendingBytesMax: 32 * 1024 * 1024,
  deadlineMs: 1800,
  // A broker that is killed has its successor by then: until then, to wait is the shorter way.
  stalledMs: 10_000,
  batchRecordsMax: 10_000,
  batchBytesMax: 4 * 1024 * 1024,
}

type Waiting = {
  records: readonly NewRecord[]
  bytes: number
  since: number
  resolve: () => void
  reject: (error: unknown) => void
  /** The caller has been told that it took too long; the records may still be written. */
  expired: boolean
}

/**
 * Group commit: while one write is under way, appends gather; the next write takes all of them. Alone, an append goes
 * at once; under load batches grow by themselves. Keeps the order of the appends, and at most one write is under way.
 */
export class AppendQueue {
  readonly #write: (records: NewRecord[]) => Promise<void>
  readonly #limits: AppendLimits
  #waiting: Waiting[] = []
  #underWay: Waiting[] = []
  /** From when on the write that is under way, or the next one, could have begun. */
  #writeDue = 0
  /**
   * Why the last write failed, or that it is late, and since when none has succeeded. After some time of that, one append
   * at a time tries the log and the others are refused at once: they would only wait for the same answer.
   */
  #failing: { since: number; failure: Failure } | undefined
  #pendingBytes = 0
  #deadline: NodeJS.Timeout | undefined
  #soon: NodeJS.Immediate | undefined
  #idle: PromiseWithResolvers<void> | undefined

  constructor(write: (records: NewRecord[]) => Promise<void>, limits: AppendLimits) {
    this.#write = write
    this.#limits = limits
  }

  append(records: readonly NewRecord[]): Promise<void> {
    if (this.#failing !== undefined && this.#underWay.length + this.#waiting.length > 0) {
      const { since, failure } = this.#failing
      if (performance.now() - since >= this.#limits.stalledMs) return Promise.reject(failure)
    }
    let bytes = 0
    for (const record of records) bytes += record.value.byteLength + RECORD_OVERHEAD_BYTES
    if (this.#pendingBytes > 0 && this.#pendingBytes + bytes > this.#limits.pendingBytesMax) {
      return Promise.reject(new Failure('log_overloaded', 'too much is waiting for the log', { retryable: true }))
    }
    this.#pendingBytes += bytes
    return new Promise((resolve, reject) => {
      // Before `since`: an append that is late is then never older than the write that it waits for.
      if (this.#underWay.length === 0) this.#writeSoon()
      this.#waiting.push({ records, bytes, since: performance.now(), resolve, reject, expired: false })
      this.#armDeadline()
    })
  }

  /** Resolves when nothing waits and nothing is under way. */
  drained(): Promise<void> {
    if (this.#underWay.length === 0 && this.#waiting.length === 0) return Promise.resolve()
    this.#idle ??= Promise.withResolvers<void>()
    return this.#idle.promise
  }

  /** Behind the requests that have arrived already: what they append is then one write, not two. Not a wait. */
  #writeSoon(): void {
    if (this.#soon !== undefined) return
    this.#writeDue = performance.now()
    this.#soon = setImmediate(() => {
      this.#soon = undefined
      if (this.#underWay.length === 0) this.#writeNext()
    })
  }

  #writeNext(): void {
    const records = this.#takeBatch()
    // Not `records`: an append of none asks whether the log takes any.
    if (this.#underWay.length === 0) {
      this.#becomeIdle()
      return
    }
    this.#write(records).then(
      () => {
        this.#failing = undefined
        this.#settle((waiting) => waiting.resolve())
      },
      (error) => {
        if (error instanceof Failure && error.retryable) this.#fail(error)
        if (error instanceof RecordsTooLarge) this.#settleEach(error)
        else this.#settle((waiting) => waiting.reject(error))
      },
    )
  }

  /** All but these records are written: only whose they are is told. */
  #settleEach(tooLarge: RecordsTooLarge): void {
    this.#failing = undefined
    const own = new Map<Waiting, RecordsTooLarge>()
    let start = 0
    for (const waiting of this.#underWay) {
      const end = start + waiting.records.length
      const some = tooLarge.within(start, end)
      if (some !== undefined) own.set(waiting, some)
      start = end
    }
    this.#settle((waiting) => {
      const some = own.get(waiting)
      if (some === undefined) waiting.resolve()
      else waiting.reject(some)
    })
  }

  #settle(answer: (waiting: Waiting) => void): void {
    const settled = this.#underWay
    this.#underWay = []
    this.#writeDue = performance.now()
    // Before the answers are given, because the log has nothing to do until it gets the next.
    this.#writeNext()
    for (const waiting of settled) {
      this.#pendingBytes -= waiting.bytes
      if (!waiting.expired) answer(waiting)
    }
  }

  #fail(failure: Failure): void {
    this.#failing = { since: this.#failing?.since ?? this.#writeDue, failure }
  }

  #becomeIdle(): void {
    clearTimeout(this.#deadline)
    this.#deadline = undefined
    this.#idle?.resolve()
    this.#idle = undefined
  }

  /** Takes whole appends, so that one is never answered by half of it being durable. */
  #takeBatch(): NewRecord[] {
    const records: NewRecord[] = []
    let bytes = 0
    let taken = 0
    for (const waiting of this.#waiting) {
      const full =
        records.length + waiting.records.length > this.#limits.batchRecordsMax ||
        bytes + waiting.bytes > this.#limits.batchBytesMax
      if (full && taken > 0) break
      for (const record of waiting.records) records.push(record)
      bytes += waiting.bytes
      taken++
    }
    this.#underWay = this.#waiting.splice(0, taken)
    return records
  }

  #armDeadline(): void {
    this.#deadline ??= setTimeout(() => this.#expire(), this.#limits.deadlineMs / 8)
  }

  /**
   * Appends that only wait are taken out, they were never written; those under way stay counted until the log has
   * answered, because their bytes are still held.
   */
  #expire(): void {
    this.#deadline = undefined
    const oldest = performance.now() - this.#limits.deadlineMs
    const late = new Failure('log_overloaded', 'the log did not answer in time', { retryable: true })
    if (this.#underWay.length > 0 && this.#writeDue <= oldest) this.#fail(late)
    for (const waiting of this.#underWay) {
      if (waiting.since > oldest || waiting.expired) continue
      waiting.expired = true
      waiting.reject(late)
    }
    const given = this.#waiting.findIndex((waiting) => waiting.since > oldest)
    for (const waiting of this.#waiting.splice(0, given === -1 ? this.#waiting.length : given)) {
      this.#pendingBytes -= waiting.bytes
      waiting.reject(late)
    }
    if (this.#underWay.length + this.#waiting.length > 0) this.#armDeadline()
  }
}

/** What a waiting record costs beside its value: an estimate that keeps many tiny records bounded too. */
const RECORD_OVERHEAD_BYTES = 128
