import type { EpochMs } from '../events/instant.ts'

/** Where a record is. Offsets count from 0 within a partition and are never given twice. */
export type Position = { topic: string; partition: number; offset: number }

/** How far a reader has come in one partition: `next` is the offset that it has not seen yet. */
export type PartitionCursor = { topic: string; partition: number; next: number }

/**
 * What shows of which log a cursor is, kept beside it: an offset alone cannot tell a log from one that was made anew, or from
 * an older copy that has gone on otherwise.
 */
export type LogMark = {
  /** As `EventLog.logId` gives it. */
  logId: string
  /** When the log took the record right before `next`; undefined where that is not known, as where retention has removed it. */
  appendTime?: EpochMs | undefined
}

/** A cursor as it is kept. Without a mark it is one that a version wrote which kept none. */
export type KeptCursor = PartitionCursor & { mark?: LogMark }

/** How far a reader has come everywhere. Partitions that are not named stand at 0. */
export type Cursors = readonly PartitionCursor[]

const CURSOR = /^([A-Za-z0-9._-]{1,249}):(\d{1,9}):(\d{1,15})$/

export function nextOf(cursors: Cursors, at: { topic: string; partition: number }): number {
  return cursors.find(({ topic, partition }) => topic === at.topic && partition === at.partition)?.next ?? 0
}

export function keptAt(
  cursors: readonly KeptCursor[],
  at: { topic: string; partition: number },
): KeptCursor | undefined {
  return cursors.find(({ topic, partition }) => topic === at.topic && partition === at.partition)
}

/** Cursors without their marks, as answers have them. */
export function withoutMarks(cursors: readonly KeptCursor[]): PartitionCursor[] {
  return cursors.map(({ topic, partition, next }) => ({ topic, partition, next }))
}

/** Reads a mark from the columns that keep it, which are null where there is none. */
export function readMark({ log_id, append_time }: MarkColumns): { mark?: LogMark } {
  if (log_id === null) return {}
  return { mark: append_time === null ? { logId: log_id } : { logId: log_id, appendTime: Number(append_time) } }
}

/** The columns that keep a mark beside `next`. */
export type MarkColumns = { log_id: string | null; append_time: number | null }

export function markColumns(mark: LogMark | undefined): MarkColumns {
  return { log_id: mark?.logId ?? null, append_time: mark?.appendTime ?? null }
}

/** The logs that cursors are of: `topic=id,…`. */
export function formatLogs(cursors: readonly KeptCursor[]): string {
  const logs = new Map(cursors.flatMap(({ topic, mark }) => (mark === undefined ? [] : [[topic, mark.logId] as const])))
  return [...logs]
    .map(([topic, logId]) => `${topic}=${logId}`)
    .sort()
    .join(',')
}

/** Gives cursors the marks of what `formatLogs` has written. */
export function withLogs(cursors: Cursors, text: string): KeptCursor[] {
  const logs = new Map(text.split(',').map((part) => part.split('=') as [string, string | undefined]))
  return cursors.map((cursor) => {
    const logId = logs.get(cursor.topic)
    return logId === undefined ? cursor : { ...cursor, mark: { logId } }
  })
}

/** `cursors` with each of `moved` in the place of what stood there for that partition. */
export function withMoved(cursors: Cursors, moved: Cursors): PartitionCursor[] {
  const kept = cursors.filter((cursor) => !moved.some((other) => samePartition(cursor, other)))
  return [...kept, ...moved].sort(byPartition)
}

/** The text form `topic:partition:next,…`, the same for the same cursors. '' stands for the beginning. */
export function formatCursors(cursors: Cursors): string {
  return [...cursors]
    .sort(byPartition)
    .map(({ topic, partition, next }) => `${topic}:${partition}:${next}`)
    .join(',')
}

/** Reads `formatCursors` back; undefined when the text is not of that form or names a partition twice. */
export function parseCursors(text: string): PartitionCursor[] | undefined {
  if (text === '') return []
  const cursors: PartitionCursor[] = []
  for (const part of text.split(',')) {
    const match = CURSOR.exec(part)
    if (match === null) return undefined
    const cursor = { topic: match[1] as string, partition: Number(match[2]), next: Number(match[3]) }
    if (cursors.some((other) => samePartition(cursor, other))) return undefined
    cursors.push(cursor)
  }
  return cursors
}

export function samePartition(a: PartitionCursor, b: PartitionCursor): boolean {
  return a.topic === b.topic && a.partition === b.partition
}

function byPartition(a: PartitionCursor, b: PartitionCursor): number {
  return a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1
}
