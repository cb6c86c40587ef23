import { CATALOGUE, EVENT_TYPES, type EventType } from '../../../events/catalogue.ts'
import { type EpochMs, formatInstant } from '../../../events/instant.ts'
import { invalidParameter, type Parameters } from '../../../http/parameter.ts'
import type { HttpProblem } from '../../../http/problem.ts'
import { DEAD_LETTER_REASONS, DEAD_LETTER_TOPIC } from '../../../log/dead-letter.ts'
import type { EventLog } from '../../../log/event-log.ts'
import { formatId, type Letter, letterToWire, originalText } from './letter.ts'
import type { LetterIndex } from './letter-index.ts'
import { LetterScan, type OffsetRange, type ScanOrder } from './letter-scan.ts'
import type { RedriveLedger } from './redrive-ledger.ts'

/** What letters are chosen by; what is not said does not matter. */
export type LetterFilter = {
  reason?: string | undefined
  type?: string | undefined
  user_id?: string | undefined
  from?: EpochMs | undefined
  to?: EpochMs | undefined
  redriven?: string | undefined
  dismissed?: string | undefined
}

export const REDRIVEN = ['no', 'unfinished', 'yes'] as const
export type Redriven = (typeof REDRIVEN)[number]
export const DISMISSED = ['no', 'yes'] as const

export const LETTER_FILTER = {
  reason: { kind: 'choice', choices: DEAD_LETTER_REASONS, description: 'Why they could not be handled' },
  type: { kind: 'choice', choices: EVENT_TYPES, description: 'Records of this type of event' },
  user_id: { kind: 'uuid', description: "Records with this user's key" },
  from: { kind: 'instant', description: 'Dead since this time or later' },
  to: { kind: 'instant', description: 'Dead since before this time' },
} as const satisfies Parameters

export type LetterPage = { letters: Letter[]; next: string | undefined }

/** A page looks at no more than this, whether it is full or not: what a filter leaves out costs as much as what it lets pass. */
const SCANNED_MAX = 5000
const CURSOR = /^(asc|desc)((?: \d{1,9}:\d{1,15}-\d{1,15})+)$/

/** Reads the dead letters page by page. A page costs the same wherever it is. */
export class LetterPages {
  readonly #log: EventLog
  readonly #index: LetterIndex
  readonly #ledger: RedriveLedger

  constructor({ log, index, ledger }: { log: EventLog; index: LetterIndex; ledger: RedriveLedger }) {
    this.#log = log
    this.#index = index
    this.#ledger = ledger
  }

  /** Up to `limit` letters, each once; fewer, also none, where the filter leaves out so many. */
  async read(filter: LetterFilter, page: { order: ScanOrder; limit: number; cursor?: string | undefined }) {
    const { order, limit, cursor } = page
    await Promise.all([this.#index.catchUp(), this.#ledger.catchUp()])
    const ranges = await this.#clamp(cursor === undefined ? await this.#begin(filter) : decodeCursor(cursor, order))
    const scan = new LetterScan(this.#log, order, ranges)
    const letters: Letter[] = []
    for (let scanned = 0; letters.length < limit && scanned < SCANNED_MAX; scanned++) {
      const letter = await scan.next()
      if (letter === undefined) break
      if (this.#index.isFirst(letter) && this.#passes(letter, filter)) letters.push(letter)
    }
    const rest = scan.rest()
    return { letters, next: rest.length === 0 ? undefined : encodeCursor(order, rest) } satisfies LetterPage
  }

  /** A letter with all that is known of it. */
  toWire(letter: Letter): Record<string, unknown> {
    const { times, lastTime } = this.#index.copiesOf(letter)
    const { attempts, redrives, dismissals } = this.#ledger.familyOf(letter)
    const own = redrives.get(originalText(letter))
    const dismissed = dismissals.get(originalText(letter))
    const [ancestor] = [...redrives.values()].filter((one) => one !== own && one.time <= letter.since).reverse()
    return {
      ...letterToWire(letter),
      last_time: formatInstant(lastTime),
      times,
      redriven: this.#redriven(letter),
      redriven_time: own === undefined ? null : formatInstant(own.time),
      attempts,
      ancestor: ancestor?.id ?? null,
      dismissed_time: dismissed === undefined ? null : formatInstant(dismissed),
    }
  }

  #redriven(letter: Letter): Redriven {
    const own = this.#ledger.familyOf(letter).redrives.get(originalText(letter))
    return own === undefined ? 'no' : own.state === 'redriven' ? 'yes' : 'unfinished'
  }

  #passes(letter: Letter, { reason, type, user_id, redriven, dismissed }: LetterFilter): boolean {
    if (reason !== undefined && letter.reason !== reason) return false
    if (type !== undefined && letter.original.topic !== CATALOGUE[type as EventType].topic) return false
    if (user_id !== undefined && letter.key !== user_id) return false
    const isDismissed = this.#ledger.familyOf(letter).dismissals.has(originalText(letter))
    if (dismissed !== undefined && (dismissed === 'yes') !== isDismissed) return false
    return redriven === undefined || redriven.split(' ').includes(this.#redriven(letter))
  }

  /** Each partition is sorted by time, so a range of time is a range of offsets in each. */
  async #begin({ from, to }: LetterFilter): Promise<OffsetRange[]> {
    const topic = DEAD_LETTER_TOPIC
    const at = async (time: EpochMs | undefined, fallback: number) => {
      if (time === undefined) return () => fallback
      const offsets = await this.#log.offsetsAt({ topic, time })
      return (partition: number) => offsets.find((one) => one.partition === partition)?.offset ?? fallback
    }
    const [begin, end] = await Promise.all([at(from, 0), at(to, Number.MAX_SAFE_INTEGER)])
    const ranges = await this.#log.partitions(topic)
    return ranges.map(({ partition }) => ({ partition, from: begin(partition), to: end(partition) }))
  }

  /** To what is there and known to the index: beyond, a copy of a letter would be taken for another one. */
  async #clamp(ranges: readonly OffsetRange[]): Promise<OffsetRange[]> {
    const partitions = await this.#log.partitions(DEAD_LETTER_TOPIC)
    return ranges.map(({ partition, from, to }) => {
      const first = partitions.find((one) => one.partition === partition)?.first ?? 0
      return { partition, from: Math.max(from, first), to: Math.min(to, this.#index.next(partition)) }
    })
  }
}

function encodeCursor(order: ScanOrder, rest: readonly OffsetRange[]): string {
  const places = rest.map(({ partition, from, to }) => `${partition}:${from}-${to}`)
  return Buffer.from([order, ...places].join(' ')).toString('base64url')
}

function decodeCursor(cursor: string, order: ScanOrder): OffsetRange[] {
  const match = CURSOR.exec(Buffer.from(cursor, 'base64url').toString('latin1'))
  if (match === null) throw invalidCursor('is not a cursor of this path')
  if (match[1] !== order) throw invalidCursor(`was made for order=${match[1]}`)
  const places = (match[2] as string).trim().split(' ')
  return places.map((place) => {
    const [partition, from, to] = place.split(/[:-]/).map(Number) as [number, number, number]
    return { partition, from, to }
  })
}

function invalidCursor(detail: string): HttpProblem {
  return invalidParameter('cursor', detail)
}

const TIME = { type: 'string', format: 'date-time' }
const COUNT = { type: 'integer', minimum: 0 }

/** JSON Schema of a letter. */
export const LETTER_SCHEMA = {
  type: 'object',
  required: [
    'id',
    'reason',
    'detail',
    'topic',
    'partition',
    'offset',
    'key',
    'append_time',
    'bytes',
    'truncated',
    'first_time',
    'last_time',
    'times',
    'redriven',
    'redriven_time',
    'attempts',
    'ancestor',
    'dismissed_time',
  ],
  properties: {
    id: {
      type: 'string',
      description: `Names the letter for as long as it is there, as ${formatId({ partition: 0, offset: 17 })}`,
    },
    reason: { type: 'string', enum: DEAD_LETTER_REASONS },
    detail: { type: 'string', description: 'What was wrong, for people' },
    type: { type: 'string', enum: EVENT_TYPES, description: 'The type of event that its topic is for' },
    topic: { type: 'string', description: 'With partition and offset: where the record is in the log' },
    partition: COUNT,
    offset: COUNT,
    key: { type: 'string', description: "The record's key: the user, if the Receiver wrote it" },
    append_time: { ...TIME, description: 'When the log took the record' },
    bytes: { ...COUNT, description: "The size of the record's content" },
    text: { type: 'string', description: 'The content, where it is UTF-8: the first 4096 bytes' },
    base64: { type: 'string', description: 'The content, where it is not: the first 4096 bytes' },
    truncated: { type: 'boolean', description: 'Whether the content is longer than what is shown' },
    first_time: { ...TIME, description: 'When it was put into the dead letters' },
    last_time: { ...TIME, description: 'The same when it was last put there, for that may be more than once' },
    times: { type: 'integer', minimum: 1, description: 'How often it was put there' },
    redriven: { type: 'string', enum: REDRIVEN, description: '`unfinished`: begun, and sent or not' },
    redriven_time: { type: ['string', 'null'], format: 'date-time' },
    attempts: { ...COUNT, description: 'How often this content was redriven, as this letter or as one before it' },
    ancestor: { type: ['string', 'null'], description: 'The letter that was redriven and became this one' },
    dismissed_time: {
      type: ['string', 'null'],
      format: 'date-time',
      description: 'When somebody said that nothing more is to be done about it',
    },
  },
}
