import { invalidBody } from '../../../http/json-body.ts'
import { nextPageLink } from '../../../http/next-page.ts'
import { type Parameters, parameterSchema, readParameters } from '../../../http/parameter.ts'
import { HttpProblem } from '../../../http/problem.ts'
import type { HttpServer } from '../../../http/server.ts'
import type { EventLog } from '../../../log/event-log.ts'
import type { AnalyzerTelemetry } from '../telemetry.ts'
import { DISMISSALS, Dismisser } from './dismisser.ts'
import { LetterIndex } from './letter-index.ts'
import { DISMISSED, LETTER_FILTER, LETTER_SCHEMA, type LetterFilter, LetterPages, REDRIVEN } from './letter-pages.ts'
import { OUTCOMES, type RedriveOptions, Redriver } from './redrive.ts'
import { RedriveLedger } from './redrive-ledger.ts'

/** What could not be handled: to look at, and to send again. */
export function addDeadLetters(
  server: HttpServer,
  { log, telemetry }: { log: EventLog; telemetry: AnalyzerTelemetry },
): void {
  const index = new LetterIndex(log)
  const ledger = new RedriveLedger(log)
  const pages = new LetterPages({ log, index, ledger })
  const redriver = new Redriver({ log, ledger, telemetry })
  const dismisser = new Dismisser({ log, ledger, telemetry })

  server.get('/dead-letters', {
    summary: 'What could not be handled, with the reason, each letter once',
    description: LIST_DESCRIPTION,
    parameters: LIST,
    response: { type: 'array', items: LETTER_SCHEMA },
    problems: ['log_unavailable'],
    handler: async ({ values: { order, limit, cursor, ...filter }, request, reply }) => {
      const { letters, next } = await pages.read(filter, { order, limit, cursor })
      if (next !== undefined) reply.header('link', nextPageLink(request, { cursor: next }))
      return letters.map((letter) => pages.toWire(letter))
    },
  })

  server.command('/dead-letters/redrive', {
    summary: 'Send the records of dead letters again, each at most once',
    description: REDRIVE_DESCRIPTION,
    body: ORDER_SCHEMA,
    check: (value) => checkOrder(value, ORDER_SCHEMA),
    response: RESULT_SCHEMA,
    problems: ['log_unavailable', 'log_overloaded'],
    handler: async ({ order: { ids, filter, limit, cursor, ...options } }) => {
      if (ids !== undefined) return answer(await redriver.redriveIds(ids, options), options, undefined)
      // Those that were redriven or dismissed are left out, so that the same order can be given again and again.
      const { letters, next } = await pages.read(
        { ...filter, redriven: 'no unfinished', dismissed: 'no' },
        { order: 'asc', limit, cursor },
      )
      return answer(await redriver.redrive(letters, options), options, next)
    },
  })

  server.command('/dead-letters/dismiss', {
    summary: 'Say of dead letters that nothing more is to be done about them',
    description: DISMISS_DESCRIPTION,
    body: DISMISS_SCHEMA,
    check: (value) => checkOrder(value, DISMISS_SCHEMA),
    response: DISMISSED_SCHEMA,
    problems: ['log_unavailable', 'log_overloaded'],
    handler: async ({ order: { ids, filter, limit, cursor, ...options } }) => {
      if (ids !== undefined) return answer(await dismisser.dismissIds(ids, options), options, undefined)
      const { letters, next } = await pages.read({ ...filter, dismissed: 'no' }, { order: 'asc', limit, cursor })
      return answer(await dismisser.dismiss(letters, options), options, next)
    },
  })
}

function answer<T extends { outcome: string }>(
  results: readonly T[],
  { dryRun }: { dryRun: boolean },
  next: string | undefined,
) {
  const counts: Record<string, number> = {}
  for (const { outcome } of results) counts[outcome] = (counts[outcome] ?? 0) + 1
  return { dry_run: dryRun, counts, results, next: next ?? null }
}

type Order = RedriveOptions & {
  ids?: string[]
  filter?: LetterFilter
  limit: number
  cursor: string | undefined
}

const IDS_MAX = 1000
const LIMIT = 100
const ATTEMPTS = 3
const ATTEMPTS_MAX = 100
/** With the rest of the request's head it must stay below the 16 KiB of Node. */
const CURSOR_CHARACTERS_MAX = 15_000

function checkOrder(value: unknown, schema: { properties: object }): Order {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidBody([{ pointer: '', detail: 'must be a JSON object' }])
  }
  const body = value as Record<string, unknown>
  const errors: { pointer: string; detail: string }[] = []
  const read = <T>(name: string, fallback: T, isRight: (sent: unknown) => boolean, must: string): T => {
    if (!Object.hasOwn(body, name)) return fallback
    if (isRight(body[name])) return body[name] as T
    errors.push({ pointer: `/${name}`, detail: `must be ${must}` })
    return fallback
  }
  const wholeNumber = (max: number) => (sent: unknown) =>
    Number.isInteger(sent) && Number(sent) >= 1 && Number(sent) <= max
  for (const name of Object.keys(body)) {
    if (!Object.hasOwn(schema.properties, name)) {
      errors.push({ pointer: `/${name.slice(0, 128)}`, detail: 'is not a member of this body' })
    }
  }
  const isIds = (sent: unknown) =>
    Array.isArray(sent) && sent.length >= 1 && sent.length <= IDS_MAX && sent.every((id) => typeof id === 'string')
  const isFlag = (sent: unknown) => typeof sent === 'boolean'
  const isFilter = (sent: unknown) =>
    Object(sent) === sent &&
    !Array.isArray(sent) &&
    Object.values(sent as object).every((one) => typeof one === 'string')
  const isCursor = (sent: unknown) => typeof sent === 'string' && sent.length <= CURSOR_CHARACTERS_MAX
  const ids = read<string[] | undefined>('ids', undefined, isIds, `1 to ${IDS_MAX} ids of letters`)
  const sentFilter = read<object | undefined>('filter', undefined, isFilter, 'an object of texts')
  const cursor = read<string | undefined>('cursor', undefined, isCursor, 'the `next` of the answer before')
  const order: Order = {
    dryRun: read('dry_run', false, isFlag, 'true or false'),
    force: read('force', false, isFlag, 'true or false'),
    attemptsMax: read('attempts_max', ATTEMPTS, wholeNumber(ATTEMPTS_MAX), `a whole number from 1 to ${ATTEMPTS_MAX}`),
    limit: read('limit', LIMIT, wholeNumber(IDS_MAX), `a whole number from 1 to ${IDS_MAX}`),
    cursor,
    ...(ids !== undefined && { ids: [...new Set(ids)] }),
    ...(sentFilter !== undefined && { filter: checkFilter(sentFilter, errors) }),
  }
  const has = (name: string) => Object.hasOwn(body, name)
  if (has('ids') === has('filter')) errors.push({ pointer: '', detail: 'must have either ids or filter' })
  for (const name of ['limit', 'cursor']) {
    if (has('ids') && has(name)) errors.push({ pointer: `/${name}`, detail: 'is for a filter only' })
  }
  if (has('filter') && order.force) errors.push({ pointer: '/force', detail: 'is for ids only' })
  if (errors.length > 0) throw invalidBody(errors)
  return order
}

function checkFilter(sent: object, errors: { pointer: string; detail: string }[]): LetterFilter {
  try {
    return readParameters(LETTER_FILTER, sent as Record<string, unknown>)
  } catch (error) {
    if (!(error instanceof HttpProblem)) throw error
    for (const { pointer, detail } of error.body().errors as { pointer: string; detail: string }[]) {
      errors.push({ pointer: `/filter${pointer}`, detail })
    }
    return {}
  }
}

const LIST = {
  ...LETTER_FILTER,
  redriven: { kind: 'choice', choices: REDRIVEN, description: 'Whether they were sent again' },
  dismissed: {
    kind: 'choice',
    choices: DISMISSED,
    description: 'Whether they were dismissed; all where it is not said',
  },
  order: { kind: 'choice', choices: ['desc', 'asc'], default: 'desc', description: 'Newest or oldest first' },
  limit: { kind: 'integer', min: 1, max: 200, default: 50, description: 'Letters a page' },
  cursor: {
    kind: 'text',
    charactersMax: CURSOR_CHARACTERS_MAX,
    description: 'From the Link header of the page before',
  },
} as const satisfies Parameters

const LIST_DESCRIPTION =
  'By when they were first put there, newest first. While there may be more, `Link: <…>; rel="next"` names the next page; with ' +
  'a filter a page may have few letters, or none, and there is more all the same. A letter that was put there more than ' +
  'once, as when a consumer began again, is told once, with `times`.'

const REDRIVE_DESCRIPTION =
  'Sends the original bytes with the original key to the original topic, so that what was stored meanwhile is not stored twice. ' +
  'Letters are chosen by `ids` or by `filter`, the oldest first; of a filter those that were redriven before are left out, and ' +
  '`next` is where to go on. Each letter is redriven at most once, however often and by whomever it is asked for. One that was ' +
  'begun and not finished, because a process was killed in between, is told as `unfinished`; `force` sends it again. What fails ' +
  'again comes back as a letter that has an `ancestor`, and after `attempts_max` attempts it is left alone.'

const DISMISS_DESCRIPTION =
  'Marks the letters, chosen by `ids` or by `filter`, as dismissed, for instance those of reason `conflict`, which are never sent ' +
  'again. A dismissed letter stays in the list with its `dismissed_time`, which `dismissed=no` leaves out, and a redrive by ' +
  '`filter` leaves it alone; by its id it can still be sent again. To dismiss one twice changes nothing.'

const ORDER_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  properties: {
    ids: {
      type: 'array',
      items: { type: 'string' },
      minItems: 1,
      maxItems: IDS_MAX,
      description: 'Letters by their id',
    },
    filter: {
      type: 'object',
      additionalProperties: false,
      description: 'Letters by what `GET /dead-letters` can choose them by; {} chooses all',
      properties: Object.fromEntries(
        Object.entries(LETTER_FILTER).map(([name, parameter]) => [name, parameterSchema(parameter)]),
      ),
    },
    limit: {
      type: 'integer',
      minimum: 1,
      maximum: IDS_MAX,
      default: LIMIT,
      description: 'Of a filter: how many at most',
    },
    cursor: {
      type: 'string',
      maxLength: CURSOR_CHARACTERS_MAX,
      description: 'Of a filter: the `next` of the answer before',
    },
    dry_run: { type: 'boolean', default: false, description: 'Only says what would be done' },
    force: { type: 'boolean', default: false, description: 'Of ids: also sends what was begun and not finished' },
    attempts_max: {
      type: 'integer',
      minimum: 1,
      maximum: ATTEMPTS_MAX,
      default: ATTEMPTS,
      description: 'From how many attempts on a content is left alone',
    },
  },
  examples: [{ filter: { reason: 'unstorable' }, dry_run: true }],
}

const RESULT_SCHEMA = {
  type: 'object',
  required: ['dry_run', 'counts', 'results', 'next'],
  properties: {
    dry_run: { type: 'boolean' },
    counts: {
      type: 'object',
      description: 'How many had each outcome',
      properties: Object.fromEntries(OUTCOMES.map((outcome) => [outcome, { type: 'integer', minimum: 0 }])),
    },
    results: {
      type: 'array',
      items: {
        type: 'object',
        required: ['id', 'outcome'],
        properties: {
          id: { type: 'string' },
          outcome: { type: 'string', enum: OUTCOMES },
          detail: { type: 'string', description: 'Why, for people' },
          attempts: {
            type: 'integer',
            minimum: 0,
            description: 'How often this content was redriven, this time included',
          },
        },
      },
    },
    next: { type: ['string', 'null'], description: 'Of a filter: the `cursor` to go on with; null when that was all' },
  },
}

const { ids, filter, limit, cursor, dry_run } = ORDER_SCHEMA.properties
const DISMISS_SCHEMA = {
  ...ORDER_SCHEMA,
  properties: { ids, filter, limit, cursor, dry_run },
  examples: [{ filter: { reason: 'conflict' }, dry_run: true }],
}

const { results } = RESULT_SCHEMA.properties
const { attempts: _, ...dismissalMembers } = results.items.properties
const DISMISSED_SCHEMA = {
  ...RESULT_SCHEMA,
  properties: {
    ...RESULT_SCHEMA.properties,
    counts: {
      ...RESULT_SCHEMA.properties.counts,
      properties: Object.fromEntries(DISMISSALS.map((outcome) => [outcome, { type: 'integer', minimum: 0 }])),
    },
    results: {
      ...results,
      items: {
        ...results.items,
        properties: { ...dismissalMembers, outcome: { type: 'string', enum: DISMISSALS } },
      },
    },
  },
}
