import { CATALOGUE, EVENT_TYPES, type EventType } from '../../../src/events/catalogue.ts'
import { checkEvent } from '../../../src/events/check.ts'
import { type FieldProblem, type Problem, post, toProblem } from './api.ts'

/**
 * Sends a file of events, a line each, of any length: it is read and sent a part at a time, so the page holds some
 * hundred lines and no more. Each line is checked as the Receiver checks it, so every bad one is known by its number.
 */

export type LineError = { line: number; pointer: string; detail: string }
export type Progress = {
  bytes: number
  bytesTotal: number
  lines: number
  accepted: number
  rejected: number
  /** The first ones; `rejected` counts them all. */
  errors: LineError[]
  state: 'sending' | 'waiting' | 'done' | 'stopped' | 'failed'
  problem: string
}

const PART_LINES_MAX = 500
const PART_BYTES_MAX = 256 * 1024
const LINE_CHARACTERS_MAX = 64 * 1024
export const ERRORS_MAX = 1000
const RETRIES_MAX = 30

type Part = { lines: number[]; texts: string[]; bytes: number }
type Tally = { accepted: number; rejected: number; errors?: (FieldProblem & { index: number })[] }

export type SendOptions = {
  /** Whether a line without an `event_id` gets one from its content, so that a file that is sent twice counts once. */
  addIds: boolean
  signal: AbortSignal
  tell: (progress: Progress) => void
}

export async function sendFile(file: File, { addIds, signal, tell }: SendOptions): Promise<Progress> {
  const progress: Progress = {
    bytes: 0,
    bytesTotal: file.size,
    lines: 0,
    accepted: 0,
    rejected: 0,
    errors: [],
    state: 'sending',
    problem: '',
  }
  const parts = new Map<EventType, Part>()
  const told = () => tell({ ...progress, errors: progress.errors })
  const reject = (line: number, errors: readonly { pointer: string; detail: string }[]) => {
    progress.rejected++
    for (const { pointer, detail } of errors) {
      if (progress.errors.length < ERRORS_MAX) progress.errors.push({ line, pointer, detail })
    }
  }
  const flush = async (type: EventType) => {
    const part = parts.get(type)
    if (part === undefined) return
    parts.delete(type)
    const {
      accepted,
      rejected,
      errors = [],
    } = await sendPart(type, part, {
      signal,
      wait: (problem) => {
        progress.state = 'waiting'
        progress.problem = problem.message
        told()
      },
    })
    progress.state = 'sending'
    progress.problem = ''
    progress.accepted += accepted
    progress.rejected += rejected
    for (const { index, pointer, detail } of errors) {
      if (progress.errors.length < ERRORS_MAX) progress.errors.push({ line: part.lines[index] ?? 0, pointer, detail })
    }
    told()
  }
  try {
    for await (const { text, number, bytes } of linesOf(file, signal)) {
      progress.bytes = bytes
      if (text.trim() === '') continue
      progress.lines++
      const read = readLine(text)
      if (!read.ok) {
        reject(number, read.errors)
        continue
      }
      const line = addIds && !read.hasId ? await withId(text.trim()) : text.trim()
      const part = parts.get(read.type) ?? { lines: [], texts: [], bytes: 0 }
      parts.set(read.type, part)
      part.lines.push(number)
      part.texts.push(line)
      part.bytes += line.length
      if (part.texts.length >= PART_LINES_MAX || part.bytes >= PART_BYTES_MAX) await flush(read.type)
    }
    for (const type of EVENT_TYPES) await flush(type)
    progress.bytes = file.size
    progress.state = 'done'
  } catch (error) {
    progress.state = signal.aborted ? 'stopped' : 'failed'
    progress.problem = signal.aborted ? '' : toProblem(error).message
  }
  progress.errors.sort((a, b) => a.line - b.line)
  told()
  return progress
}

/** While the log is away the part is kept and sent again: its lines have ids, so none is doubled. */
async function sendPart(
  type: EventType,
  { texts }: Part,
  { signal, wait }: { signal: AbortSignal; wait: (problem: Problem) => void },
): Promise<Tally> {
  for (let tried = 0; ; tried++) {
    try {
      return await post<Tally>(`/receiver${CATALOGUE[type].path}`, texts.join('\n'), {
        type: 'application/x-ndjson',
        signal,
      })
    } catch (error) {
      const problem = toProblem(error)
      if (problem.code === 'invalid_events')
        return { accepted: 0, rejected: texts.length, errors: problem.errors as never }
      if (!problem.isAway || signal.aborted || tried >= RETRIES_MAX) throw error
      wait(problem)
      await new Promise((resolve) => setTimeout(resolve, Math.min(5000, 500 * 1.5 ** tried)))
    }
  }
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
  if (text.length > LINE_CHARACTERS_MAX) return bad(`is longer than ${LINE_CHARACTERS_MAX} characters`)
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

/** Lines are numbered from 1. A line that has no end is cut where it is too long to be good. */
export async function* linesOf(
  file: Blob,
  signal: AbortSignal,
): AsyncGenerator<{ text: string; number: number; bytes: number }> {
  const reader = file.stream().getReader()
  const decoder = new TextDecoder()
  let [rest, number, bytes] = ['', 0, 0]
  try {
    for (;;) {
      signal.throwIfAborted()
      const { done, value } = await reader.read()
      if (done) break
      bytes += value.byteLength
      rest += decoder.decode(value, { stream: true })
      const lines = rest.split('\n')
      rest = lines.pop() as string
      for (const text of lines) yield { text, number: ++number, bytes }
      if (rest.length > 2 * LINE_CHARACTERS_MAX) rest = rest.slice(0, LINE_CHARACTERS_MAX + 1)
    }
    rest += decoder.decode()
    if (rest !== '') yield { text: rest, number: ++number, bytes }
  } finally {
    reader.cancel().catch(() => {})
  }
}
