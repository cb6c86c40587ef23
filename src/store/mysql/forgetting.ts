import { Failure } from '../../errors.ts'
import { EVENT_TYPES, type EventType } from '../../events/catalogue.ts'
import { FINGERPRINT_DIGITS, fingerprintOf } from '../../events/fingerprint.ts'
import { MS_PER_HOUR } from '../../events/instant.ts'
import { refuseOtherLog } from '../../log/place-in-log.ts'
import { FORGOTTEN_TOPIC, ForgottenUsers, type Tombstone } from '../../log/tombstone.ts'
import { uuidFromBytes } from '../columns.ts'
import { isForgotten, topicOf } from '../event-queries.ts'
import type { ForgetBatch, StoreBatch } from '../event-store.ts'
import type { Ending, MysqlDatabase } from './database.ts'
import { literal, markAssignments, rowLiteral, uuidLiteral } from './literal.ts'
import type { MysqlSession } from './session.ts'

/** What is erased in one transaction: well below the time that a writer waits for a lock. */
const CHUNK_ROWS = 1000

/**
 * Carries tombstones out, on whichever instances, at the same time too. The invariant: the tombstone is there before the
 * first event is erased, and no writer is under way that does not see it (`withoutForgotten`); and its cursor moves when
 * all events are erased. Killed in between, it begins again and finds less to do.
 */
export async function forgetUser<DB>(database: MysqlDatabase<DB>, batch: ForgetBatch): Promise<void> {
  const { partition, next, tombstone, mark } = batch
  if (!(await database.transact((session) => begin(session, batch)))) return
  if (tombstone !== undefined) {
    for (const type of EVENT_TYPES) {
      const erase = (session: MysqlSession) => eraseSome(session, { type, partition, tombstone })
      while ((await database.transact(erase)) === CHUNK_ROWS);
    }
  }
  await database.transact(async (session) => {
    await session.query(
      `UPDATE stored_cursors SET next = ${next}, ${markAssignments(mark)} WHERE ${cursorAt(partition)} AND next < ${next}`,
    )
    return { keep: true, result: undefined }
  })
}

/**
 * Those of a batch whose user was not forgotten later, within the transaction that writes them. It holds the gate from
 * here to its end, so that no tombstone comes in between; it comes first, as what is read behind it must be newer.
 */
export async function withoutForgotten(
  session: MysqlSession,
  { type, partition, events }: StoreBatch,
): Promise<StoreBatch['events']> {
  const [gate] = await session.query<{ tombstones: number }[]>(
    'SELECT tombstones FROM forgetting_gate WHERE id = 1 FOR SHARE',
  )
  if (gate === undefined || gate.tombstones === 0 || events.length === 0) return events
  const topic = topicOf(type)
  const users = [...new Set(events.map(({ event }) => uuidLiteral(event.fields.user_id)))]
  const forgotten = new ForgottenUsers()
  const times = await session.query<{ user_id: Uint8Array; time: number }[]>(
    `SELECT user_id, MAX(forgotten_at) AS time FROM forgotten_users WHERE user_id IN (${users}) AND by_time = 1 ` +
      'GROUP BY user_id',
  )
  for (const { user_id, time } of times) forgotten.add({ user_id: uuidFromBytes(user_id), forgotten_at: time })
  const places = await session.query<{ user_id: Uint8Array; next: number }[]>(
    `SELECT user_id, next FROM forgotten_positions WHERE user_id IN (${users}) AND topic = ${literal(topic)} ` +
      `AND partition_id = ${partition}`,
  )
  for (const { user_id, next } of places) {
    const positions = [{ topic, partition, next }]
    forgotten.add({ user_id: uuidFromBytes(user_id), forgotten_at: 0, positions })
  }
  return events.filter(({ offset, event: { fields, date_created } }) => {
    return !forgotten.has(fields.user_id, date_created, { topic, partition, offset })
  })
}

/** False where that was done before. */
async function begin(
  session: MysqlSession,
  { partition, from, next, tombstone, mark }: ForgetBatch,
): Promise<Ending<boolean>> {
  // Waits for the writers that are under way; those that come after see the tombstone.
  await session.query('UPDATE forgetting_gate SET tombstones = tombstones + 1 WHERE id = 1')
  const rows = await session.query<{ next: number; log_id: string | null }[]>(
    `SELECT next, log_id FROM stored_cursors WHERE ${cursorAt(partition)} FOR UPDATE`,
  )
  const at = rows[0]?.next ?? 0
  refuseOtherLog({ topic: FORGOTTEN_TOPIC, partition, next: at }, { kept: rows[0]?.log_id, mark })
  if (at < from) {
    const detail = `${FORGOTTEN_TOPIC}:${partition} is stored up to ${at}, the batch begins at ${from}`
    throw new Failure('position_conflict', detail, { retryable: true })
  }
  if (at >= next) return { keep: false, result: false }
  await session.query(
    `INSERT IGNORE INTO stored_cursors (topic, partition_id, next, \`stored\`) VALUES ${rowLiteral([FORGOTTEN_TOPIC, partition, at, 0])}`,
  )
  if (tombstone !== undefined) {
    const { offset, request_id, user_id, forgotten_at, positions } = tombstone
    const ids = [request_id, user_id].map(uuidLiteral)
    await session.query(
      'INSERT IGNORE INTO forgotten_users (log_partition, log_offset, request_id, user_id, forgotten_at, by_time, ' +
        `${EVENT_TYPES}) VALUES (${partition}, ${offset}, ${ids}, ${forgotten_at}, ` +
        `${positions === undefined ? 1 : 0}, ${EVENT_TYPES.map(() => 0)})`,
    )
    const places = (positions ?? []).map((place) => {
      return `(${uuidLiteral(user_id)},${literal(place.topic)},${place.partition},${place.next})`
    })
    if (places.length > 0) {
      await session.query(
        `INSERT INTO forgotten_positions (user_id, topic, partition_id, next) VALUES ${places} ` +
          'ON DUPLICATE KEY UPDATE next = GREATEST(next, VALUES(next))',
      )
    }
  }
  return { keep: true, result: true }
}

type Some = { type: EventType; partition: number; tombstone: Tombstone & { offset: number } }
type ErasedRow = { log_partition: number; log_offset: number; date_created: number; tail: string }

/** Gives how many were erased. Locks in the order in which a writer does: the cursor, then the rows. */
async function eraseSome(session: MysqlSession, { type, partition, tombstone }: Some): Promise<Ending<number>> {
  const { user_id, request_id, offset } = tombstone
  const select = () =>
    session.query<ErasedRow[]>(
      'SELECT log_partition, log_offset, date_created, ' +
        `RIGHT(HEX(trace_id), ${FINGERPRINT_DIGITS}) AS tail FROM ${type} ` +
        `WHERE user_id = ${uuidLiteral(user_id)} AND ${isForgotten(tombstone, type)} ` +
        `ORDER BY date_created, trace_id LIMIT ${CHUNK_ROWS}`,
    )
  const partitions = new Set((await select()).map((row) => row.log_partition))
  if (partitions.size === 0) return { keep: false, result: 0 }
  const topic = literal(topicOf(type))
  await session.query(
    `SELECT 1 FROM stored_cursors WHERE topic = ${topic} AND partition_id IN (${[...partitions]}) ORDER BY partition_id FOR UPDATE`,
  )
  // Another instance may have erased them in the meantime.
  const rows = (await select()).filter((row) => partitions.has(row.log_partition))
  if (rows.length === 0) return { keep: false, result: CHUNK_ROWS }
  const id = uuidLiteral(request_id)
  const kept = rows.map(({ log_partition, log_offset, date_created, tail }) => {
    const hour = Math.floor(date_created / MS_PER_HOUR)
    return `(${id},${literal(type)},${log_partition},${log_offset},${hour},${fingerprintOf(tail)})`
  })
  await session.query(`INSERT IGNORE INTO erased_events VALUES ${kept}`)
  const places = rows.map(({ log_partition, log_offset }) => `(${log_partition},${log_offset})`)
  const { affectedRows } = await session.query(`DELETE FROM ${type} WHERE (log_partition, log_offset) IN (${places})`)
  if (affectedRows !== rows.length) return { keep: false, result: CHUNK_ROWS }
  for (const [place, of] of Map.groupBy(rows, (row) => row.log_partition)) {
    await session.query(
      `UPDATE stored_cursors SET \`stored\` = \`stored\` - ${of.length} WHERE topic = ${topic} AND partition_id = ${place}`,
    )
  }
  await session.query(
    `UPDATE forgotten_users SET ${type} = ${type} + ${rows.length} WHERE log_partition = ${partition} AND log_offset = ${offset}`,
  )
  return { keep: true, result: rows.length }
}

function cursorAt(partition: number): string {
  return `topic = ${literal(FORGOTTEN_TOPIC)} AND partition_id = ${partition}`
}
