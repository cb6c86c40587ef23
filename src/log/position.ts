/** Where a record is. Offsets count from 0 within a partition and are never given twice. */
export type Position = { topic: string; partition: number; offset: number }

/** How far a reader has come in one partition: `next` is the offset that it has not seen yet. */
export type PartitionCursor = { topic: string; partition: number; next: number }

/** How far a reader has come everywhere. Partitions that are not named stand at 0. */
export type Cursors = readonly PartitionCursor[]

const CURSOR = /^([A-Za-z0-9._-]{1,249}):(\d{1,9}):(\d{1,15})$/

export function nextOf(cursors: Cursors, at: { topic: string; partition: number }): number {
  return cursors.find(({ topic, partition }) => topic === at.topic && partition === at.partition)?.next ?? 0
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
