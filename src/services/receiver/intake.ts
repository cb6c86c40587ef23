import { randomUUIDv7 } from 'node:crypto'
import { isFailure, RecordsTooLarge } from '../../errors.ts'
import { encodeCanary } from '../../events/canary.ts'
import { CANARY, CATALOGUE, type EventType, type RunifyEvent } from '../../events/catalogue.ts'
import {
  type Checked,
  checkEvent,
  checkEventText,
  countQuotes,
  type FieldError,
  parseJson,
  quotesOf,
} from '../../events/check.ts'
import { encodeEvent } from '../../events/codec.ts'
import { findRepeatedMembers } from '../../events/repeated-members.ts'
import { derivedTraceId } from '../../events/trace-id.ts'
import { HttpProblem } from '../../http/problem.ts'
import type { EventLog, NewRecord } from '../../log/event-log.ts'
import { isBlank, LineSplitter, TOO_LONG } from './line-splitter.ts'
import type { ReceiverTelemetry } from './telemetry.ts'

/** What was done with the events of one request. `errors` are the first `ERRORS_MAX`. */
export type IntakeResult = { accepted: number; rejected: number; errors: IndexedError[] }
export type IndexedError = FieldError & { index: number }

/** Where a clock and ids come from; tests choose their own. */
export type Sources = { now: () => number; newId: () => string }

export const SYSTEM_SOURCES: Sources = { now: Date.now, newId: () => randomUUIDv7() }

const ERRORS_MAX = 100
/** What a stream hands to the log at a time, and how many such parts may be under way. */
const PART_RECORDS_MAX = 1000
const PART_BYTES_MAX = 256 * 1024
const PARTS_UNDER_WAY_MAX = 4

export type IntakeDeps = {
  log: Pick<EventLog, 'append'>
  /** Of a stream the counts are told as it goes on: it may never end. */
  telemetry: Pick<ReceiverTelemetry, 'eventsAccepted' | 'eventsRejected' | 'appendRefused'>
  sources: Sources
}

/** Bodies → events → the log. Knows nothing of HTTP but its problems. */
export class Intake {
  readonly #log: IntakeDeps['log']
  readonly #telemetry: IntakeDeps['telemetry']
  readonly #sources: Sources

  constructor({ log, telemetry, sources }: IntakeDeps) {
    this.#log = log
    this.#telemetry = telemetry
    this.#sources = sources
  }

  /** One event. Resolves to its `trace_id` when the log has it durably. */
  async takeOne(type: EventType, body: Buffer, idempotencyKey: string | undefined): Promise<string> {
    const checked = checkEventText(type, body)
    if (!checked.ok) throw checked.malformed ? notJson(checked.errors[0]?.detail ?? '') : invalidEvent(checked.errors)
    const event = this.#accept(type, checked, idempotencyKey)
    await this.#log.append([toRecord(event)])
    return event.trace_id
  }

  /** One of the health check's own events, like any other. */
  async takeCanary(): Promise<string> {
    const trace_id = this.#sources.newId()
    const value = encodeCanary({ trace_id, date_created: this.#sources.now() })
    await this.#log.append([{ topic: CANARY.topic, key: trace_id, value }])
    return trace_id
  }

  /** The events of a JSON array: the good ones are kept, all in one append. */
  async takeArray(type: EventType, body: Buffer): Promise<IntakeResult> {
    const parsed = parseJson(body)
    if (!parsed.ok) throw notJson(parsed.detail)
    const items = parsed.value as unknown[]
    const checks = items.map((item) => checkEvent(type, item))
    // As for one event: only where there are more quotes than the events need can a member be there twice.
    const quotes = checks.reduce((sum, checked) => sum + (checked.ok ? quotesOf(type, checked.fields) : 0), 0)
    const repeated = quotes === countQuotes(body) ? [] : findRepeatedMembers(parsed.text)
    const result: IntakeResult = { accepted: 0, rejected: 0, errors: [] }
    const records: NewRecord[] = []
    const indexes: number[] = []
    const repeatedByIndex = Map.groupBy(repeated, ({ pointer }) => Number(pointer.split('/')[1]))
    for (const [index, checked] of checks.entries()) {
      const twice = repeatedByIndex
        .get(index)
        ?.map(({ pointer, detail }) => ({ pointer: `/${pointer.split('/').slice(2).join('/')}`, detail }))
      if (checked.ok && twice === undefined) {
        records.push(toRecord(this.#accept(type, checked)))
        indexes.push(index)
      } else reject(result, index, checked.ok ? (twice as FieldError[]) : checked.errors)
    }
    try {
      await this.#log.append(records)
      result.accepted = records.length
    } catch (error) {
      if (!(error instanceof RecordsTooLarge)) throw error
      result.accepted = records.length - error.indexes.length
      rejectTooLarge(result, error, indexes)
    }
    return result
  }

  /**
   * The events of an NDJSON stream of any length, a line each. Holds a few parts of it at a time, and reads on only
   * as fast as the log takes them. When the log or the body fails, the problem tells what was accepted until then; when
   * no more is to be read, `accepted` and `rejected` are all lines that were read, and the first of them.
   */
  async takeStream(type: EventType, chunks: AsyncIterable<Buffer>, lineBytesMax: number): Promise<IntakeResult> {
    const result: IntakeResult = { accepted: 0, rejected: 0, errors: [] }
    const splitter = new LineSplitter(lineBytesMax)
    const parts = new PartQueue({ log: this.#log, telemetry: this.#telemetry, type, result })
    let index = 0
    let told = 0
    const tellRejected = () => {
      if (result.rejected > told) this.#telemetry.eventsRejected(type, result.rejected - told)
      told = result.rejected
    }
    const takeLine = (line: Buffer | typeof TOO_LONG) => {
      if (line === TOO_LONG) reject(result, index++, [{ pointer: '', detail: `is longer than ${lineBytesMax} bytes` }])
      else if (!isBlank(line)) {
        const checked = checkEventText(type, line)
        if (checked.ok) parts.add(toRecord(this.#accept(type, checked)), index)
        else reject(result, index, checked.errors)
        index++
      }
    }
    try {
      for await (const chunk of chunks) {
        for (const line of splitter.push(chunk)) takeLine(line)
        tellRejected()
        if (splitter.isEndless) break
        await parts.belowLimit()
      }
      const { isEndless } = splitter
      for (const line of splitter.end()) takeLine(line)
      await parts.finish()
      // Where it is the only line, all of them have been judged.
      if (isEndless && index > 1) throw endlessLine(index - 1)
      return result
    } catch (error) {
      if (!isStopping(error)) await parts.settle()
      else await parts.finish().catch((failure: unknown) => Promise.reject(withResult(failure, result)))
      throw withResult(error, result)
    } finally {
      tellRejected()
    }
  }

  #accept(type: EventType, checked: Checked<EventType> & { ok: true }, idempotencyKey?: string): RunifyEvent {
    const { fields } = checked
    if (idempotencyKey !== undefined) {
      if (fields.event_id !== undefined && fields.event_id !== idempotencyKey) {
        throw new HttpProblem('invalid_header', 'Idempotency-Key and event_id are both given and differ')
      }
      fields.event_id = idempotencyKey
    }
    const { event_id, user_id } = fields
    const trace_id = event_id === undefined ? this.#sources.newId() : derivedTraceId(type, user_id, event_id)
    return { type, trace_id, date_created: this.#sources.now(), fields } as RunifyEvent
  }
}

type PartQueueDeps = Pick<IntakeDeps, 'log' | 'telemetry'> & { type: EventType; result: IntakeResult }

/** The parts of a stream on their way to the log. Counts as accepted what the log has confirmed, nothing else. */
class PartQueue {
  readonly #deps: PartQueueDeps
  #part: NewRecord[] = []
  #indexes: number[] = []
  #partBytes = 0
  #underWay: Promise<void>[] = []
  #failure: { error: unknown } | undefined

  constructor(deps: PartQueueDeps) {
    this.#deps = deps
  }

  /** `index` is its place in the stream. */
  add(record: NewRecord, index: number): void {
    this.#part.push(record)
    this.#indexes.push(index)
    this.#partBytes += record.value.byteLength
    if (this.#part.length >= PART_RECORDS_MAX || this.#partBytes >= PART_BYTES_MAX) this.#send()
  }

  /** Resolves when another part may be started; throws what the log threw. */
  async belowLimit(): Promise<void> {
    while (this.#underWay.length >= PARTS_UNDER_WAY_MAX) await this.#underWay[0]
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async finish(): Promise<void> {
    this.#send()
    await this.settle()
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async settle(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  #send(): void {
    if (this.#part.length === 0) return
    const part = this.#part
    const indexes = this.#indexes
    this.#part = []
    this.#indexes = []
    this.#partBytes = 0
    // A part after one that failed would be out of order for a client that sends the rest again.
    if (this.#failure !== undefined) return
    const { log, telemetry, type, result } = this.#deps
    const taken = (count: number) => {
      result.accepted += count
      telemetry.eventsAccepted(type, count)
    }
    const sent = log.append(part).then(
      () => taken(part.length),
      (error: unknown) => {
        if (error instanceof RecordsTooLarge) {
          taken(part.length - error.indexes.length)
          rejectTooLarge(result, error, indexes)
          return
        }
        if (isFailure(error)) telemetry.appendRefused(error.code, error)
        this.#failure ??= { error }
      },
    )
    const tracked = sent.then(() => {
      this.#underWay = this.#underWay.filter((other) => other !== tracked)
    })
    this.#underWay.push(tracked)
  }
}

function notJson(detail: string): HttpProblem {
  return new HttpProblem('invalid_json', `the body ${detail}`, { errors: [{ pointer: '', detail }] })
}

function endlessLine(index: number): HttpProblem {
  return new HttpProblem('body_too_large', `line ${index} does not come to an end; nothing behind it was read`)
}

function invalidEvent(errors: FieldError[]): HttpProblem {
  const detail = errors.map((error) => `${error.pointer.slice(1) || 'the event'} ${error.detail}`).join('; ')
  return new HttpProblem('invalid_event', detail, { errors })
}

function reject(result: IntakeResult, index: number, errors: readonly FieldError[]): void {
  result.rejected++
  for (const error of errors) if (result.errors.length < ERRORS_MAX) result.errors.push({ index, ...error })
}

/** `indexes` are the places of the append's records among all events. */
function rejectTooLarge(
  result: IntakeResult,
  { indexes: which, message }: RecordsTooLarge,
  indexes: readonly number[],
): void {
  for (const one of which) reject(result, indexes[one] as number, [{ pointer: '', detail: `is too large: ${message}` }])
  result.errors.sort((a, b) => a.index - b.index)
}

function toRecord(event: RunifyEvent): NewRecord {
  return { topic: CATALOGUE[event.type].topic, key: event.fields.user_id, value: encodeEvent(event) }
}

/** What was accepted before it went wrong is in the log, so the client is told with the problem. */
function withResult(error: unknown, { accepted, rejected, errors }: IntakeResult): unknown {
  const more = { accepted, rejected }
  if (error instanceof HttpProblem) {
    const detail = `${error.message}; ${accepted} events before that were accepted`
    return new HttpProblem(error.code, detail, { more, ...(isStopping(error) && rejected > 0 && { errors }) })
  }
  if (!isFailure(error)) return error
  const code = error.code === 'log_overloaded' ? 'log_overloaded' : 'log_unavailable'
  const detail = `${error.message}: ${accepted} events of this stream were accepted; send it again, those with an event_id are not doubled`
  return new HttpProblem(code, detail, { more })
}

function isStopping(error: unknown): boolean {
  return error instanceof HttpProblem && error.code === 'stopping'
}
