import { RecordsTooLarge } from '../errors.ts'
import { type EpochMs, formatInstant, parseInstant } from '../events/instant.ts'
import type { EventLog, LogRecord, NewRecord, RecordBatch } from './event-log.ts'
import type { Position } from './position.ts'

export const DEAD_LETTER_TOPIC = 'runify.dead_letters'

/**
 * Why a record could not be handled. By Storage: its bytes are not an event of its topic; the store has its `trace_id`
 * with another content; the database does not take its data. By the anomaly detector, while the event is stored: it
 * cannot be judged, or its anomaly not be kept. By Processing, while the event is stored: it is in no statistics.
 */
export const DEAD_LETTER_REASONS = ['undecodable', 'conflict', 'unstorable', 'unjudged', 'uncounted'] as const
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

/** Whose event is not stored, and that is why. */
const NOT_STORED: ReadonlySet<DeadLetterReason> = new Set(['undecodable', 'conflict', 'unstorable'])

/** The letter of a record that came in a batch. */
export function letterFor(
  { topic, partition }: Pick<RecordBatch, 'topic' | 'partition'>,
  record: LogRecord,
  why: Pick<DeadLetter, 'reason' | 'detail'>,
): DeadLetter {
  return { ...why, topic, partition, offset: record.offset, record }
}

/**
 * Before the cursor moves behind their records: a crash between the two writes letters twice, and loses none. Of a
 * record that makes a larger letter than the log takes, as much is kept as there is room for.
 */
export async function writeDeadLetters(
  {
    log,
    telemetry,
  }: { log: Pick<EventLog, 'append'>; telemetry: { deadLetter: (letter: Omit<DeadLetter, 'record'>) => void } },
  letters: readonly DeadLetter[],
): Promise<void> {
  if (letters.length === 0) return
  try {
    await log.append(letters.map((letter) => encodeDeadLetter(letter, Date.now())))
  } catch (error) {
    if (!(error instanceof RecordsTooLarge)) throw error
    const shortened = error.indexes.map((index) => shorten(letters[index] as DeadLetter, error.bytesMax))
    await log.append(shortened.map((letter) => encodeDeadLetter(letter, Date.now())))
  }
  for (const { reason, detail, topic, partition, offset } of letters) {
    telemetry.deadLetter({ reason, detail, topic, partition, offset })
  }
}

/** What a letter has beside its JSON, and what its new detail has more than the old one, at most. */
const LETTER_OVERHEAD_BYTES = 512
const SHORT_TEXT_CHARACTERS = 100

function shorten(letter: DeadLetter, bytesMax: number): DeadLetter {
  const { record } = letter
  const { length } = record.value
  const without = encodeDeadLetter({ ...letter, record: { ...record, value: new Uint8Array() } }, Date.now())
  const room = bytesMax - LETTER_OVERHEAD_BYTES - without.value.byteLength
  // Four characters of base64 are three bytes.
  const kept = Math.min(length, Math.max(0, Math.floor(room / 4) * 3))
  const [key, why] = [record.key, letter.detail].map((text) => (room > 0 ? text : text.slice(0, SHORT_TEXT_CHARACTERS)))
  const detail = `${why}; the log takes only the first ${kept} of its ${length} bytes here`
  return { ...letter, detail, record: { ...record, key: key as string, value: record.value.subarray(0, kept) } }
}

/** Whether a record of the topic says that its event is not stored. What nobody can read says so too. */
export function isNotStored(value: Uint8Array): boolean {
  const letter = decodeDeadLetter(value)
  return letter === undefined || NOT_STORED.has(letter.reason)
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
