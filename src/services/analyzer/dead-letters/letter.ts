import { createHash } from 'node:crypto'
import { typeOfTopic } from '../../../events/catalogue.ts'
import { type EpochMs, formatInstant } from '../../../events/instant.ts'
import { DEAD_LETTER_TOPIC, type DeadLetterReason, decodeDeadLetter, positionText } from '../../../log/dead-letter.ts'
import type { LogRecord } from '../../../log/event-log.ts'
import type { Position } from '../../../log/position.ts'

/** A place in the dead letters' own topic. */
export type LetterPlace = { partition: number; offset: number }

/** A dead letter as it is listed: what it says, and as much of its record as is shown. */
export type Letter = {
  at: LetterPlace
  /** When it was put there, epoch milliseconds. */
  since: EpochMs
  reason: DeadLetterReason
  detail: string
  /** Where its record is in the log. */
  original: Position
  key: string
  appendTime: EpochMs
  bytes: number
  content: Content
  /** The same for records of one topic with the same key and value: a letter and what became of it when it was redriven. */
  fingerprint: string
}

type Content = { text: string } | { base64: string }

/** How much of a record's content is shown, bytes. */
const SHOWN_BYTES_MAX = 4096
const ID = /^(\d{1,9})-(\d{1,15})$/

/** The letter's id for clients, which need not know what it is made of. */
export function formatId({ partition, offset }: LetterPlace): string {
  return `${partition}-${offset}`
}

export function parseId(id: string): LetterPlace | undefined {
  const match = ID.exec(id)
  return match === null ? undefined : { partition: Number(match[1]), offset: Number(match[2]) }
}

/** Every record of the topic is listed, so that nothing in it is hidden: also one that is no dead letter. */
export function readLetter(partition: number, record: LogRecord): Letter {
  const at = { partition, offset: record.offset }
  const decoded = decodeDeadLetter(record.value)
  if (decoded === undefined) {
    return describe(at, record.appendTime, {
      reason: 'undecodable',
      detail: 'somebody has put this record among the dead letters, and it is none',
      original: { topic: DEAD_LETTER_TOPIC, ...at },
      record,
    })
  }
  const { reason, detail, topic, partition: originalPartition, offset, record: original } = decoded
  const place = { topic, partition: originalPartition, offset }
  return describe(at, record.appendTime, { reason, detail, original: place, record: original })
}

type Told = Pick<Letter, 'reason' | 'detail' | 'original'> & { record: LogRecord }

function describe(at: LetterPlace, since: EpochMs, { reason, detail, original, record }: Told): Letter {
  const { key, appendTime, value } = record
  const fingerprint = fingerprintOf({ topic: original.topic, key, value })
  const bytes = value.byteLength
  return { at, since, reason, detail, original, key, appendTime, bytes, content: contentOf(value), fingerprint }
}

export function fingerprintOf({ topic, key, value }: { topic: string; key: string; value: Uint8Array }): string {
  const hash = createHash('sha256').update(`${topic}\n${Buffer.byteLength(key)}\n${key}\n`)
  return hash.update(value).digest('hex').slice(0, 32)
}

/** As text where all of it is UTF-8. */
function contentOf(value: Uint8Array): Content {
  const shown = Buffer.from(value.buffer, value.byteOffset, Math.min(value.byteLength, SHOWN_BYTES_MAX))
  try {
    // A character may be cut in two at the end of what is shown, but nowhere else.
    const whole = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    whole.decode(value)
    return { text: whole.decode(shown, { stream: true }) }
  } catch {
    return { base64: shown.toString('base64') }
  }
}

/** What clients read of a letter, but for what others know of it. */
export function letterToWire(letter: Letter): Record<string, unknown> {
  const { at, reason, detail, original, key, appendTime, bytes, content, since } = letter
  const type = typeOfTopic(original.topic)
  return {
    id: formatId(at),
    reason,
    detail,
    ...(type !== undefined && { type }),
    ...original,
    key,
    append_time: formatInstant(appendTime),
    bytes,
    ...content,
    truncated: bytes > SHOWN_BYTES_MAX,
    first_time: formatInstant(since),
  }
}

export function originalText({ original }: Pick<Letter, 'original'>): string {
  return positionText(original)
}
