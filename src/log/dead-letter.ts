import { type EpochMs, formatInstant, parseInstant } from '../events/instant.ts'
import type { LogRecord, NewRecord } from './event-log.ts'
import type { Position } from './position.ts'

export const DEAD_LETTER_TOPIC = 'runify.dead_letters'

/**
 * Why a record could not be handled: its bytes are not an event of its topic; the store has its `trace_id` with another
 * content; the database does not take its data.
 */
export const DEAD_LETTER_REASONS = ['undecodable', 'conflict', 'unstorable'] as const
export type DeadLetterReason = (typeof DEAD_LETTER_REASONS)[number]

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
  const original = positionText({ topic, partition, offset })
  return { topic: DEAD_LETTER_TOPIC, key: original, value: Buffer.from(JSON.stringify(value)) }
}

/** The inverse of `encodeDeadLetter`; undefined for what it does not write, as a record that somebody else appended. */
export function decodeDeadLetter(value: Uint8Array): DeadLetter | undefined {
  let fields: Record<string, unknown>
  try {
    fields = Object(JSON.parse(Buffer.from(value).toString('utf8'))) as Record<string, unknown>
  } catch {
    return undefined
  }
  const { reason, detail, topic, partition, offset, key, append_time, value: bytes } = fields
  const known = DEAD_LETTER_REASONS.find((one) => one === reason)
  const appendTime = typeof append_time === 'string' ? parseInstant(append_time) : undefined
  if (known === undefined || appendTime === undefined || !isWhole(partition) || !isWhole(offset)) return undefined
  if (![detail, topic, key, bytes].every((text) => typeof text === 'string')) return undefined
  const record = { offset, appendTime, key: key as string, value: Buffer.from(bytes as string, 'base64') }
  return { reason: known, detail: detail as string, topic: topic as string, partition, offset, record }
}

/** A dead letter's key: all copies of it are in one partition. */
export function positionText({ topic, partition, offset }: Position): string {
  return `${topic}:${partition}:${offset}`
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
