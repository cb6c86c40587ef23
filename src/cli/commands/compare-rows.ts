import { isFailure } from '../../errors.ts'
import { CATALOGUE, type EventType } from '../../events/catalogue.ts'
import { decodeEvent, sameContent } from '../../events/codec.ts'
import type { EventLog, LogRecord } from '../../log/event-log.ts'
import { type Cursors, formatCursors } from '../../log/position.ts'
import type { StoredEvent } from '../../store/columns.ts'
import type { EventStore } from '../../store/event-store.ts'

export type RowComparison = {
  compared: number
  /** Rows that are not what the log has at their place: all of them counted, the first named. */
  different: number
  differences: string[]
  /** Rows whose record retention has removed from the log. */
  removed: number
}

const PAGE_ROWS = 1000
const NAMED_MAX = 20

/**
 * Holds every row of the store against the log's record at its place. This finds values that were changed to other valid
 * ones, of which no check of the file itself knows; what is missing from the store, `runify audit` finds.
 */
export async function compareRows(log: EventLog, store: EventStore): Promise<RowComparison> {
  const found: RowComparison = { compared: 0, different: 0, differences: [], removed: 0 }
  for (let after: Cursors = []; ; ) {
    const page = await store.changes({ after, limit: PAGE_ROWS })
    for (const rows of byPartition(page.changes)) await comparePartition(log, rows, found)
    const moved = formatCursors(page.next) !== formatCursors(after)
    if (page.complete || !moved) return found
    after = page.next
  }
}

/** Rows of one type and partition, by offset. */
async function comparePartition(log: EventLog, rows: StoredEvent[], found: RowComparison): Promise<void> {
  const [{ event, partition }] = rows as [StoredEvent]
  const topic = CATALOGUE[event.type].topic
  let records: LogRecord[] = []
  for (const row of rows) {
    if ((records.at(-1)?.offset ?? -1) < row.offset) {
      try {
        records = await log.read({ topic, partition, from: row.offset, limit: PAGE_ROWS })
      } catch (error) {
        if (!isFailure(error, 'offset_removed')) throw error
        found.removed++
        continue
      }
    }
    const record = records.find(({ offset }) => offset === row.offset)
    found.compared++
    if (record !== undefined && isOf(row, record)) continue
    found.different++
    if (found.differences.length < NAMED_MAX) {
      found.differences.push(`${topic}:${partition} offset ${row.offset}, trace_id ${row.event.trace_id}`)
    }
  }
}

function isOf({ event }: StoredEvent, { value }: LogRecord): boolean {
  const decoded = decodeEvent(event.type, value)
  if (!decoded.ok) return false
  const { trace_id, date_created } = decoded.event
  return trace_id === event.trace_id && date_created === event.date_created && sameContent(decoded.event, event)
}

function byPartition(rows: readonly StoredEvent[]): StoredEvent[][] {
  return Object.values(
    Object.groupBy(rows, ({ event, partition }) => `${event.type satisfies EventType}:${partition}`),
  ) as StoredEvent[][]
}
