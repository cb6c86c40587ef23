import { setTimeout as sleep } from 'node:timers/promises'
import { Failure, isFailure } from '../../../errors.ts'
import type { EpochMs } from '../../../events/instant.ts'
import type { EventLog, LogRecord, TimedOffset } from '../../../log/event-log.ts'
import { createRecordCache, type PlacedRecord } from '../record-cache.ts'
import { NthSearch, type OffsetAtTime } from './nth-search.ts'
import { type TimeAnchor, TimeAnchors } from './time-anchors.ts'
import { sum, type TopicSnapshot, TopicSnapshots } from './topic-snapshot.ts'

export type NthRecord =
  | { kind: 'found'; partition: number; record: LogRecord }
  /** The log does not go that far yet. */
  | { kind: 'beyond' }
  /** Retention has removed it, or so much around it that its place cannot be told any more. */
  | { kind: 'removed' }

/** What is needed of a log to find records in it. */
export type SearchedLog = Pick<EventLog, 'partitions' | 'logId' | 'offsetsAt' | 'read'>

export type NthRecordsOptions = {
  log: SearchedLog
  topic: string
  now?: () => EpochMs
  /** How long the ends of the partitions are taken for what they were, milliseconds. */
  endsMs?: number
  /** Told of each search: how many looks into the log by time it took. */
  searched?: (looks: number) => void
}

/**
 * How old a record must be before its place is told. Until then another partition may get one of the same time, or,
 * as brokers' clocks differ a little, of an earlier one: it would come before, and every n behind it would move.
 */
const SETTLED_MS = 200
const ENDS_MS = 1000
/** Records that are read with the one that is asked for: whoever walks through the log asks for them next. */
const READ_AHEAD = 32
const LOOKS_MAX = 200
/** This near to a time that was looked at, the records between are read and put in order, instead of looking on. */
const NEAR = 64
const READ_BYTES_MAX = 512 * 1024
/** A search is begun anew when the log has changed under it. */
const SEARCHES_MAX = 5

/** The records from `low` up to, not including, `high`: those of one append time where the search is done. */
type Found = Pick<NthSearch, 'low' | 'high' | 'done'>

/** Records that follow on one another; `first` is the index of the first. */
type Run = { first: number; placed: PlacedRecord[] }

/**
 * The n-th record of a topic, from 0, in the order of append time, then partition, then offset; counted from the first
 * record there ever was. No index is kept: each partition is sorted by append time, so "how many before time t" is a
 * sum of offsets, and a search (`nth-event/nth-search.ts`) finds the millisecond of record n. What such looks have told never
 * changes, so later searches begin with it. Where there is more than one partition, a record that was appended
 * just now takes up to `SETTLED_MS` longer.
 */
export class NthRecords {
  readonly #options: Required<NthRecordsOptions>
  readonly #snapshots: TopicSnapshots
  readonly #anchors = new TimeAnchors()
  readonly #records = createRecordCache()
  #firsts: readonly number[] = []
  #logId: string | undefined

  constructor(options: NthRecordsOptions) {
    this.#options = { now: Date.now, endsMs: ENDS_MS, searched: () => {}, ...options }
    this.#snapshots = new TopicSnapshots(this.#options)
  }

  /** Looks at the topic before anybody asks, so that the first need not wait for connections. */
  prepare(): void {
    // What goes wrong is told to who asks: it is tried again then.
    this.#snapshot(undefined).catch(() => {})
  }

  async find(n: number): Promise<NthRecord> {
    for (let tries = 0; ; tries++) {
      const snapshot = await this.#snapshot(tries === 0 ? n : undefined)
      if (n >= snapshot.count) return { kind: 'beyond' }
      if (n < snapshot.removed) return { kind: 'removed' }
      const found = await this.#findIn(snapshot, n, { near: tries === 0 ? NEAR : 0 }).catch(ifMadeAnew)
      if (found !== undefined) return found
      if (tries === SEARCHES_MAX) {
        throw new Failure('log_unavailable', `${this.#options.topic} changes too fast to be searched`, {
          retryable: true,
        })
      }
    }
  }

  /** The index of the first record at or after a time: undefined where there is none. */
  async indexFrom(time: EpochMs): Promise<number | undefined> {
    const snapshot = await this.#snapshot(undefined)
    const { count } = this.#anchors.at(time) ?? (await this.#look(snapshot, time))
    return count < snapshot.count ? count : undefined
  }

  /** The index of a record that was read; undefined when retention has removed so much that nobody can tell. */
  async indexOf({ partition, record: { offset, appendTime } }: PlacedRecord): Promise<number | undefined> {
    let snapshot = await this.#snapshot(undefined)
    if (snapshot.nexts.length === 1) return offset
    snapshot = await this.#settle(snapshot, appendTime)
    const look = async (time: EpochMs) => this.#anchors.at(time) ?? this.#look(snapshot, time)
    const [begin, end] = await Promise.all([look(appendTime), look(appendTime + 1)])
    if (!isCertain(begin, snapshot)) return undefined
    const before = (other: number) => (end.offsets[other] ?? 0) - (begin.offsets[other] ?? 0)
    const earlier = sum(Array.from({ length: partition }, (_, other) => before(other)))
    return begin.count + earlier + offset - (begin.offsets[partition] ?? 0)
  }

  /** The earliest time from which on every record's index can be told; 0 where that is all of them. */
  async certainFrom(): Promise<EpochMs> {
    const { firsts } = await this.#snapshot(undefined)
    if (firsts.length === 1 || firsts.every((first) => first === 0)) return 0
    const oldest = await this.#options.log.offsetsAt({ topic: this.#options.topic, time: 0 })
    const times = oldest.filter(({ partition }) => (firsts[partition] ?? 0) > 0).map(({ appendTime }) => appendTime)
    return Math.max(...times.map((time) => (time ?? this.#options.now()) + 1))
  }

  /** Undefined: the log has changed under the search. */
  async #findIn(snapshot: TopicSnapshot, n: number, options: { near: number }): Promise<NthRecord | undefined> {
    const known = this.#records.get(n)
    if (known !== undefined) return { kind: 'found', ...known }
    if (snapshot.nexts.length === 1) return this.#findInOnly(snapshot, n)
    const { search, looks } = await this.#search(snapshot, n, options)
    if (search === undefined) return undefined
    if (search.done && !isCertain(search.low, snapshot)) return { kind: 'removed' }
    // What retention removes during a search makes it count wrong; both are asked for in one flight.
    const [run, after] = await Promise.all([
      search.done ? this.#readAmong(snapshot, search, n) : this.#readNear(snapshot, search, n),
      looks > 0 && snapshot.removed > 0 ? this.#snapshot(undefined) : snapshot,
    ])
    const nth = run?.placed[n - run.first]
    if (run === undefined || nth === undefined || after.removed !== snapshot.removed) return undefined
    if (snapshot.at < nth.record.appendTime + SETTLED_MS) {
      await this.#settle(snapshot, nth.record.appendTime)
      return undefined
    }
    this.#keep(snapshot, run, snapshot.at - SETTLED_MS)
    return { kind: 'found', ...nth }
  }

  /** In one partition, n is the offset. */
  async #findInOnly(snapshot: TopicSnapshot, n: number): Promise<NthRecord> {
    const run = await this.#read(snapshot, n, { partition: 0, offset: n, ahead: READ_AHEAD })
    const [nth] = run.placed
    // A gap in the offsets, which only retention makes.
    if (nth?.record.offset !== n) return { kind: 'removed' }
    this.#keep(snapshot, run, Number.POSITIVE_INFINITY)
    return { kind: 'found', ...nth }
  }

  #keep({ logId }: TopicSnapshot, { first, placed }: Run, settled: EpochMs): void {
    if (logId !== this.#logId) return
    for (const [i, one] of placed.entries()) {
      if (one.record.appendTime > settled) return
      this.#records.set(first + i, one)
    }
  }

  /** Of records of one append time. */
  async #readAmong(snapshot: TopicSnapshot, { low, high }: Found, n: number): Promise<Run | undefined> {
    let left = n - low.count
    for (const [partition, end] of high.offsets.entries()) {
      const offset = (low.offsets[partition] ?? 0) + left
      if (offset < end) {
        const run = await this.#read(snapshot, n, { partition, offset, ahead: Math.min(READ_AHEAD, end - offset) })
        const [nth] = run.placed
        return nth?.record.offset === offset && nth.record.appendTime === low.time ? run : undefined
      }
      left = offset - end
    }
    return undefined
  }

  /** Of a few records, which are read from each partition and put in order. Undefined where they were not all of them. */
  async #readNear(snapshot: TopicSnapshot, { low, high }: Found, n: number): Promise<Run | undefined> {
    const left = n - low.count
    const read = high.offsets.map(async (end, partition) => {
      const offset = low.offsets[partition] ?? 0
      const ahead = Math.min(left + 1, end - offset)
      const placed = ahead === 0 ? [] : (await this.#read(snapshot, n, { partition, offset, ahead })).placed
      return { placed, isCut: placed.length < ahead }
    })
    const parts = await Promise.all(read)
    const placed = parts.flatMap((part) => part.placed).sort(byPlace)
    const time = placed[left]?.record.appendTime
    if (time === undefined) return undefined
    if (parts.some((part) => part.isCut && (part.placed.at(-1)?.record.appendTime ?? 0) <= time)) return undefined
    return { first: low.count, placed: placed.slice(0, left + 1) }
  }

  /** Reads a record and those behind it, with gaps where there are some; none where retention has removed it. */
  async #read(
    { logId }: TopicSnapshot,
    n: number,
    { partition, offset, ahead }: { partition: number; offset: number; ahead: number },
  ): Promise<Run> {
    const { log, topic } = this.#options
    const options = { topic, partition, from: offset, limit: ahead, bytesMax: READ_BYTES_MAX, logId }
    const records = await log.read(options).catch(ifRemoved)
    return { first: n, placed: records.map((record) => ({ partition, record })) }
  }

  /** What is around record n, as far as it must be known. Undefined where the log has changed under the search. */
  async #search(
    snapshot: TopicSnapshot,
    n: number,
    { near }: { near: number },
  ): Promise<{ search?: Found; looks: number }> {
    const { below, above } = this.#anchors.around(n)
    let looks = 0
    const look = (time: EpochMs, known?: readonly OffsetAtTime[]) => {
      looks++
      return this.#look(snapshot, time, known)
    }
    const low = below ?? (await look(0))
    if (low.count > n) return { looks }
    const search = new NthSearch({ n, low, high: above ?? endOf(snapshot) })
    const isNear = () => !search.isByTime && n - search.low.count < near && isCertain(search.low, snapshot)
    while (!search.done && !isNear()) {
      const times = looks < LOOKS_MAX ? await this.#timesOf(snapshot, search) : undefined
      if (times === undefined) return { looks }
      search.take(await Promise.all(times.map((time) => look(time, search.known(time)))))
    }
    this.#options.searched(looks)
    return { search, looks }
  }

  /** The times that are looked at next. Undefined where retention has removed the record that would have told them. */
  async #timesOf({ logId }: TopicSnapshot, search: NthSearch): Promise<EpochMs[] | undefined> {
    if (search.isByTime) return search.times()
    const { partition, offset } = search.record()
    const { log, topic } = this.#options
    const [record] = await log.read({ topic, partition, from: offset, limit: 1, logId }).catch(ifRemoved)
    return record && search.timesAround(record.appendTime)
  }

  /** @param known - what is known of each partition already; the others are asked for */
  async #look({ at, logId }: TopicSnapshot, time: EpochMs, known?: readonly OffsetAtTime[]): Promise<TimeAnchor> {
    const { log, topic } = this.#options
    const partitions = known?.flatMap((place, partition) => (place === undefined ? [partition] : []))
    const asked =
      partitions?.length === 0 ? [] : await log.offsetsAt({ topic, time, ...(partitions && { partitions }) })
    const rest = asked.values()
    const found = known?.map((place) => place ?? (rest.next().value as TimedOffset)) ?? asked
    const offsets = found.map(({ offset }) => offset)
    const times = found.map(({ appendTime }) => appendTime ?? Number.POSITIVE_INFINITY)
    const next = Math.min(...times)
    const anchor = { from: time, time: Number.isFinite(next) ? next : time, offsets, times, count: sum(offsets) }
    // The topic was made anew in the meantime.
    if (logId !== this.#logId) return anchor
    const settled = at - SETTLED_MS
    if (anchor.time <= settled) this.#anchors.add(anchor)
    // What comes behind this time may still change, but not what comes before it.
    else if (time <= settled) this.#anchors.add({ ...anchor, time })
    return anchor
  }

  /** The ends: as they were lately, where nothing can have changed for record n. */
  async #snapshot(n: number | undefined): Promise<TopicSnapshot> {
    const recent = n === undefined ? undefined : this.#snapshots.recent(this.#options.endsMs)
    if (recent !== undefined && n !== undefined && n < recent.count) return recent
    const snapshot = await this.#snapshots.take()
    if (snapshot.logId !== this.#logId) {
      this.#records.clear()
      this.#anchors.clear()
    } else if (snapshot.firsts.some((first, partition) => first !== (this.#firsts[partition] ?? 0))) {
      this.#records.clear()
      this.#anchors.forgetBefore(snapshot.firsts)
    }
    this.#firsts = snapshot.firsts
    this.#logId = snapshot.logId
    return snapshot
  }

  /** Waits until a record of this time has its place for ever; the ends as they are then. */
  async #settle(snapshot: TopicSnapshot, time: EpochMs): Promise<TopicSnapshot> {
    if (snapshot.at >= time + SETTLED_MS) return snapshot
    const youngMs = time + SETTLED_MS - this.#options.now()
    // A broker's clock that is far ahead must not make anybody wait for it.
    if (youngMs > 0) await sleep(Math.min(youngMs, SETTLED_MS))
    return this.#snapshot(undefined)
  }
}

/** Whether no partition can have lost a record of this time or later: then n could mean another one. */
function isCertain({ offsets }: TimeAnchor, { firsts }: TopicSnapshot): boolean {
  return firsts.every((first, partition) => first === 0 || (offsets[partition] ?? 0) > first)
}

/** All that there is. */
function endOf({ nexts, count }: TopicSnapshot): TimeAnchor {
  const never = Number.POSITIVE_INFINITY
  return { from: never, time: never, offsets: nexts, times: nexts.map(() => never), count }
}

function byPlace(a: PlacedRecord, b: PlacedRecord): number {
  const byTime = a.record.appendTime - b.record.appendTime
  return byTime || a.partition - b.partition || a.record.offset - b.record.offset
}

function ifRemoved(error: unknown): LogRecord[] {
  if (isFailure(error, 'offset_removed')) return []
  throw error
}

function ifMadeAnew(error: unknown): undefined {
  if (!isFailure(error, 'position_conflict')) throw error
}
