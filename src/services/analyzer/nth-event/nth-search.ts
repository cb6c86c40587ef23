import type { EpochMs } from '../../../events/instant.ts'
import type { TimedOffset } from '../../../log/event-log.ts'
import type { TimeAnchor } from './time-anchors.ts'

/** Where the first record at or after a time is; undefined where it must be asked for. */
export type OffsetAtTime = TimedOffset | undefined

/** How far the record that is looked at lies before where n is expected, in standard deviations. */
const AIM_BEFORE = 0.5

/**
 * So many records in so short a time come in batches of many records of one time, in every partition: what lies between is
 * looked at by time then, because reading such a batch tells less than it costs.
 */
const BATCHES_PER_MS = 10
const BATCHES_MS_MAX = 256

/**
 * Narrows down when record n was appended: at `low.time` or later, and before `high.from`, with `low.count` ≤ n <
 * `high.count`. It goes by offsets, not by time: keys spread evenly over the partitions, so the record that is as far along
 * in one partition as n is in all of them has about n's append time, whatever pauses and bursts there were. Where
 * that does not lead on, the next look halves the offsets. Only among large batches it goes by time.
 */
export class NthSearch {
  readonly #n: number
  low: TimeAnchor
  high: TimeAnchor
  /** How many records there were between the two, look by look, since they were halved last. */
  #widths: number[] = []
  #timesLooked = 0

  constructor({ n, low, high }: { n: number; low: TimeAnchor; high: TimeAnchor }) {
    this.#n = n
    this.low = low
    this.high = high
  }

  /** All records from `low` up to `high` have one append time, and n is among them. */
  get done(): boolean {
    return this.high.from <= this.low.time + 1
  }

  /** Whether the next look goes by time, not by the append time of a record. */
  get isByTime(): boolean {
    const ms = this.high.from - this.low.time
    return ms <= BATCHES_MS_MAX && this.high.count - this.low.count >= ms * BATCHES_PER_MS
  }

  /** The times to look at next, where it goes by time: where n is expected, and once that was wrong, the middle too. */
  times(): EpochMs[] {
    const { low, high } = this
    const expected = this.timesAround(this.#expectedTime())
    const middle = low.time + ((high.from - low.time) >> 1)
    return this.#timesLooked++ === 0 || expected.includes(middle) ? expected : [...expected, middle]
  }

  /** Otherwise the record whose append time is to be looked at next. */
  record(): { partition: number; offset: number } {
    const { low, high } = this
    let [partition, most] = [0, 0]
    for (const [other, end] of high.offsets.entries()) {
      const records = end - (low.offsets[other] ?? 0)
      if (records > most) [partition, most] = [other, records]
    }
    const share = this.#share()
    const along = Math.floor(most * share - AIM_BEFORE * Math.sqrt(most * share * (1 - share)))
    return { partition, offset: (low.offsets[partition] ?? 0) + Math.max(along, 0) }
  }

  /** The times to look at, by the append time of that record: on both sides of its millisecond. */
  timesAround(appendTime: EpochMs): EpochMs[] {
    // It lies in between; only a clock that was set back says something else, and must not send us in circles.
    const time = Math.min(Math.max(appendTime, this.low.time), this.high.from - 1)
    return time === this.low.time ? [time + 1] : time + 1 === this.high.from ? [time] : [time, time + 1]
  }

  /** What a look at a time in between tells of each partition, as far as `low` and `high` have told it. */
  known(time: EpochMs): OffsetAtTime[] {
    const { low, high } = this
    return high.offsets.map((end, partition) => {
      const offset = low.offsets[partition] ?? 0
      const next = low.times[partition] ?? Number.POSITIVE_INFINITY
      // Its next record is known; that there is none yet is not for ever.
      if (Number.isFinite(next) && time <= next) return { partition, offset, appendTime: next }
      if (offset < end) return undefined
      const later = high.times[partition] as EpochMs
      return { partition, offset, appendTime: Number.isFinite(later) ? later : undefined }
    })
  }

  take(anchors: readonly TimeAnchor[]): void {
    for (const anchor of anchors) {
      if (anchor.count <= this.#n) {
        if (anchor.time > this.low.time) this.low = anchor
      } else if (anchor.from < this.high.from) this.high = anchor
    }
  }

  /** When n was appended, if each partition got at once all that it got in between. */
  #expectedTime(): EpochMs {
    const { low, high } = this
    const batches: { time: EpochMs; records: number }[] = []
    for (const [partition, end] of high.offsets.entries()) {
      const records = end - (low.offsets[partition] ?? 0)
      if (records > 0) batches.push({ time: low.times[partition] ?? low.time, records })
    }
    let left = this.#n - low.count
    for (const { time, records } of batches.sort((a, b) => a.time - b.time)) {
      if (left < records) return time
      left -= records
    }
    return low.time
  }

  #share(): number {
    const width = this.high.count - this.low.count
    this.#widths.push(width)
    if (width > (this.#widths.at(-3) ?? Number.POSITIVE_INFINITY) / 2) {
      this.#widths = []
      return 0.5
    }
    return (this.#n - this.low.count) / width
  }
}
