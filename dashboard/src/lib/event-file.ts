import { CATALOGUE, EVENT_TYPES, type EventType } from '../../../src/events/catalogue.ts'
import { checkEvent } from '../../../src/events/check.ts'
import { type FieldProblem, Problem, post, toProblem } from './api.ts'
import { EVENT_CHARACTERS_MAX, elementsOf, linesOf } from './event-texts.ts'
import { recogniseContent } from './file-content.ts'

/**
 * Sends files of events, one after the other and of any length: each is read and sent a part at a time, so the page holds
 * some hundred events and no more. Each is checked as the Receiver checks it, so every bad one is known by its number.
 */

export type LineError = { file: string; line: number; pointer: string; detail: string }
export type FileState = 'queued' | 'sending' | 'done' | 'refused' | 'stopped' | 'failed'
export type FileProgress = {
  name: string
  state: FileState
  accepted: number
  rejected: number
  /** Why it is refused or failed, in words that follow the name. */
  problem: string
}
export type Progress = {
  files: FileProgress[]
  bytes: number
  bytesTotal: number
  accepted: number
  rejected: number
  /** Events that were sent without an `event_id`: sent again, they are stored again. */
  withoutId: number
  /** Of the first \`ERRORS_MAX\`; \`rejected\` counts them all. */
  errors: LineError[]
  state: 'sending' | 'waiting' | 'done' | 'stopped' | 'failed'
  problem: string
}

const PART_LINES_MAX = 500
const PART_BYTES_MAX = 256 * 1024
export const ERRORS_MAX = 100_000
const RETRIES_MAX = 30

type Part = { lines: number[]; texts: string[]; bytes: number; withoutId: number }
type IntakeAnswer = { accepted: number; rejected: number; errors?: (FieldProblem & { index: number })[] }

export type SendOptions = {
  /** Whether a line without an `event_id` gets one from its content, so that a file that is sent twice counts once. */
  addIds: boolean
  signal: AbortSignal
  tell: (progress: Progress) => void
}

export async function sendFiles(files: readonly File[], options: SendOptions): Promise<Progress> {
  const progress: Progress = {
    files: files.map(({ name }) => ({ name, state: 'queued', accepted: 0, rejected: 0, problem: '' })),
    bytes: 0,
    bytesTotal: files.reduce((sum, { size }) => sum + size, 0),
    accepted: 0,
    rejected: 0,
    withoutId: 0,
    errors: [],
    state: 'sending',
    problem: '',
  }
  let bytesBefore = 0
  for (const [n, file] of files.entries()) {
    const own = progress.files[n] as FileProgress
    await new FileSender({ file, own, progress, bytesBefore }, options).send()
    bytesBefore += file.size
    progress.bytes = own.state === 'done' || own.state === 'refused' ? bytesBefore : progress.bytes
    if (own.state === 'stopped' || own.state === 'failed') {
      progress.state = own.state
      progress.problem = own.problem
      break
    }
  }
  if (progress.state === 'sending') progress.state = 'done'
  options.tell({ ...progress })
  return progress
}

type Sending = { file: File; own: FileProgress; progress: Progress; bytesBefore: number }

/** One file's way to the Receiver; what becomes of it goes into its own progress and that of all files. */
class FileSender {
  readonly #sending: Sending
  readonly #options: SendOptions
  readonly #parts = new Map<EventType, Part>()

  constructor(sending: Sending, options: SendOptions) {
    this.#sending = sending
    this.#options = options
  }

  async send(): Promise<void> {
    const { file, own, progress } = this.#sending
    const { signal } = this.#options
    own.state = 'sending'
    const errorsBefore = progress.errors.length
    try {
      const content = await recogniseContent(file)
      if (content.kind === 'refused') {
        own.state = 'refused'
        own.problem = content.reason
        return
      }
      for await (const one of content.kind === 'array' ? elementsOf(file, signal) : linesOf(file, signal)) {
        progress.bytes = this.#sending.bytesBefore + one.bytes
        if (one.text.trim() !== '') await this.#take(one.text.trim(), one.number)
      }
      await this.#flushAll()
      own.state = 'done'
    } catch (error) {
      own.state = signal.aborted ? 'stopped' : 'failed'
      own.problem = signal.aborted ? '' : toProblem(error).message
    } finally {
      const errors = progress.errors.splice(errorsBefore)
      progress.errors.push(...errors.sort((a, b) => a.line - b.line))
      this.#tell()
    }
  }

  async #take(text: string, number: number): Promise<void> {
    const read = readLine(text)
    if (!read.ok) {
      this.#reject(1)
      this.#name(read.errors.map((error) => ({ line: number, ...error })))
      return
    }
    // Good JSON has line breaks between its members only, where they are blanks.
    const bare = text.replaceAll(/[\r\n]+/g, ' ')
    const line = this.#options.addIds && !read.hasId ? await withId(bare) : bare
    const part = this.#parts.get(read.type) ?? { lines: [], texts: [], bytes: 0, withoutId: 0 }
    this.#parts.set(read.type, part)
    part.lines.push(number)
    part.texts.push(line)
    part.bytes += line.length
    // An id is added in a secure context only.
    if (!read.hasId && line === bare) part.withoutId++
    if (part.texts.length >= PART_LINES_MAX || part.bytes >= PART_BYTES_MAX) await this.#flush(read.type)
  }

  async #flushAll(): Promise<void> {
    for (const type of EVENT_TYPES) await this.#flush(type)
  }

  async #flush(type: EventType): Promise<void> {
    const part = this.#parts.get(type)
    if (part === undefined) return
    this.#parts.delete(type)
    const { own, progress } = this.#sending
    const { accepted, rejected, errors = [] } = await this.#post(type, part)
    progress.state = 'sending'
    progress.problem = ''
    progress.accepted += accepted
    own.accepted += accepted
    if (accepted > 0) progress.withoutId += part.withoutId
    this.#reject(rejected)
    this.#name(errors.map(({ index, pointer, detail }) => ({ line: part.lines[index] ?? 0, pointer, detail })))
    this.#tell()
  }

  /** While the log is unavailable the part is kept and sent again, where its events have ids: then none is doubled. */
  async #post(type: EventType, { texts, lines, withoutId }: Part): Promise<IntakeAnswer> {
    const { signal } = this.#options
    for (let tried = 0; ; tried++) {
      try {
        return await post<IntakeAnswer>(`/receiver${CATALOGUE[type].path}`, texts.join('\n'), {
          type: 'application/x-ndjson',
          signal,
        })
      } catch (error) {
        const problem = toProblem(error)
        if (problem.code === 'invalid_events')
          return { accepted: 0, rejected: texts.length, errors: problem.errors as never }
        if (!problem.isAway || signal.aborted || tried >= RETRIES_MAX) throw error
        if (withoutId > 0 && problem.code !== 'overloaded') throw toUnknownFate(problem, lines)
        this.#sending.progress.state = 'waiting'
        this.#sending.progress.problem = problem.message
        this.#tell()
        await new Promise((resolve) => setTimeout(resolve, Math.min(5000, 500 * 1.5 ** tried)))
      }
    }
  }

  #reject(count: number): void {
    this.#sending.progress.rejected += count
    this.#sending.own.rejected += count
  }

  #name(errors: readonly Omit<LineError, 'file'>[]): void {
    const { progress, file } = this.#sending
    for (const error of errors.slice(0, ERRORS_MAX - progress.errors.length)) {
      progress.errors.push({ file: file.name, ...error })
    }
  }

  #tell(): void {
    const { progress } = this.#sending
    this.#options.tell({ ...progress, files: progress.files.map((one) => ({ ...one })) })
  }
}

/** What cannot be sent again without harm, and was taken or not. */
function toUnknownFate({ status, code, message }: Problem, lines: readonly number[]): Problem {
  const detail = `${message} Of lines ${lines[0]} to ${lines.at(-1)} nobody knows whether they were taken; having no event_id, they were not sent again.`
  return new Problem({ status, code, detail })
}

type ReadLine =
  | { ok: true; type: EventType; hasId: boolean }
  | { ok: false; errors: { pointer: string; detail: string }[] }

/** The fields that only one type has tell which it is. */
const OWN_FIELDS = EVENT_TYPES.map((type) => {
  const others = EVENT_TYPES.filter((other) => other !== type)
  const names = Object.keys(CATALOGUE[type].fields)
  return { type, own: names.filter((name) => !others.some((other) => name in CATALOGUE[other].fields)) }
})

export function readLine(text: string): ReadLine {
  const bad = (detail: string): ReadLine => ({ ok: false, errors: [{ pointer: '', detail }] })
  if (text.length > EVENT_CHARACTERS_MAX) return bad(`is longer than ${EVENT_CHARACTERS_MAX} characters`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return bad('is not valid JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return bad('must be a JSON object')
  const types = OWN_FIELDS.filter(({ own }) => own.some((name) => Object.hasOwn(value, name)))
  if (types.length !== 1)
    return bad(types.length === 0 ? 'has no field that tells its type' : 'has fields of several types')
  const type = (types[0] as (typeof OWN_FIELDS)[number]).type
  const checked = checkEvent(type, value)
  return checked.ok
    ? { ok: true, type, hasId: Object.hasOwn(value, 'event_id') }
    : { ok: false, errors: checked.errors }
}

/** As `runify send` does it, so that the same file sent by both ways counts once. Needs a secure context, as localhost is. */
async function withId(line: string): Promise<string> {
  if (globalThis.crypto?.subtle === undefined) return line
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(line)))
  const hex = Array.from(digest.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${line.slice(0, -1)},"event_id":"sha256-${hex}"}`
}
