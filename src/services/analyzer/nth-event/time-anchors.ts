import type { EpochMs } from '../../../events/instant.ts'

/**
 * What one look into the log by time has told: before every time in `from`…`time` there are the same records, up to
 * `offsets` in each partition and `count` in all. Times that are that old never change, so it stays true. `times` are
 * the append times of the records that came next, ∞ where there was none: they may be known better by now.
 */
export type TimeAnchor = {
  from: EpochMs
  time: EpochMs
  offsets: readonly number[]
  times: readonly EpochMs[]
  count: number
}

type Kept = TimeAnchor & { usedAt: number }

const BYTES_MAX = 4 * 1024 * 1024
/** What an anchor takes beside a partition's offset and time. */
const ANCHOR_BYTES = 200
const PARTITION_BYTES = 16

/** The anchors of a topic, by their count, as many as fit: those that were used longest ago go. A cache and no more. */
export class TimeAnchors {
  #anchors: Kept[] = []
  #uses = 0

  get size(): number {
    return this.#anchors.length
  }

  add(anchor: TimeAnchor): void {
    const at = this.#firstAbove(anchor.count)
    const same = this.#anchors[at - 1]
    if (same?.count === anchor.count) {
      // The same count is the same place in the log: what is known of it comes together.
      same.from = Math.min(same.from, anchor.from)
      same.time = Math.max(same.time, anchor.time)
      same.times = anchor.times
      return
    }
    this.#anchors.splice(at, 0, { ...anchor, usedAt: ++this.#uses })
    if (this.#anchors.length > BYTES_MAX / (ANCHOR_BYTES + PARTITION_BYTES * anchor.offsets.length)) this.#forgetHalf()
  }

  /** The last with at most `count` records before it, and the first with more. */
  around(count: number): { below: TimeAnchor | undefined; above: TimeAnchor | undefined } {
    const at = this.#firstAbove(count)
    return { below: this.#use(this.#anchors[at - 1]), above: this.#use(this.#anchors[at]) }
  }

  /** The one that tells of this very time. */
  at(time: EpochMs): TimeAnchor | undefined {
    let [low, high] = [0, this.#anchors.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#anchors[middle] as Kept).time < time) low = middle + 1
      else high = middle
    }
    const found = this.#anchors[low]
    return found !== undefined && found.from <= time ? this.#use(found) : undefined
  }

  /** Forgets those that lie before what retention has left: looking again would not give the same. */
  forgetBefore(firsts: readonly number[]): void {
    this.#anchors = this.#anchors.filter(({ offsets }) =>
      firsts.every((first, partition) => (offsets[partition] ?? 0) >= first),
    )
  }

  clear(): void {
    this.#anchors = []
  }

  #use(anchor: Kept | undefined): TimeAnchor | undefined {
    if (anchor !== undefined) anchor.usedAt = ++this.#uses
    return anchor
  }

  #firstAbove(count: number): number {
    let [low, high] = [0, this.#anchors.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#anchors[middle] as Kept).count <= count) low = middle + 1
      else high = middle
    }
    return low
  }

  #forgetHalf(): void {
    const uses = this.#anchors.map(({ usedAt }) => usedAt).sort((a, b) => a - b)
    const median = uses[uses.length >> 1] as number
    this.#anchors = this.#anchors.filter(({ usedAt }) => usedAt >= median)
  }
}
