import type { ServiceName } from '../src/config.ts'
import { CATALOGUE, EVENT_TYPES, type EventType } from '../src/events/catalogue.ts'
import type { ProblemCode } from '../src/http/problem.ts'
import * as scripts from './postman-scripts.ts'
import type { PostExample } from './readme-examples.ts'

/** A request that Postman sends. What is not said here follows from the OpenAPI document. */
export type RequestPlan = {
  operation: `${'GET' | 'POST' | 'DELETE'} ${string}`
  /** Tells it from the others of the operation. */
  how?: string
  /** What a reader should know of it, beside what the OpenAPI document says of the operation. */
  about?: string
  /** In the path, the query and the headers. */
  parameters?: Record<string, string>
  body?: { contentType: string; text: string }
  /** Standard: the lowest of those that mean success. */
  status?: number
  /** The media type to ask for; standard: JSON. */
  accept?: string
  /** For a wrong request: what is answered, and what it must name. */
  problem?: { code: ProblemCode; pointer?: string }
  before?: string
  tests?: string
}

/** The requests of each service in the order of sending. An operation that is not among them needs nothing to be sent. */
export function planRequests(examples: readonly PostExample[]): Record<ServiceName, RequestPlan[]> {
  const posts = EVENT_TYPES.map((type) => ({ type, example: exampleOf(type, examples) }))
  return {
    receiver: posts.flatMap(({ type, example }) => [...planPosts(type, example), ...planWrongPosts(type, example)]),
    storage: [...EVENT_TYPES.flatMap(planStored), ...STORAGE, ...USERS],
    processing: PROCESSING,
    analyzer: [...ANALYZER, ...EVENT_TYPES.flatMap(planIndexes)],
    'anomaly-detector': ANOMALIES,
    'health-check': [],
    dashboard: [],
  }
}

function exampleOf(type: EventType, examples: readonly PostExample[]): PostExample {
  const found = examples.find(({ path }) => path === CATALOGUE[type].path)
  if (found === undefined) throw new Error(`the README does not post to ${CATALOGUE[type].path}`)
  return found
}

const COUNT_NAMES = EVENT_TYPES.map((type) => CATALOGUE[type].countName)
const VARIABLES: Record<EventType, scripts.EventVariables> = {
  running_stats: { event: 'running_event', traceId: 'running_trace_id' },
  music_info: { event: 'music_event', traceId: 'music_trace_id' },
}
/** A number of each type, to be made wrong. */
const NUMBERS: Record<EventType, string> = { running_stats: 'distance', music_info: 'song_duration' }
const NO_EVENT = '00000000-0000-4000-8000-000000000000'
const JSON_TYPE = 'application/json'
const LINES_TYPE = 'application/x-ndjson'

const json = (value: unknown) => ({ contentType: JSON_TYPE, text: JSON.stringify(value, null, 2) })

function planPosts(type: EventType, { contentType, body }: PostExample): RequestPlan[] {
  const operation = `POST ${CATALOGUE[type].path}` as const
  // Their event_id keeps them from being stored once more with each run.
  const events = [1, 2].map((n) => ({ ...JSON.parse(body), event_id: `postman-${n}` }))
  const [good, other] = events
  const wrong = { ...other, [NUMBERS[type]]: 'far' }
  const keyed = {
    operation,
    body: { contentType, text: body },
    parameters: { 'idempotency-key': '{{idempotency_key}}' },
  }
  return [
    {
      operation,
      about: 'The example of the README. Storage is asked for this event.',
      body: { contentType, text: body },
      tests: scripts.testTraceId(VARIABLES[type]),
    },
    { ...keyed, how: 'with a key', before: scripts.NEW_KEY, tests: scripts.KEEP_TRACE_ID },
    {
      ...keyed,
      how: 'with the same key',
      about: 'As a device does that has lost the answer: the event is stored once, with one `trace_id`.',
      tests: scripts.TEST_SAME_TRACE_ID,
    },
    {
      operation,
      how: 'as an array',
      body: json(events),
      tests: scripts.testCounts({ accepted: 2, rejected: 0 }),
    },
    {
      operation,
      how: 'as lines',
      body: { contentType: LINES_TYPE, text: events.map((event) => `${JSON.stringify(event)}\n`).join('') },
      tests: scripts.testCounts({ accepted: 2, rejected: 0 }),
    },
    {
      operation,
      how: 'with one that is wrong among them',
      body: json([good, wrong]),
      status: 207,
      tests: `${scripts.testCounts({ accepted: 1, rejected: 1 })}${scripts.testRejected({ index: 1, pointer: `/${NUMBERS[type]}` })}`,
    },
  ]
}

function planWrongPosts(type: EventType, { body }: PostExample): RequestPlan[] {
  const operation = `POST ${CATALOGUE[type].path}` as const
  const number = NUMBERS[type]
  const event = JSON.parse(body) as Record<string, unknown>
  const { timestamp, ...timeless } = event
  const invalid = (pointer: string) => ({ code: 'invalid_event', pointer }) as const
  return [
    {
      operation,
      how: `with text as ${number}`,
      body: json({ ...event, [number]: '1' }),
      problem: invalid(`/${number}`),
    },
    { operation, how: 'without timestamp', body: json(timeless), problem: invalid('/timestamp') },
    { operation, how: 'with an unknown field', body: json({ ...event, mood: 1 }), problem: invalid('/mood') },
    {
      operation,
      how: 'on a day that there is not',
      body: json({ ...event, timestamp: '2024-02-30T06:30:00Z' }),
      problem: invalid('/timestamp'),
    },
    {
      operation,
      how: 'as an array with nothing good in it',
      body: json([timeless]),
      problem: { code: 'invalid_events', pointer: '/timestamp' },
    },
    {
      operation,
      how: 'as JSON that is cut off',
      body: { contentType: JSON_TYPE, text: body.slice(0, -1) },
      problem: { code: 'invalid_json' },
    },
    {
      operation,
      how: 'as plain text',
      body: { contentType: 'text/plain', text: body },
      problem: { code: 'unsupported_media_type' },
    },
    {
      operation,
      how: 'with a key that is too long',
      body: json(event),
      parameters: { 'idempotency-key': 'k'.repeat(129) },
      problem: { code: 'invalid_header' },
    },
  ]
}

function planStored(type: EventType): RequestPlan[] {
  const { path } = CATALOGUE[type]
  const operation = `GET ${path}` as const
  const variables = VARIABLES[type]
  const url = `{{storage}}/events/{{${variables.traceId}}}`
  const why = 'Storage reads the log shortly after the Receiver has answered.'
  const range = { start_timestamp: '{{start_timestamp}}', end_timestamp: '{{end_timestamp}}', user_id: '{{user_id}}' }
  const ranged = { operation, parameters: range, before: scripts.setRange(variables) }
  return [
    {
      operation: 'GET /events/{trace_id}',
      how: `for ${path}`,
      about: `The event that \`POST ${path}\` has sent. Storage is asked until it has it, for 10 s at most.`,
      parameters: { trace_id: `{{${variables.traceId}}}` },
      before: scripts.waitUntil(url, 'response.code !== 404', why),
      tests: scripts.testStored(variables, type),
    },
    {
      ...ranged,
      about: 'The newest first, for there is one more with each run.',
      parameters: { ...range, order: 'desc', limit: '10000' },
      tests: scripts.testRange(variables),
    },
    { ...ranged, how: 'as lines', accept: LINES_TYPE, tests: scripts.testLines(variables) },
    { ...ranged, how: 'as a table', accept: 'text/csv', tests: scripts.testTable(variables) },
    {
      operation,
      how: 'from a time that is none',
      parameters: { start_timestamp: 'yesterday' },
      problem: { code: 'invalid_parameter', pointer: '/start_timestamp' },
    },
    {
      operation,
      how: 'with a limit of 0',
      parameters: { limit: '0' },
      problem: { code: 'invalid_parameter', pointer: '/limit' },
    },
  ]
}

const STORAGE: RequestPlan[] = [
  { operation: 'GET /stats', tests: `${scripts.testCountNames(COUNT_NAMES)}${scripts.keepNumbers(COUNT_NAMES)}` },
  {
    operation: 'GET /changes',
    about: 'The first ones that there are.',
    parameters: { limit: '10' },
    tests: scripts.TEST_CHANGES,
  },
  { operation: 'GET /changes', how: 'after those', parameters: { after: '{{changes_after}}', limit: '10' } },
  {
    operation: 'GET /changes',
    how: 'after a position that is none',
    parameters: { after: 'nowhere' },
    problem: { code: 'invalid_parameter', pointer: '/after' },
  },
  {
    operation: 'GET /events/{trace_id}',
    how: 'for an id that nothing has',
    parameters: { trace_id: NO_EVENT },
    problem: { code: 'not_found' },
  },
  {
    operation: 'GET /canaries/{trace_id}',
    how: 'for an id that no canary has',
    parameters: { trace_id: NO_EVENT },
    problem: { code: 'not_found' },
  },
  {
    operation: 'GET /events/{trace_id}',
    how: 'for an id that is none',
    parameters: { trace_id: 'first' },
    problem: { code: 'invalid_parameter', pointer: '/trace_id' },
  },
]

/** What nobody has sent anything of. */
const NOBODY = '00000000-0000-4000-8000-0000000000ff'

const USERS: RequestPlan[] = [
  { operation: 'GET /users/{user_id}/events', parameters: { user_id: '{{user_id}}', limit: '2' } },
  {
    operation: 'GET /users/{user_id}/events',
    how: 'with a cursor that is none',
    parameters: { user_id: '{{user_id}}', cursor: 'x' },
    problem: { code: 'invalid_parameter', pointer: '/cursor' },
  },
  {
    operation: 'DELETE /users/{user_id}',
    about: 'Of a user of whom there is nothing, so that it can be sent without harm.',
    parameters: { user_id: NOBODY },
    tests: scripts.testEqual('user_id', NOBODY),
  },
  {
    operation: 'DELETE /users/{user_id}',
    how: 'who is none',
    parameters: { user_id: 'me' },
    problem: { code: 'invalid_parameter', pointer: '/user_id' },
  },
  {
    operation: 'GET /erasures/{request_id}',
    parameters: { request_id: NO_EVENT },
    problem: { code: 'not_found' },
  },
  { operation: 'GET /erasures/{request_id}/events', parameters: { request_id: NO_EVENT } },
]

const DAY = { user_id: '{{user_id}}', from: '{{day}}', to: '{{day}}' }
const ASK_DAY = '{{processing}}/stats?user_id={{user_id}}&from={{day}}&to={{day}}'
const COUNTED = COUNT_NAMES.map((name) => `!(response.json().${name} < pm.collectionVariables.get('${name}'))`)

const PROCESSING: RequestPlan[] = [
  {
    operation: 'GET /stats',
    about: 'Processing is asked until it has counted what Storage had, for 10 s at most.',
    before: scripts.waitUntil('{{processing}}/stats', `(${COUNTED.join(' && ')})`, 'Statistics are 2 s old at most.'),
    tests: `${scripts.testNotBelowKept(COUNT_NAMES)}${scripts.TEST_STATISTICS}`,
  },
  {
    operation: 'GET /stats',
    how: 'of the user on the day of the run',
    parameters: DAY,
    before: `${scripts.setRange(VARIABLES.running_stats)}${scripts.waitUntil(
      ASK_DAY,
      '!(response.json().num_running_stats < 1)',
      'Another partition may be counted later.',
    )}`,
    tests: scripts.testStatisticsOfDay(VARIABLES.running_stats),
  },
  {
    operation: 'GET /stats',
    how: 'from a day that there is not',
    parameters: { from: '2024-02-30' },
    problem: { code: 'invalid_parameter', pointer: '/from' },
  },
  {
    operation: 'GET /stats',
    how: 'to a day before the first',
    parameters: { from: '2024-02-02', to: '2024-02-01' },
    problem: { code: 'invalid_parameter', pointer: '/to' },
  },
  {
    operation: 'GET /stats',
    how: 'in a time zone that there is not',
    parameters: { time_zone: 'Mars/Olympus' },
    problem: { code: 'invalid_parameter', pointer: '/time_zone' },
  },
  {
    operation: 'GET /stats/daily',
    how: 'of the user on the day of the run',
    parameters: DAY,
    tests: scripts.testDay(VARIABLES.running_stats),
  },
  { operation: 'GET /stats/daily', how: 'in a time zone', parameters: { time_zone: 'Asia/Kathmandu', limit: '10' } },
  {
    operation: 'GET /stats/daily',
    how: 'with a limit of 0',
    parameters: { limit: '0' },
    problem: { code: 'invalid_parameter', pointer: '/limit' },
  },
  {
    operation: 'GET /stats/records',
    parameters: { user_id: '{{user_id}}', time_zone: 'America/St_Johns' },
    tests: scripts.testLongest(VARIABLES.running_stats),
  },
  { operation: 'GET /stats/songs', parameters: { user_id: '{{user_id}}', limit: '10' } },
  {
    operation: 'GET /stats/songs',
    how: 'of a day in a time zone',
    parameters: { ...DAY, time_zone: 'Asia/Kathmandu' },
  },
  {
    operation: 'GET /stats/songs',
    how: 'with a limit of 0',
    parameters: { limit: '0' },
    problem: { code: 'invalid_parameter', pointer: '/limit' },
  },
  { operation: 'GET /stats/artists', parameters: { limit: '10' } },
  {
    operation: 'GET /stats/counted',
    parameters: { from: '2025-01-01T00:00:00Z', to: '2026-01-01T00:00:00Z' },
  },
  {
    operation: 'GET /stats/counted',
    how: 'of more than 366 days',
    parameters: { from: '2024-01-01T00:00:00Z', to: '2026-01-01T00:00:00Z' },
    problem: { code: 'invalid_parameter', pointer: '/to' },
  },
]

const ANALYZER: RequestPlan[] = [
  { operation: 'GET /stats', tests: `${scripts.testCountNames(COUNT_NAMES)}${scripts.TEST_LOG}` },
  {
    operation: 'GET /audit',
    about: 'Of two hours of long ago, of which nothing is there.',
    parameters: { from: '2001-01-01T00:00:00Z', to: '2001-01-01T02:00:00Z' },
    tests: scripts.testEqual('equal', true),
  },
  {
    operation: 'GET /audit',
    how: 'of half an hour',
    parameters: { from: '2001-01-01T00:00:00Z', to: '2001-01-01T00:30:00Z' },
    problem: { code: 'invalid_parameter', pointer: '/to' },
  },
  {
    operation: 'GET /events/{trace_id}',
    how: 'that there is not',
    parameters: { trace_id: NO_EVENT },
    problem: { code: 'not_found' },
  },
  {
    operation: 'GET /tail',
    how: 'of one event, as lines',
    about: 'Without `limit` it would go on for ever.',
    parameters: { after: 'running_stats:0', type: 'running_stats', limit: '1' },
    accept: 'text/event-stream',
  },
  {
    operation: 'GET /tail',
    how: 'behind what is no position',
    parameters: { after: '7' },
    problem: { code: 'invalid_parameter', pointer: '/after' },
  },
  {
    operation: 'GET /dead-letters',
    how: 'with a reason that there is not',
    parameters: { reason: 'bad_weather' },
    problem: { code: 'invalid_parameter', pointer: '/reason' },
  },
  {
    operation: 'POST /dead-letters/redrive',
    how: 'as a dry run',
    about: 'Nothing is sent: it only says what would be.',
    body: json({ filter: { user_id: NO_EVENT }, dry_run: true }),
    tests: scripts.testEqual('dry_run', true),
  },
  {
    operation: 'POST /dead-letters/redrive',
    how: 'of nothing',
    body: json({ ids: [] }),
    problem: { code: 'invalid_body', pointer: '/ids' },
  },
  {
    operation: 'POST /dead-letters/dismiss',
    how: 'as a dry run',
    about: 'Nothing is marked: it only says what would be.',
    body: json({ filter: { user_id: NO_EVENT }, dry_run: true }),
    tests: scripts.testEqual('dry_run', true),
  },
]

const ANOMALIES: RequestPlan[] = [
  {
    operation: 'GET /anomalies',
    about: "Of the run's user, the newest first.",
    parameters: { user_id: '{{user_id}}', limit: '10' },
  },
  {
    operation: 'GET /anomalies',
    how: 'of a type that there is not',
    parameters: { anomaly_type: 'Odd' },
    problem: { code: 'invalid_parameter', pointer: '/anomaly_type' },
  },
  {
    operation: 'GET /anomalies/{anomaly_id}',
    how: 'for an id that nothing has',
    parameters: { anomaly_id: NO_EVENT },
    problem: { code: 'not_found' },
  },
  {
    operation: 'POST /webhooks/resume',
    how: 'of a name that no webhook has',
    body: json({ webhook: 'nobody' }),
    problem: { code: 'not_found' },
  },
  { operation: 'GET /stats' },
]

function planIndexes(type: EventType): RequestPlan[] {
  const operation = `GET ${CATALOGUE[type].indexPath}` as const
  return [
    { operation, parameters: { index: '0' }, tests: scripts.testEqual('index', 0) },
    {
      operation,
      how: 'beyond the end',
      parameters: { index: String(Number.MAX_SAFE_INTEGER) },
      problem: { code: 'not_found' },
    },
    {
      operation,
      how: 'below 0',
      parameters: { index: '-1' },
      problem: { code: 'invalid_parameter', pointer: '/index' },
    },
  ]
}
