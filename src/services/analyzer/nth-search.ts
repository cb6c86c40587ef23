import type { EpochMs } from '../../events/instant.ts'
import type { TimeAnchor } from './time-anchors.ts'

/** How far the record that is looked at lies before where n is expected, in standard deviations. */
const AIM_BEFORE = 0.5

/**
 * Narrows down when record n was appended: at `low.time` or later, and before `high.from`, with `low.count` ≤ n <
 * `high.count`. It goes by offsets, not by time: keys spread evenly over the partitions, so the record that is as far along
 * in one partition as n is in all of them has about n's append time, whatever pauses and bursts there were. Where
 * that does not lead on, the next look halves the offsets.
 */
export class NthSearch {
  readonly #n: number
  low: TimeAnchor
  high: TimeAnchor
  /** How many records there were between the two, look by look, since they were halved last. */
  #widths: number[] = []

  constructor({ n, low, high }: { n: number; low: TimeAnchor; high: TimeAnchor }) {
    this.#n = n
    this.low = low
    this.high = high
  }

  /** All records from `low` up to `high` have one append time, and n is among them. */
  get done(): boolean {
    return this.high.from <= this.low.time + 1
  }

  /** The record whose append time is to be looked at next. */
  next(): { partition: number; offset: number } {
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
  times(appendTime: EpochMs): EpochMs[] {
    // It lies in between; only a clock that was set back says something else, and must not send us in circles.
    const time = Math.min(Math.max(appendTime, this.low.time), this.high.from - 1)
    return time === this.low.time ? [time + 1] : time + 1 === this.high.from ? [time] : [time, time + 1]
  }

  take(anchors: readonly TimeAnchor[]): void {
    for (const anchor of anchors) {
      if (anchor.count <= this.#n) {
        if (anchor.time > this.low.time) this.low = anchor
      } else if (anchor.from < this.high.from) this.high = anchor
    }
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
