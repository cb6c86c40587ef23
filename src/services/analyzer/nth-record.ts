import { setTimeout as sleep } from 'node:timers/promises'
import type { EpochMs } from '../../events/instant.ts'
import type { EventLog, LogRecord, PartitionRange } from '../../log/event-log.ts'

export type NthRecord =
  | { kind: 'found'; partition: number; record: LogRecord }
  /** The log does not go that far yet. */
  | { kind: 'beyond' }
  /** Retention has removed it, or so much around it that its place cannot be told any more. */
  | { kind: 'removed' }

/**
 * How old a record must be before its place is told. Until then another partition may get one of the same time, or,
 * as brokers' clocks differ a little, of an earlier one: it would come before, and every n behind it would move.
 */
const SETTLED_MS = 200

/**
 * The n-th record of a topic, from 0, in the order of append time, then partition, then offset; counted from the first
 * record there ever was. No index is kept: each partition is sorted by append time, so "how many before time t" is a
 * sum of offsets, and a binary search over t finds the millisecond of record n. O(log of the log's age) calls. Where
 * there is more than one partition, a record that was appended just now takes up to `SETTLED_MS` longer.
 */
export async function findNth(
  log: EventLog,
  topic: string,
  n: number,
  now: () => EpochMs = Date.now,
): Promise<NthRecord> {
  const ranges = await log.partitions(topic)
  if (n >= sum(ranges.map(({ next }) => next))) return { kind: 'beyond' }
  if (n < sum(ranges.map(({ first }) => first))) return { kind: 'removed' }
  const [only] = ranges
  if (ranges.length === 1 && only !== undefined) return readAt(log, { topic, partition: only.partition, offset: n })

  const found = await findByTime(log, topic, n, ranges)
  if (found.kind !== 'found') return found
  const youngMs = SETTLED_MS - (now() - found.record.appendTime)
  if (youngMs <= 0) return found
  await sleep(Math.min(youngMs, SETTLED_MS))
  return findByTime(log, topic, n, await log.partitions(topic))
}

async function findByTime(log: EventLog, topic: string, n: number, ranges: PartitionRange[]): Promise<NthRecord> {
  const time = await timeOfNth(log, topic, n, ranges)
  for (const range of ranges) {
    if (range.first === 0) continue
    const oldest = await recordAt(log, { topic, partition: range.partition, offset: range.first })
    // Records of this partition with the same or a later time may be gone: then n could mean another one.
    if (oldest === undefined || time <= oldest.appendTime) return { kind: 'removed' }
  }
  const begin = await log.offsetsAt({ topic, time })
  const end = await log.offsetsAt({ topic, time: time + 1 })
  let left = n - sum(begin.map(({ offset }) => offset))
  for (const [index, { partition, offset }] of begin.entries()) {
    const count = (end[index]?.offset ?? offset) - offset
    if (left < count) return readAt(log, { topic, partition, offset: offset + left })
    left -= count
  }
  return { kind: 'beyond' }
}

/** The largest t with at most n records before it: the append time of record n. */
async function timeOfNth(log: EventLog, topic: string, n: number, ranges: PartitionRange[]): Promise<EpochMs> {
  let low = Number.POSITIVE_INFINITY
  let high = 0
  for (const { partition, first, next } of ranges) {
    if (first === next) continue
    const oldest = await recordAt(log, { topic, partition, offset: first })
    const newest = await recordAt(log, { topic, partition, offset: next - 1 })
    low = Math.min(low, oldest?.appendTime ?? low)
    high = Math.max(high, newest?.appendTime ?? high)
  }
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    const before = sum((await log.offsetsAt({ topic, time: middle })).map(({ offset }) => offset))
    if (before <= n) low = middle
    else high = middle - 1
  }
  return low
}

type Place = { topic: string; partition: number; offset: number }

async function readAt(log: EventLog, place: Place): Promise<NthRecord> {
  const record = await recordAt(log, place)
  return record === undefined ? { kind: 'beyond' } : { kind: 'found', partition: place.partition, record }
}

async function recordAt(log: EventLog, { topic, partition, offset }: Place): Promise<LogRecord | undefined> {
  const [record] = await log.read({ topic, partition, from: offset, limit: 1 })
  return record
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
