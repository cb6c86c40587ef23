/** What a page ends with, to go on from. */
export type PageEnd = { timestamp: number; trace_id: Uint8Array }

/** The database beneath the store, asked by its driver alone: the limit of what Storage writes and reads. */
export type RawDatabase = AsyncDisposable & {
  /** Puts all stored runs into an empty table of the same form; how many a second. */
  copyRate(): Promise<number>
  /** The SELECT of Storage's pages: runs from a time on, or behind a page's end; how many, and their end. */
  page(from: { time: number; after?: PageEnd }, limit: number): Promise<{ rows: number; end: PageEnd | undefined }>
  /** The SELECT of the change feed: all stored runs in the order of the log; how many a second. */
  changesRate(limit: number): Promise<number>
  /** Writes one row and commits it, then finds it by its id. */
  writeAndFind(): Promise<void>
}

export function selectPage(columns: readonly string[], behind: boolean): string {
  const place = behind ? 'timestamp >= ? AND (timestamp > ? OR trace_id > ?)' : 'timestamp >= ?'
  return `SELECT ${columns.join(', ')} FROM running_stats WHERE ${place} ORDER BY timestamp, trace_id LIMIT ?`
}

export function selectChanges(columns: readonly string[]): string {
  const place = 'log_partition = ? AND log_offset >= ?'
  return `SELECT ${columns.join(', ')} FROM running_stats WHERE ${place} ORDER BY log_offset LIMIT ?`
}

export const SELECT_PARTITIONS = 'SELECT DISTINCT log_partition FROM running_stats'

type Change = { log_offset: number }

/** Reads all changes of the partitions, so many rows at a time; how many a second. */
export async function rateOfChanges(
  partitions: readonly number[],
  read: (partition: number, from: number) => Promise<readonly Change[]> | readonly Change[],
  limit: number,
): Promise<number> {
  const started = performance.now()
  let rows = 0
  for (const partition of partitions) {
    for (let from = 0; ; ) {
      const found = await read(partition, from)
      rows += found.length
      if (found.length < limit) break
      from = (found.at(-1)?.log_offset ?? 0) + 1
    }
  }
  return (rows / (performance.now() - started)) * 1000
}

/** A row for `writeAndFind`, in the order of the table's columns. */
export function newRow(offset: number): (number | null | Uint8Array)[] {
  const [traceId, userId] = [crypto.getRandomValues(Buffer.alloc(16)), crypto.getRandomValues(Buffer.alloc(16))]
  return [0, offset, traceId, Date.now(), userId, 1993, 4689.24, Date.now(), null]
}
