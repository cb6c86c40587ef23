import { LRUCache } from 'lru-cache'
import type { LogRecord } from '../../log/event-log.ts'

export type PlacedRecord = { partition: number; record: LogRecord }

const BYTES_MAX = 2 * 1024 * 1024
/** What an entry takes beside its value, about. */
const ENTRY_BYTES = 300

type RecordCache = LRUCache<number, PlacedRecord>

/** Records by their index, as many as fit: those that were asked for longest ago go. */
export function createRecordCache(): RecordCache {
  return new LRUCache({
    maxSize: BYTES_MAX,
    sizeCalculation: ({ record }) => record.value.byteLength + ENTRY_BYTES,
  })
}
