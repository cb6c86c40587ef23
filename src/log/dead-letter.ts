import { type EpochMs, formatInstant } from '../events/instant.ts'
import type { LogRecord, NewRecord } from './event-log.ts'

export const DEAD_LETTER_TOPIC = 'runify.dead_letters'

/** Why a record could not be handled. */
export type DeadLetterReason =
  /** Its bytes are not an event of its topic. */
  | 'undecodable'
  /** The store has its `trace_id` with another content. */
  | 'conflict'
  /** The database does not take its data. */
  | 'unstorable'

export type DeadLetter = {
  reason: DeadLetterReason
  detail: string
  topic: string
  partition: number
  offset: number
  /** The record as it was: enough to send it again. */
  record: LogRecord
}

/**
 * A dead letter as a record of its own topic: JSON, the original bytes in base64. It carries the original position,
 * because after a crash the same letter may be written twice.
 */
export function encodeDeadLetter(letter: DeadLetter, now: EpochMs): NewRecord {
  const { reason, detail, topic, partition, offset, record } = letter
  const value = {
    reason,
    detail,
    topic,
    partition,
    offset,
    key: record.key,
    append_time: formatInstant(record.appendTime),
    dead_since: formatInstant(now),
    value: Buffer.from(record.value).toString('base64'),
  }
  return { topic: DEAD_LETTER_TOPIC, key: `${topic}:${partition}:${offset}`, value: Buffer.from(JSON.stringify(value)) }
}
