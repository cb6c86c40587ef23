import { Failure, isFailure } from '../errors.ts'
import type { EventLog, RecordBatch } from './event-log.ts'
import { type KeptCursor, keptAt, type LogMark, type PartitionCursor } from './position.ts'

/** Who keeps cursors, for people: what it is, and what brings it together with the log that is there. */
export type Keeper = { name: string; remedy: string }

/**
 * Where a keeper goes on reading in a log, with the mark that this place has there. Throws `position_conflict` where the
 * log is not the one along which the cursor was moved: then nothing may be skipped, however far that log has grown since.
 */
export async function placeInLog(
  log: EventLog,
  { topic, partition, logId }: { topic: string; partition: number; logId: string },
  { cursors, keeper }: { cursors: readonly KeptCursor[]; keeper: Keeper },
): Promise<Required<KeptCursor>> {
  const kept = keptAt(cursors, { topic, partition })
  const next = kept?.next ?? 0
  const refuse = (is: string) => {
    const detail = `${keeper.name} has ${topic}:${partition} up to ${next}${ofLog(kept?.mark)}, but ${is}: ${keeper.remedy}`
    return new Failure('position_conflict', detail, { retryable: false })
  }
  if (kept?.mark !== undefined && kept.mark.logId !== logId) throw refuse(`this is another log, ${logId}`)
  const range = (await log.partitions(topic)).find((one) => one.partition === partition)
  const { first, next: end } = range ?? { first: 0, next: 0 }
  if (next > end) throw refuse(`the log ends at ${end}, so it is an older copy or another one`)
  const appendTime = next > first ? await appendTimeAt(log, { topic, partition, from: next - 1, logId }) : undefined
  const before = kept?.mark?.appendTime
  if (before !== undefined && appendTime !== undefined && before !== appendTime) {
    throw refuse('the record before that is another one there, so the log is an older copy that has gone on since')
  }
  return { topic, partition, next, mark: { logId, appendTime: appendTime ?? before } }
}

/** What to keep beside the cursor when all of a batch is handled. */
export function markOf({ logId, records, next }: Pick<RecordBatch, 'logId' | 'records' | 'next'>): LogMark {
  const last = records.at(-1)
  return { logId, ...(last?.offset === next - 1 && { appendTime: last.appendTime }) }
}

/** For adapters, within the transaction that moves a cursor: what was read of one log must not be put behind another's. */
export function refuseOtherLog(
  { topic, partition, next }: PartitionCursor,
  { kept, mark }: { kept: string | null | undefined; mark: LogMark | undefined },
): void {
  if (kept == null || mark === undefined || kept === mark.logId) return
  const detail = `${topic}:${partition} is kept up to ${next} of the log ${kept}, the batch is of the log ${mark.logId}`
  throw new Failure('position_conflict', detail, { retryable: true })
}

/** For adapters: a topic that is read turns out to be in another log by now. */
export function madeAnew(topic: string, { expected, logId }: { expected: string; logId: string }): Failure {
  const detail = `${topic} was read in the log ${expected}, but has been made anew: it is in the log ${logId} now`
  return new Failure('position_conflict', detail, { retryable: true })
}

function ofLog(mark: LogMark | undefined): string {
  return mark === undefined ? '' : ` of the log ${mark.logId}`
}

/** Undefined where there is no such record any more. */
async function appendTimeAt(
  log: EventLog,
  at: { topic: string; partition: number; from: number; logId: string },
): Promise<number | undefined> {
  try {
    const [record] = await log.read({ ...at, limit: 1 })
    return record?.offset === at.from ? record.appendTime : undefined
  } catch (error) {
    if (isFailure(error, 'offset_removed')) return undefined
    throw error
  }
}
