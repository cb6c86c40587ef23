import { setImmediate as others } from 'node:timers/promises'
import { Failure } from '../../errors.ts'
import { EVENT_TYPES, type EventType } from '../../events/catalogue.ts'
import { FINGERPRINT_DIGITS, fingerprintOf } from '../../events/fingerprint.ts'
import { MS_PER_HOUR } from '../../events/instant.ts'
import { refuseOtherLog } from '../../log/place-in-log.ts'
import { markColumns } from '../../log/position.ts'
import { FORGOTTEN_TOPIC, ForgottenUsers } from '../../log/tombstone.ts'
import { uuidToBytes } from '../columns.ts'
import { isForgotten, topicOf } from '../event-queries.ts'
import type { ForgetBatch, StoreBatch } from '../event-store.ts'
import { type SqliteConnection, transact } from './database.ts'

/** What is erased in one transaction: some milliseconds, so that requests need not wait for a user of many events. */
const CHUNK_ROWS = 1000

/**
 * Carries tombstones out. The invariant: the tombstone is there before the first event is erased, so that none is written
 * behind it; and its cursor moves when all are. Killed in between, it begins again and finds less to do.
 */
export function prepareForgetting(database: SqliteConnection) {
  const statements = prepareStatements(database)
  const cursorOf = (partition: number) =>
    statements.cursor.get(FORGOTTEN_TOPIC, partition) as { next: number; log_id: string | null } | undefined
  const moveCursor = (partition: number, next: number, mark: ForgetBatch['mark']) => {
    const { log_id, append_time } = markColumns(mark)
    statements.moveCursor.run(FORGOTTEN_TOPIC, partition, next, log_id, append_time)
  }

  /** False where that was done before. */
  function begin({ partition, from, next, tombstone, mark }: ForgetBatch): boolean {
    const row = cursorOf(partition)
    const at = row?.next ?? 0
    refuseOtherLog({ topic: FORGOTTEN_TOPIC, partition, next: at }, { kept: row?.log_id, mark })
    if (at < from) {
      const detail = `${FORGOTTEN_TOPIC}:${partition} is stored up to ${at}, the batch begins at ${from}`
      throw new Failure('position_conflict', detail, { retryable: true })
    }
    if (at >= next) return false
    statements.makeCursor.run(FORGOTTEN_TOPIC, partition, at)
    if (tombstone !== undefined) {
      const { offset, request_id, user_id, forgotten_at, positions } = tombstone
      const [request, user] = [uuidToBytes(request_id), uuidToBytes(user_id)]
      statements.add.run(partition, offset, request, user, forgotten_at, positions === undefined ? 1 : 0)
      for (const place of positions ?? []) statements.addPosition.run(user, place.topic, place.partition, place.next)
    }
    return true
  }

  /** Gives how many were erased. */
  function eraseSome(type: EventType, partition: number, tombstone: NonNullable<ForgetBatch['tombstone']>): number {
    const { keep, remove, uncount, tell } = statements.types[type]
    const find = database.prepare(
      `SELECT log_partition, log_offset, substr(hex(trace_id), -${FINGERPRINT_DIGITS}) AS tail, date_created
      FROM ${type} WHERE user_id = ? AND ${isForgotten(tombstone, type)} ORDER BY date_created, trace_id LIMIT ?`,
    )
    const rows = find.all(uuidToBytes(tombstone.user_id), CHUNK_ROWS) as ErasedRow[]
    for (const { log_partition, log_offset, date_created, tail } of rows) {
      const hour = Math.floor(date_created / MS_PER_HOUR)
      const fingerprint = fingerprintOf(tail)
      keep.run(uuidToBytes(tombstone.request_id), log_partition, log_offset, hour, fingerprint)
      remove.run(log_partition, log_offset)
      uncount.run(topicOf(type), log_partition)
    }
    if (rows.length > 0) tell.run(rows.length, partition, tombstone.offset)
    return rows.length
  }

  return {
    async forget(batch: ForgetBatch): Promise<void> {
      const { partition, next, tombstone, mark } = batch
      if (!transact(database, () => begin(batch))) return
      if (tombstone !== undefined) {
        for (const type of EVENT_TYPES) {
          while (transact(database, () => eraseSome(type, partition, tombstone)) === CHUNK_ROWS) await others()
        }
      }
      transact(database, () => moveCursor(partition, next, mark))
    },

    /** Those events whose user was not forgotten later. */
    withoutForgotten({ type, partition, events }: StoreBatch): StoreBatch['events'] {
      if (statements.any.get() === undefined) return events
      const topic = topicOf(type)
      const forgotten = new ForgottenUsers()
      for (const user_id of new Set(events.map(({ event }) => event.fields.user_id))) {
        const user = uuidToBytes(user_id)
        const { time } = statements.forgottenAt.get(user) as { time: number | null }
        if (time !== null) forgotten.add({ user_id, forgotten_at: time })
        const place = statements.position.get(user, topic, partition) as { next: number } | undefined
        if (place === undefined) continue
        forgotten.add({ user_id, forgotten_at: 0, positions: [{ topic, partition, next: place.next }] })
      }
      return events.filter(({ offset, event: { fields, date_created } }) => {
        return !forgotten.has(fields.user_id, date_created, { topic, partition, offset })
      })
    },
  }
}

type ErasedRow = { log_partition: number; log_offset: number; date_created: number; tail: string }

function prepareStatements(database: SqliteConnection) {
  const types = Object.fromEntries(
    EVENT_TYPES.map((type) => [
      type,
      {
        keep: database.prepare(`INSERT OR IGNORE INTO erased_events VALUES (?, '${type}', ?, ?, ?, ?)`),
        remove: database.prepare(`DELETE FROM ${type} WHERE log_partition = ? AND log_offset = ?`),
        uncount: database.prepare('UPDATE stored_cursors SET stored = stored - 1 WHERE topic = ? AND partition_id = ?'),
        tell: database.prepare(
          `UPDATE forgotten_users SET ${type} = ${type} + ? WHERE log_partition = ? AND log_offset = ?`,
        ),
      },
    ]),
  ) as Record<EventType, Record<'keep' | 'remove' | 'uncount' | 'tell', ReturnType<typeof database.prepare>>>
  return {
    types,
    cursor: database.prepare('SELECT next, log_id FROM stored_cursors WHERE topic = ? AND partition_id = ?'),
    makeCursor: database.prepare(
      'INSERT INTO stored_cursors (topic, partition_id, next, stored) VALUES (?, ?, ?, 0) ON CONFLICT DO NOTHING',
    ),
    // Not back: another may have carried out more by now.
    moveCursor: database.prepare(
      'INSERT INTO stored_cursors (topic, partition_id, next, stored, log_id, append_time) VALUES (?, ?, ?, 0, ?, ?) ' +
        'ON CONFLICT (topic, partition_id) DO UPDATE SET next = excluded.next, ' +
        'log_id = coalesce(excluded.log_id, log_id), append_time = excluded.append_time WHERE next < excluded.next',
    ),
    add: database.prepare(
      'INSERT OR IGNORE INTO forgotten_users (log_partition, log_offset, request_id, user_id, forgotten_at, by_time, ' +
        `${EVENT_TYPES}) VALUES (?, ?, ?, ?, ?, ?, ${EVENT_TYPES.map(() => 0)})`,
    ),
    addPosition: database.prepare(
      'INSERT INTO forgotten_positions (user_id, topic, partition_id, next) VALUES (?, ?, ?, ?) ' +
        'ON CONFLICT (user_id, topic, partition_id) DO UPDATE SET next = max(next, excluded.next)',
    ),
    position: database.prepare(
      'SELECT next FROM forgotten_positions WHERE user_id = ? AND topic = ? AND partition_id = ?',
    ),
    any: database.prepare('SELECT 1 FROM forgotten_users LIMIT 1'),
    forgottenAt: database.prepare(
      'SELECT max(forgotten_at) AS time FROM forgotten_users WHERE user_id = ? AND by_time = 1',
    ),
  }
}
