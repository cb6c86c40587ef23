import type { Kysely } from 'kysely'
import type { Canary } from '../events/canary.ts'
import type { LogMark } from '../log/position.ts'
import { uuidFromBytes, uuidToBytes } from './columns.ts'

/** Consecutive records of one partition of the canaries' topic, like `StoreBatch`. */
export type CanaryBatch = {
  partition: number
  from: number
  next: number
  canaries: readonly (Canary & { offset: number })[]
  mark?: LogMark | undefined
}

export type StoredCanary = Canary & { partition: number; offset: number }

export type CanaryTable = { log_partition: number; log_offset: number; trace_id: Uint8Array; date_created: number }

/** The newest of each partition; those before are removed as others come. */
export const CANARIES_KEPT = 1000

export async function readCanary(
  db: Kysely<{ canaries: CanaryTable }>,
  traceId: string,
): Promise<StoredCanary | undefined> {
  const row = await db
    .selectFrom('canaries')
    .selectAll()
    .where('trace_id', '=', uuidToBytes(traceId))
    .executeTakeFirst()
  if (row === undefined) return undefined
  const { log_partition: partition, log_offset: offset, trace_id, date_created } = row
  return { partition, offset, trace_id: uuidFromBytes(trace_id), date_created }
}
