import { isFailure } from '../../../errors.ts'
import { CATALOGUE, EVENT_TYPES, type EventType } from '../../../events/catalogue.ts'
import { decodeKnown } from '../../../events/codec.ts'
import type { EpochMs } from '../../../events/instant.ts'
import type { EventLog, LogRecord } from '../../../log/event-log.ts'
import type { PlacedRecord } from '../record-cache.ts'

/** What the log took at `from` or later and before `to`. */
export type Window = { from: EpochMs; to: EpochMs }

export type LogSearch = { found: (PlacedRecord & { type: EventType }) | undefined; mib: number; isWhole: boolean }

const PAGE = { limit: 1000, bytesMax: 256 * 1024 }
const BYTES_MAX = 32 * 1024 * 1024

type OffsetRange = { type: EventType; partition: number; next: number; end: number }

/**
 * Looks through a part of the log for an event, of any type, in bounds: all partitions side by side, a page of each in turn,
 * because what they took at the same time lies at the same distance from their beginnings.
 */
export async function searchLog(log: EventLog, traceId: string, window: Window): Promise<LogSearch> {
  const ranges = (await Promise.all(EVENT_TYPES.map((type) => offsetRangesOf(log, type, window)))).flat()
  let bytes = 0
  while (ranges.length > 0 && bytes < BYTES_MAX) {
    for (const range of [...ranges]) {
      const records = await readPage(log, range)
      for (const record of records) {
        bytes += record.value.byteLength
        if (isEvent(range.type, record, traceId)) {
          return {
            found: { type: range.type, partition: range.partition, record },
            mib: toMib(bytes),
            isWhole: true,
          }
        }
      }
      range.next = (records.at(-1)?.offset ?? range.end) + 1
      if (range.next >= range.end) ranges.splice(ranges.indexOf(range), 1)
    }
  }
  return { found: undefined, mib: toMib(bytes), isWhole: ranges.length === 0 }
}

async function offsetRangesOf(log: EventLog, type: EventType, { from, to }: Window): Promise<OffsetRange[]> {
  const { topic } = CATALOGUE[type]
  // The end comes second, so that it is never before the beginning.
  const begin = await log.offsetsAt({ topic, time: from })
  const end = await log.offsetsAt({ topic, time: to })
  return begin.flatMap(({ partition, offset }) => {
    const behind = end[partition]?.offset ?? offset
    return offset < behind ? [{ type, partition, next: offset, end: behind }] : []
  })
}

async function readPage(log: EventLog, { type, partition, next, end }: OffsetRange): Promise<LogRecord[]> {
  const limit = Math.min(PAGE.limit, end - next)
  const { topic } = CATALOGUE[type]
  return log.read({ topic, partition, from: next, limit, bytesMax: PAGE.bytesMax }).catch((error) => {
    if (isFailure(error, 'offset_removed')) return []
    throw error
  })
}

/** Most records are passed over without being decoded. */
function isEvent(type: EventType, { value }: LogRecord, traceId: string): boolean {
  if (!Buffer.from(value.buffer, value.byteOffset, value.byteLength).includes(traceId)) return false
  const decoded = decodeKnown(type, value)
  return decoded.ok && decoded.event.trace_id === traceId
}

function toMib(bytes: number): number {
  return Math.round((bytes / (1024 * 1024)) * 10) / 10
}
