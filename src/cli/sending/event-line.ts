import { hash } from 'node:crypto'
import { CATALOGUE, EVENT_TYPES, type EventType } from '../../events/catalogue.ts'
import { checkEventText, type FieldError, parseJson } from '../../events/check.ts'
import { LINE_BYTES_MAX, type Line } from './line-reader.ts'

export type EventLine =
  | {
      ok: true
      type: EventType
      /** What goes out: the line, with an `event_id` where it had none and ids are wanted. */
      bytes: Buffer
      hasEventId: boolean
    }
  | { ok: false; errors: FieldError[] }

export type EventLineOptions = {
  /** What every line is; when left out, each line's fields tell. */
  type: EventType | undefined
  /** Whether a line without an `event_id` gets one from its content. */
  addEventIds: boolean
}

/**
 * Reads the lines of one input as events, with the Receiver's own check, so that every bad line is known by its
 * number: an answer of the Receiver lists the first errors only.
 */
export class EventLineReader {
  readonly #options: EventLineOptions
  /** For lines whose fields do not tell. */
  readonly #typeByName: EventType | undefined
  #likelyType: EventType

  constructor(inputName: string, options: EventLineOptions) {
    this.#options = options
    this.#typeByName = typeByName(inputName)
    this.#likelyType = this.#typeByName ?? (EVENT_TYPES[0] as EventType)
  }

  read({ bytes }: Line): EventLine {
    if (!Buffer.isBuffer(bytes)) return refused('', `is longer than ${LINE_BYTES_MAX} bytes`)
    const { type = this.#likelyType, addEventIds } = this.#options
    const checked = checkEventText(type, bytes)
    if (checked.ok) {
      const { event_id } = checked.fields
      if (event_id !== undefined || !addEventIds) return { ok: true, type, bytes, hasEventId: event_id !== undefined }
      return { ok: true, type, bytes: withEventId(bytes), hasEventId: true }
    }
    if (this.#options.type !== undefined) return checked
    // No line is good as two types, so a guess that fits is right, and one that does not costs this second look.
    const told = typeByFields(bytes) ?? this.#typeByName
    if (told === undefined) return untold(bytes, checked.errors)
    if (told === this.#likelyType) return checked
    this.#likelyType = told
    return this.read({ number: 0, bytes })
  }
}

/** The id that a line without one is given: equal lines are one event, in one file and in all. */
export function eventIdOf(line: Buffer): string {
  return `sha256-${hash('sha256', line, 'hex').slice(0, 32)}`
}

/** The fields that only one type has. */
const OWN_FIELDS = EVENT_TYPES.map((type) => {
  const others = EVENT_TYPES.filter((other) => other !== type)
  const own = Object.keys(CATALOGUE[type].fields).filter(
    (name) => !others.some((other) => name in CATALOGUE[other].fields),
  )
  return { type, own }
})

function typeByName(inputName: string): EventType | undefined {
  // The project's own name says nothing about what is in a file.
  const name = inputName.replace(/^.*[/\\]/, '').replace(/runify/gi, '')
  const types = EVENT_TYPES.filter((type) => CATALOGUE[type].fileName.test(name))
  return types.length === 1 ? types[0] : undefined
}

function typeByFields(bytes: Buffer): EventType | undefined {
  const parsed = parseJson(bytes)
  if (!parsed.ok || typeof parsed.value !== 'object' || parsed.value === null) return undefined
  const sent = parsed.value
  const types = OWN_FIELDS.filter(({ own }) => own.some((name) => Object.hasOwn(sent, name)))
  return types.length === 1 ? types[0]?.type : undefined
}

function untold(bytes: Buffer, errors: FieldError[]): EventLine {
  // What is not even an object is so whatever its type.
  if (errors.length === 1 && errors[0]?.pointer === '') return { ok: false, errors }
  const parsed = parseJson(bytes)
  const seen = (name: string) => parsed.ok && Object.hasOwn(parsed.value as object, name)
  const several = OWN_FIELDS.filter(({ own }) => own.some(seen)).length > 1
  const why = several ? 'has fields of several types' : 'has no field that tells its type'
  return refused('', `${why}: --type ${EVENT_TYPES.join('|')} would say what it is`)
}

function refused(pointer: string, detail: string): EventLine {
  return { ok: false, errors: [{ pointer, detail }] }
}

/** Puts the id in front of the closing brace: every other byte, and so every number, stays as it was written. */
function withEventId(line: Buffer): Buffer {
  const member = Buffer.from(`,"event_id":"${eventIdOf(line)}"}`)
  return Buffer.concat([line.subarray(0, -1), member])
}
