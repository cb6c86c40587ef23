import { parseDay, parseInstant } from '../events/instant.ts'
import { parseTimeZone } from '../events/time-zone.ts'
import { HttpProblem } from './problem.ts'

/** What a query or path parameter is. Checks, types and OpenAPI follow from it, as with the fields of events. */
export type Parameter = { description: string; required?: true } & (
  | { kind: 'integer'; min: number; max: number; default?: number }
  | { kind: 'choice'; choices: readonly string[]; default?: string }
  | { kind: 'uuid' }
  | { kind: 'instant' }
  | { kind: 'day' }
  | { kind: 'time_zone' }
  | { kind: 'text'; charactersMax: number; form?: { pattern: string; name: string } }
)

export type Parameters = Record<string, Parameter>

type ValueOf<P extends Parameter> = P extends { kind: 'integer' | 'instant' | 'day' }
  ? number
  : P extends { kind: 'choice'; choices: readonly (infer C)[] }
    ? C
    : string

/** Whether a parameter always has a value: it is required, or has a default. */
type Given<P extends Parameter> = P extends { required: true } | { default: unknown } ? true : false

export type ParameterValues<S extends Parameters> = {
  [N in keyof S as Given<S[N]> extends true ? N : never]: ValueOf<S[N]>
} & { [N in keyof S as Given<S[N]> extends true ? never : N]?: ValueOf<S[N]> | undefined }

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/**
 * Checks the parameters of a request; all that is wrong is told at once. An unknown parameter is refused: a filter
 * with a typing error would otherwise answer as if it were not there.
 */
export function readParameters<S extends Parameters>(parameters: S, sent: Record<string, unknown>): ParameterValues<S> {
  const errors: { pointer: string; detail: string }[] = []
  const values: Record<string, unknown> = {}
  const fail = (name: string, detail: string) => errors.push({ pointer: `/${name}`, detail })
  for (const name of Object.keys(sent)) {
    if (!Object.hasOwn(parameters, name)) fail(name.slice(0, 128), 'is not a parameter of this path')
  }
  for (const [name, parameter] of Object.entries(parameters)) {
    const text = Object.hasOwn(sent, name) ? sent[name] : undefined
    if (text === undefined) {
      if (parameter.required) fail(name, 'is missing')
      else values[name] = 'default' in parameter ? parameter.default : undefined
    } else if (typeof text !== 'string') fail(name, 'is given twice')
    else {
      const value = read(parameter, text)
      if (value === undefined) fail(name, `must be ${describe(parameter)}`)
      else values[name] = value
    }
  }
  if (errors.length > 0) {
    const detail = errors.map((error) => `${error.pointer.slice(1)} ${error.detail}`).join('; ')
    throw new HttpProblem('invalid_parameter', detail, { errors })
  }
  return values as ParameterValues<S>
}

/** For what only a service can tell of a parameter; `detail` follows its name. */
export function invalidParameter(name: string, detail: string): HttpProblem {
  return new HttpProblem('invalid_parameter', `${name} ${detail}`, { errors: [{ pointer: `/${name}`, detail }] })
}

/** The JSON Schema of a parameter, for OpenAPI. */
export function parameterSchema(parameter: Parameter): Record<string, unknown> {
  const { description } = parameter
  const withDefault = 'default' in parameter && parameter.default !== undefined ? { default: parameter.default } : {}
  switch (parameter.kind) {
    case 'integer':
      return { type: 'integer', minimum: parameter.min, maximum: parameter.max, description, ...withDefault }
    case 'choice':
      return { type: 'string', enum: parameter.choices, description, ...withDefault }
    case 'uuid':
      return { type: 'string', format: 'uuid', description }
    case 'instant':
      return { type: 'string', format: 'date-time', description }
    case 'day':
      return { type: 'string', format: 'date', description }
    case 'time_zone':
      return { type: 'string', description, examples: ['Europe/Berlin'] }
    case 'text':
      return {
        type: 'string',
        maxLength: parameter.charactersMax,
        ...(parameter.form && { pattern: parameter.form.pattern }),
        description,
      }
  }
}

function read(parameter: Parameter, text: string): string | number | undefined {
  switch (parameter.kind) {
    case 'integer': {
      const value = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN
      return value >= parameter.min && value <= parameter.max ? value : undefined
    }
    case 'choice':
      return parameter.choices.includes(text) ? text : undefined
    case 'uuid':
      return UUID.test(text) ? text.toLowerCase() : undefined
    case 'instant':
      return parseInstant(text)
    case 'day':
      return parseDay(text)
    case 'time_zone':
      return parseTimeZone(text)
    case 'text':
      if (parameter.form !== undefined && !new RegExp(parameter.form.pattern).test(text)) return undefined
      return text.length <= parameter.charactersMax ? text : undefined
  }
}

function describe(parameter: Parameter): string {
  switch (parameter.kind) {
    case 'integer':
      return `a whole number from ${parameter.min} to ${parameter.max}`
    case 'choice':
      return `one of ${parameter.choices.join(', ')}`
    case 'uuid':
      return 'a UUID'
    case 'instant':
      return 'an RFC 3339 date-time with a zone, like 2024-05-01T06:30:00Z (in an address, + is written %2B)'
    case 'day':
      return 'a date, like 2024-05-01'
    case 'time_zone':
      return 'the IANA name of a time zone, like Europe/Berlin'
    case 'text':
      return parameter.form?.name ?? `at most ${parameter.charactersMax} characters`
  }
}
