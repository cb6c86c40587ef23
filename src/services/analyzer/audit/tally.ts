import type { AuditRange } from '../../../clients/http-counted.ts'
import type { ReceivedEvent } from '../../../clients/http-event-reader.ts'
import { EVENT_TYPES, type EventType } from '../../../events/catalogue.ts'
import { FINGERPRINTS, fingerprintOf } from '../../../events/fingerprint.ts'
import type { EpochMs } from '../../../events/instant.ts'
import { MS_PER_HOUR } from '../../../events/instant.ts'

/** What was found of the events of a type that were received in an hour. */
export type HourTally = {
  type: EventType
  hour: EpochMs
  /** Records of the log, and those among them whose `trace_id` is stored from another record. */
  inLog: number
  repeats: number
  pending: number
  deadLetters: number
  forgotten: number
  /** Records that are no events, by when the log took them. */
  undecodable: number
  /** Rows of the store. */
  stored: number
  missing: number
  doubled: number
  changed: number
  /** Records that are no more, between others of the log and without a row, by when the log took the next of them. */
  lost: number
  /** Of the rows, those that Processing says it has counted. */
  countable: { events: number; fingerprint: number }
  /** Whether retention has removed records of this hour from the log. */
  removed: boolean
}

export const DIFFERENCE_KINDS = ['missing', 'doubled', 'changed'] as const
export type DifferenceKind = (typeof DIFFERENCE_KINDS)[number]

/** Something that is not as it should be, where it is in the log and what it is about. */
export type Difference = {
  type: EventType
  trace_id: string | null
  partition: number
  offset: number
  date_created: EpochMs | null
  detail: string
}

/** How many differences of each kind are named. */
const NAMED_MAX = 100
/** Parts into which the range is cut, to find rows that only one of two looks at the store has seen. */
const BUCKETS_MAX = 65_536
const BUCKET_MS_MIN = 1000

/** All that an audit counts, in memory that depends on the range alone. */
export class AuditTally {
  readonly range: AuditRange
  readonly named: Record<DifferenceKind, Difference[]> = { missing: [], doubled: [], changed: [] }
  readonly #hours = new Map<string, HourTally>()
  readonly #buckets: Record<EventType, Buckets>

  constructor(range: AuditRange) {
    this.range = range
    const buckets = EVENT_TYPES.map((type) => [type, new Buckets(range)] as const)
    this.#buckets = Object.fromEntries(buckets) as Record<EventType, Buckets>
  }

  has(time: EpochMs): boolean {
    return time >= this.range.from && time < this.range.to
  }

  hour(type: EventType, time: EpochMs): HourTally {
    const hour = Math.floor(time / MS_PER_HOUR) * MS_PER_HOUR
    const id = `${type} ${hour}`
    let tally = this.#hours.get(id)
    if (tally === undefined) {
      tally = emptyHour(type, hour)
      this.#hours.set(id, tally)
    }
    return tally
  }

  hours(): HourTally[] {
    return [...this.#hours.values()].sort((a, b) => a.hour - b.hour || (a.type < b.type ? -1 : 1))
  }

  buckets(type: EventType): Buckets {
    return this.#buckets[type]
  }

  /** Counts a difference in the hour `time`, and names it if it is among the first. */
  differ(kind: DifferenceKind, time: EpochMs, difference: Difference): void {
    this.hour(difference.type, time)[kind]++
    if (this.named[kind].length < NAMED_MAX) this.named[kind].push(difference)
  }

  /** A row that was received in the range. */
  row(type: EventType, row: ReceivedEvent, { counted }: { counted: boolean }): void {
    const tally = this.hour(type, row.date_created)
    tally.stored++
    if (!counted) return
    tally.countable.events++
    tally.countable.fingerprint = (tally.countable.fingerprint + fingerprintOf(row.trace_id)) % FINGERPRINTS
  }
}

/**
 * A number and a sum for each short time: equal, but for one chance in 2^48, where the same events were added as were
 * taken away.
 */
export class Buckets {
  readonly #range: AuditRange
  readonly #bucketMs: number
  readonly #counts: Int32Array
  readonly #sums: Float64Array

  constructor(range: AuditRange) {
    this.#range = range
    this.#bucketMs = Math.max(BUCKET_MS_MIN, Math.ceil((range.to - range.from) / BUCKETS_MAX))
    const count = Math.ceil((range.to - range.from) / this.#bucketMs)
    this.#counts = new Int32Array(count)
    this.#sums = new Float64Array(count)
  }

  add(event: ReceivedEvent): void {
    const at = this.#at(event)
    this.#counts[at] = (this.#counts[at] as number) + 1
    this.#sums[at] = ((this.#sums[at] as number) + fingerprintOf(event.trace_id)) % FINGERPRINTS
  }

  remove(event: ReceivedEvent): void {
    const at = this.#at(event)
    this.#counts[at] = (this.#counts[at] as number) - 1
    this.#sums[at] = ((this.#sums[at] as number) - fingerprintOf(event.trace_id) + FINGERPRINTS) % FINGERPRINTS
  }

  /** The times in which what was added and what was taken away differ. */
  *differing(): Generator<AuditRange> {
    for (let at = 0; at < this.#counts.length; at++) {
      if (this.#counts[at] === 0 && this.#sums[at] === 0) continue
      const from = this.#range.from + at * this.#bucketMs
      yield { from, to: Math.min(from + this.#bucketMs, this.#range.to) }
    }
  }

  #at({ date_created }: ReceivedEvent): number {
    return Math.floor((date_created - this.#range.from) / this.#bucketMs)
  }
}

function emptyHour(type: EventType, hour: EpochMs): HourTally {
  const counts = { inLog: 0, repeats: 0, pending: 0, deadLetters: 0, forgotten: 0, undecodable: 0, stored: 0 }
  const differences = { missing: 0, doubled: 0, changed: 0 }
  return { type, hour, ...counts, ...differences, lost: 0, countable: { events: 0, fingerprint: 0 }, removed: false }
}
