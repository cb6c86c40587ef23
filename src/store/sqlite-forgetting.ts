import { setImmediate as others } from 'node:timers/promises'
import { Failure } from '../errors.ts'
import type { RunifyEvent } from '../events/catalogue.ts'
import { FORGOTTEN_TOPIC, type Tombstone } from '../log/tombstone.ts'
import { uuidToBytes } from './columns.ts'
import { ERASED_TYPES, type ErasedType, FINGERPRINT_DIGITS, MS_PER_HOUR, topicOf } from './event-queries.ts'
import type { ForgetBatch } from './event-store.ts'
import { type SqliteConnection, transact } from './sqlite-database.ts'

/** What is erased in one transaction: some milliseconds, so that requests need not wait for a user of many events. */
const CHUNK_ROWS = 1000

/**
 * Carries tombstones out. The invariant: the tombstone is there before the first event is erased, so that none is written
 * behind it; and its cursor moves when all are. Killed in between, it begins again and finds less to do.
 */
export function prepareForgetting(database: SqliteConnection) {
  const statements = prepareStatements(database)
  const cursorOf = (partition: number) =>
    (statements.cursor.get(FORGOTTEN_TOPIC, partition) as { next: number } | undefined)?.next ?? 0

  /** False where that was done before. */
  function begin({ partition, from, next, tombstone }: ForgetBatch): boolean {
    const at = cursorOf(partition)
    if (at < from) {
      const detail = `${FORGOTTEN_TOPIC}:${partition} is stored up to ${at}, the batch begins at ${from}`
      throw new Failure('position_conflict', detail, { retryable: true })
    }
    if (at >= next) return false
    statements.moveCursor.run(FORGOTTEN_TOPIC, partition, at)
    if (tombstone !== undefined) {
      const { offset, request_id, user_id, forgotten_at } = tombstone
      statements.add.run(partition, offset, uuidToBytes(request_id), uuidToBytes(user_id), forgotten_at)
    }
    return true
  }

  /** Gives how many were erased. */
  function eraseSome(type: ErasedType, partition: number, tombstone: NonNullable<ForgetBatch['tombstone']>): number {
    const { find, keep, remove, uncount, tell } = statements.types[type]
    const rows = find.all(uuidToBytes(tombstone.user_id), tombstone.forgotten_at, CHUNK_ROWS) as ErasedRow[]
    for (const { log_partition, log_offset, date_created, tail } of rows) {
      const hour = Math.floor(date_created / MS_PER_HOUR)
      const fingerprint = Number.parseInt(tail, 16)
      keep.run(uuidToBytes(tombstone.request_id), log_partition, log_offset, hour, fingerprint)
      remove.run(log_partition, log_offset)
      uncount.run(topicOf(type), log_partition)
    }
    if (rows.length > 0) tell.run(rows.length, partition, tombstone.offset)
    return rows.length
  }

  return {
    async forget(batch: ForgetBatch): Promise<void> {
      const { partition, next, tombstone } = batch
      if (!transact(database, () => begin(batch))) return
      if (tombstone !== undefined) {
        for (const type of ERASED_TYPES) {
          while (transact(database, () => eraseSome(type, partition, tombstone)) === CHUNK_ROWS) await others()
        }
      }
      transact(database, () => statements.moveCursor.run(FORGOTTEN_TOPIC, partition, next))
    },

    /** Those events whose user was not forgotten later. */
    withoutForgotten<T extends { event: RunifyEvent }>(events: readonly T[]): readonly T[] {
      if (statements.any.get() === undefined) return events
      const times = new Map<string, Tombstone['forgotten_at']>()
      return events.filter(({ event: { fields, date_created } }) => {
        let time = times.get(fields.user_id)
        if (time === undefined) {
          const row = statements.forgottenAt.get(uuidToBytes(fields.user_id)) as { time: number | null }
          time = row.time ?? Number.NEGATIVE_INFINITY
          times.set(fields.user_id, time)
        }
        return date_created > time
      })
    },
  }
}

type ErasedRow = { log_partition: number; log_offset: number; date_created: number; tail: string }

function prepareStatements(database: SqliteConnection) {
  const types = Object.fromEntries(
    ERASED_TYPES.map((type) => [
      type,
      {
        find: database.prepare(
          `SELECT log_partition, log_offset, substr(hex(trace_id), -${FINGERPRINT_DIGITS}) AS tail, date_created
          FROM ${type} WHERE user_id = ? AND date_created <= ? ORDER BY date_created, trace_id LIMIT ?`,
        ),
        keep: database.prepare(`INSERT OR IGNORE INTO erased_events VALUES (?, '${type}', ?, ?, ?, ?)`),
        remove: database.prepare(`DELETE FROM ${type} WHERE log_partition = ? AND log_offset = ?`),
        uncount: database.prepare('UPDATE stored_cursors SET stored = stored - 1 WHERE topic = ? AND partition_id = ?'),
        tell: database.prepare(
          `UPDATE forgotten_users SET ${type} = ${type} + ? WHERE log_partition = ? AND log_offset = ?`,
        ),
      },
    ]),
  ) as Record<ErasedType, Record<'find' | 'keep' | 'remove' | 'uncount' | 'tell', ReturnType<typeof database.prepare>>>
  return {
    types,
    cursor: database.prepare('SELECT next FROM stored_cursors WHERE topic = ? AND partition_id = ?'),
    moveCursor: database.prepare(
      'INSERT INTO stored_cursors (topic, partition_id, next, stored) VALUES (?, ?, ?, 0) ' +
        'ON CONFLICT (topic, partition_id) DO UPDATE SET next = max(next, excluded.next)',
    ),
    add: database.prepare('INSERT OR IGNORE INTO forgotten_users VALUES (?, ?, ?, ?, ?, 0, 0)'),
    any: database.prepare('SELECT 1 FROM forgotten_users LIMIT 1'),
    forgottenAt: database.prepare('SELECT max(forgotten_at) AS time FROM forgotten_users WHERE user_id = ?'),
  }
}
