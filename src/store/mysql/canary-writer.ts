import { CANARY } from '../../events/catalogue.ts'
import { CANARIES_KEPT, type CanaryBatch } from '../canaries.ts'
import type { Ending } from './database.ts'
import { lockCursor, moveCursor } from './event-writer.ts'
import { uuidLiteral } from './literal.ts'
import type { MysqlSession } from './session.ts'

/** The work of one transaction. A record that was appended twice has the place of its first. */
export async function writeCanaries(session: MysqlSession, batch: CanaryBatch): Promise<Ending<void>> {
  const { partition, from, next, canaries, mark } = batch
  const at = await lockCursor(session, { topic: CANARY.topic, partition, from, mark })
  if (at >= next) return { keep: false, result: undefined }
  const fresh = canaries.filter(({ offset }) => offset >= Math.max(at, next - CANARIES_KEPT))
  if (fresh.length > 0) {
    const rows = fresh.map(({ offset, trace_id, date_created }) => {
      return `(${partition},${offset},${uuidLiteral(trace_id)},${date_created})`
    })
    await session.query(
      `INSERT INTO canaries (log_partition, log_offset, trace_id, date_created) VALUES ${rows.join(',')} ` +
        'ON DUPLICATE KEY UPDATE date_created = canaries.date_created',
    )
  }
  await session.query(
    `DELETE FROM canaries WHERE log_partition = ${partition} AND log_offset < ${next - CANARIES_KEPT}`,
  )
  await moveCursor(session, { topic: CANARY.topic, partition, next, stored: 0, mark })
  return { keep: true, result: undefined }
}
