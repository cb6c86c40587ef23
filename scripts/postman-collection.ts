import { createHash } from 'node:crypto'
import { SERVICES, type ServiceName } from '../src/config.ts'
import { PROBLEMS } from '../src/http/problem.ts'
import { bodySchema, type OpenapiDocument, type Operation, operationsOf, successOf } from './openapi-document.ts'
import { planRequests, type RequestPlan } from './postman-requests.ts'
import { TEST_METRICS, testAnswer, testProblem } from './postman-scripts.ts'
import type { PostExample } from './readme-examples.ts'

/** Postman's own format, as much of it as is used: https://schema.postman.com/collection/json/v2.1.0/draft-07/docs/ */
export type Folder = { id: string; name: string; description?: string; item: (Folder | Item)[] }
export type Item = { id: string; name: string; event: ScriptEvent[]; request: Request }
type Collection = { info: object; auth: object; variable: object[]; item: Folder[] }
type Environment = { id: string; name: string; values: object[]; _postman_variable_scope: 'environment' }
type ScriptEvent = { listen: 'prerequest' | 'test'; script: { type: 'text/javascript'; exec: string[] } }
type Entry = { key: string; value: string; description?: string; disabled?: true }
type Request = {
  method: string
  auth?: object
  header: Entry[]
  body?: { mode: 'raw'; raw: string; options: { raw: { language: string } } }
  url: { raw: string; host: string[]; path: string[]; query?: Entry[]; variable?: Entry[] }
  description: string
}

/** The collection and the environment, the same for the same documents and examples. Throws if they do not fit together. */
export function buildPostman(
  documents: Record<ServiceName, OpenapiDocument>,
  examples: readonly PostExample[],
): { collection: Collection; environment: Environment } {
  const plans = planRequests(examples)
  const collection = {
    info: {
      _postman_id: idOf('collection'),
      name: 'Runify',
      description: DESCRIPTION,
      schema: 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json',
    },
    auth: bearer('read_key'),
    variable: VARIABLES.map(({ key, value, description }) => ({ key, value, type: 'string', description })),
    item: SERVICES.map((service) => buildFolder(service, documents[service], plans[service])),
  }
  const settings = VARIABLES.filter(({ type }) => type !== undefined)
  const environment: Environment = {
    id: idOf('environment'),
    name: 'Runify on this machine',
    values: settings.map(({ key, value, type }) => ({ key, value, type, enabled: true })),
    _postman_variable_scope: 'environment',
  }
  return { collection, environment }
}

const WRONG = 'Wrong requests'

const DESCRIPTION = `Every operation of every Runify service, with tests of the answers, and wrong requests.

Import this and the environment, choose the environment, and run the whole collection in its order: the Receiver's requests
send events, and those of the other services look for them. It stores a few events with each run, so it is not for a Runify
whose statistics matter. \`npm run postman\` makes both files from the OpenAPI documents and the README.`

/** Those with a type are in the environment too: what is to be set. The requests set the others. */
const VARIABLES: { key: string; value: string; type?: 'default' | 'secret'; description: string }[] = [
  { key: 'receiver', value: 'http://localhost:8080', type: 'default', description: 'Where the Receiver is' },
  { key: 'storage', value: 'http://localhost:8090', type: 'default', description: 'Where Storage is' },
  { key: 'processing', value: 'http://localhost:8100', type: 'default', description: 'Where Processing is' },
  { key: 'analyzer', value: 'http://localhost:8110', type: 'default', description: 'Where the Analyzer is' },
  {
    key: 'anomaly-detector',
    value: 'http://localhost:8120',
    type: 'default',
    description: 'Where the anomaly detector is',
  },
  { key: 'health-check', value: 'http://localhost:8130', type: 'default', description: 'Where the health check is' },
  { key: 'dashboard', value: 'http://localhost:8000', type: 'default', description: 'Where the dashboard is' },
  {
    key: 'write_key',
    value: '',
    type: 'secret',
    description: 'Key for what sends; empty where no keys are configured',
  },
  { key: 'read_key', value: '', type: 'secret', description: 'Key for what asks; empty where no keys are configured' },
  { key: 'running_event', value: '', description: 'The run that was posted, as JSON' },
  { key: 'running_trace_id', value: '', description: 'What the Receiver answered to it' },
  { key: 'music_event', value: '', description: 'The play of a song that was posted, as JSON' },
  { key: 'music_trace_id', value: '', description: 'What the Receiver answered to it' },
  { key: 'idempotency_key', value: '', description: 'A new one for each event that is sent twice' },
  { key: 'idempotent_trace_id', value: '', description: 'What the Receiver answered to it at first' },
  { key: 'start_timestamp', value: '', description: 'When the event that is looked for began' },
  { key: 'end_timestamp', value: '', description: 'A millisecond later' },
  { key: 'day', value: '', description: 'The day of that' },
  { key: 'user_id', value: '', description: 'The user of the event that is looked for' },
  { key: 'num_running_stats', value: '', description: 'How many runs Storage had' },
  { key: 'num_music_info', value: '', description: 'How many plays of songs Storage had' },
  { key: 'changes_after', value: '', description: 'Where the next changes of Storage begin' },
]

function buildFolder(service: ServiceName, document: OpenapiDocument, plans: readonly RequestPlan[]): Folder {
  const operations = operationsOf(document)
  const planned = new Set<string>(plans.map(({ operation }) => operation))
  const plain = [...operations.keys()].filter((operation) => !planned.has(operation)).map(planPlain)
  const build = (plan: RequestPlan) => {
    const operation = operations.get(plan.operation)
    if (operation === undefined) throw new Error(`${service} has no ${plan.operation}`)
    return buildItem(service, plan, operation)
  }
  const name = service[0]?.toUpperCase() + service.slice(1)
  const right = [...plain, ...plans].filter(({ problem }) => problem === undefined)
  const wrong = plans.filter(({ problem }) => problem !== undefined)
  return {
    id: idOf(service),
    name,
    description: document.info.description,
    item: [...right.map(build), { id: idOf(`${service} ${WRONG}`), name: WRONG, item: wrong.map(build) }],
  }
}

function planPlain(operation: string): RequestPlan {
  const [method, path] = operation.split(' ')
  if (method !== 'GET') throw new Error(`${operation} needs a plan of what to send`)
  if (path === '/metrics') return { operation: `GET ${path}`, accept: 'text/plain', tests: TEST_METRICS }
  return { operation: `GET ${path}` }
}

function buildItem(service: ServiceName, plan: RequestPlan, operation: Operation): Item {
  const name = plan.how === undefined ? plan.operation : `${plan.operation} ${plan.how}`
  const event: ScriptEvent[] = [toEvent('test', testsOf(plan, operation))]
  if (plan.before !== undefined) event.unshift(toEvent('prerequest', plan.before))
  return { id: idOf(`${service} ${name}`), name, event, request: buildRequest(service, plan, operation) }
}

function testsOf(plan: RequestPlan, operation: Operation): string {
  const { problem } = plan
  if (problem === undefined) {
    const [status, mediaType] = [plan.status ?? successOf(operation), plan.accept ?? 'application/json']
    return `${testAnswer(status, mediaType, bodySchema(operation, status, mediaType))}${plan.tests ?? ''}`
  }
  const { status } = PROBLEMS[problem.code]
  const named = operation.responses[status]?.description.split(', ') ?? []
  if (!named.includes(problem.code)) throw new Error(`${plan.operation} does not name ${problem.code}`)
  const mediaType = 'application/problem+json'
  const answer = testAnswer(status, mediaType, bodySchema(operation, status, mediaType))
  return `${answer}${testProblem(problem.code, problem.pointer)}`
}

function toEvent(listen: ScriptEvent['listen'], text: string): ScriptEvent {
  return { listen, script: { type: 'text/javascript', exec: text.trim().split('\n') } }
}

function buildRequest(service: ServiceName, plan: RequestPlan, operation: Operation): Request {
  const { parameters = {}, body, accept } = plan
  const [method = '', path = ''] = plan.operation.split(' ')
  const known = operation.parameters ?? []
  const unknown = Object.keys(parameters).find((given) => !known.some(({ name }) => name === given))
  if (unknown !== undefined) throw new Error(`${plan.operation} has no parameter ${unknown}`)
  const missing = known.find(({ name, required }) => required && parameters[name] === undefined)
  if (missing !== undefined) throw new Error(`${plan.operation} needs ${missing.name}`)
  if ((operation.requestBody === undefined) !== (body === undefined)) throw new Error(`${plan.operation} and its body`)

  // What is not sent can still be seen, and switched on.
  const entriesOf = (place: 'path' | 'query' | 'header'): Entry[] =>
    known
      .filter((parameter) => parameter.in === place)
      .map(({ name: key, description }) => {
        const value = parameters[key]
        return value === undefined ? { key, value: '', description, disabled: true } : { key, value, description }
      })
  const header = [...entriesOf('header')]
  if (accept !== undefined) header.unshift({ key: 'Accept', value: accept })
  if (body !== undefined) header.unshift({ key: 'Content-Type', value: body.contentType })
  const [query, variable] = [entriesOf('query'), entriesOf('path')]
  const pathWithNames = path.replaceAll(/\{(\w+)\}/g, ':$1')
  const sent = query.filter(({ disabled }) => !disabled).map(({ key, value }) => `${key}=${value}`)
  const language = body?.contentType === 'application/json' ? 'json' : 'text'
  return {
    method,
    ...(method !== 'GET' && { auth: bearer('write_key') }),
    header,
    ...(body && { body: { mode: 'raw', raw: body.text, options: { raw: { language } } } }),
    url: {
      raw: `{{${service}}}${pathWithNames}${sent.length > 0 ? `?${sent.join('&')}` : ''}`,
      host: [`{{${service}}}`],
      path: pathWithNames.split('/').slice(1),
      ...(query.length > 0 && { query }),
      ...(variable.length > 0 && { variable }),
    },
    description: describe(plan, operation),
  }
}

function describe({ about, problem }: RequestPlan, { summary, description, responses }: Operation): string {
  const answers = Object.entries(responses).map(([status, { description }]) => `- ${status}: ${description}`)
  const here = problem && `It is wrong, and is answered with \`${problem.code}\`.`
  return [about, here, `${summary}.`, description, `Answers:\n\n${answers.join('\n')}`].filter(Boolean).join('\n\n')
}

/** With an empty key no header is sent. */
function bearer(variable: 'read_key' | 'write_key'): object {
  return { type: 'bearer', bearer: [{ key: 'token', value: `{{${variable}}}`, type: 'string' }] }
}

/** A UUID of version 5 (RFC 9562) that a name has for ever. */
function idOf(name: string): string {
  const bytes = createHash('sha1').update('urn:runify:postman:').update(name).digest().subarray(0, 16)
  bytes.writeUInt8(((bytes[6] as number) & 0x0f) | 0x50, 6)
  bytes.writeUInt8(((bytes[8] as number) & 0x3f) | 0x80, 8)
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
