import type { ProblemCode } from '../src/http/problem.ts'
import type { Schema } from './openapi-document.ts'

/** What Postman runs before and after a request: JavaScript of its sandbox, with `pm`, Chai and Ajv 6. */

/** An event type by the names of its variables in the collection, such as `running_event`. */
export type EventVariables = { event: string; traceId: string }

const WAIT_ATTEMPTS_MAX = 50
const WAIT_MS = 200

/** What holds for every answer. */
export function testAnswer(status: number, mediaType: string, schema: Schema | undefined): string {
  const tests = `
pm.test('status is ${status}', () => pm.response.to.have.status(${status}))
pm.test('content type is ${mediaType}', () => {
  pm.expect(String(pm.response.headers.get('Content-Type')).split(';')[0]).to.equal('${mediaType}')
})`
  if (schema === undefined) return tests
  return `
const schema = ${JSON.stringify(schema)}
${tests.trim()}
pm.test('body is as the OpenAPI document says', () => pm.response.to.have.jsonSchema(schema))`
}

/** `pointer` is where the document must say that something is wrong. */
export function testProblem(code: ProblemCode, pointer?: string): string {
  const tests = `
pm.test('code is ${code}', () => {
  const problem = pm.response.json()
  pm.expect(problem.code).to.equal('${code}')
  pm.expect(problem.status).to.equal(pm.response.code)
})`
  if (pointer === undefined) return tests
  return `${tests}
pm.test('${pointer} is named', () => {
  pm.expect(pm.response.json().errors.map((error) => error.pointer)).to.include('${pointer}')
})`
}

export function testTraceId({ event, traceId }: EventVariables): string {
  return `
pm.test('trace_id is a UUID', () => {
  const { trace_id } = pm.response.json()
  pm.expect(trace_id).to.match(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  // The requests to the other services look for this event.
  pm.collectionVariables.set('${traceId}', trace_id)
  pm.collectionVariables.set('${event}', pm.request.body.raw)
})`
}

export const NEW_KEY = `pm.collectionVariables.set('idempotency_key', pm.variables.replaceIn('{{$guid}}'))`

export const KEEP_TRACE_ID = `
pm.test('trace_id is there', () => pm.expect(pm.response.json().trace_id).to.be.a('string'))
pm.collectionVariables.set('idempotent_trace_id', pm.response.json().trace_id)`

export const TEST_SAME_TRACE_ID = `
pm.test('trace_id is that of the first answer', () => {
  pm.expect(pm.response.json().trace_id).to.equal(pm.collectionVariables.get('idempotent_trace_id'))
})`

export function testCounts({ accepted, rejected }: { accepted: number; rejected: number }): string {
  return `
pm.test('${accepted} are accepted and ${rejected} rejected', () => {
  pm.expect(pm.response.json()).to.include({ accepted: ${accepted}, rejected: ${rejected} })
})`
}

export function testRejected({ index, pointer }: { index: number; pointer: string }): string {
  return `
pm.test('${pointer} of event ${index} is named', () => {
  const [error] = pm.response.json().errors
  pm.expect(error).to.include({ index: ${index}, pointer: '${pointer}' })
})`
}

/** Asks `url` until `condition` holds for `response`, or it has asked often enough; the tests then say what is wrong. */
export function waitUntil(url: string, condition: string, why: string): string {
  return `
// ${why}
const url = pm.variables.replaceIn('${url}')
const key = pm.variables.get('read_key')
const header = key ? { Authorization: \`Bearer \${key}\` } : {}
let attempts = 0
const ask = () =>
  pm.sendRequest({ url, header }, (error, response) => {
    attempts++
    const isThere = !error && ${condition}
    if (!isThere && attempts < ${WAIT_ATTEMPTS_MAX}) setTimeout(ask, ${WAIT_MS})
  })
ask()`
}

export function testStored({ event, traceId }: EventVariables, type: string): string {
  return `
pm.test('Storage has what was posted', () => {
  const { timestamp, ...posted } = JSON.parse(pm.collectionVariables.get('${event}'))
  const { date_created, partition, offset, ...stored } = pm.response.json()
  const trace_id = pm.collectionVariables.get('${traceId}')
  const expected = { ...posted, timestamp: new Date(timestamp).toISOString(), type: '${type}', trace_id }
  for (const [name, value] of Object.entries(expected)) pm.expect(stored[name], name).to.equal(value)
  pm.expect(Object.keys(stored)).to.have.members(Object.keys(expected))
})`
}

/** The shortest range of time that has the event, and its user. */
export function setRange({ event }: EventVariables): string {
  return `
const { timestamp, user_id } = JSON.parse(pm.collectionVariables.get('${event}'))
const start = new Date(timestamp)
pm.collectionVariables.set('start_timestamp', start.toISOString())
pm.collectionVariables.set('end_timestamp', new Date(start.getTime() + 1).toISOString())
pm.collectionVariables.set('day', start.toISOString().slice(0, 10))
pm.collectionVariables.set('user_id', user_id)`
}

export function testRange({ traceId }: EventVariables): string {
  return `
pm.test('the event that was posted is in the range', () => {
  const ids = pm.response.json().map((event) => event.trace_id)
  pm.expect(ids).to.include(pm.collectionVariables.get('${traceId}'))
})
pm.test('nothing else than was asked for is in it', () => {
  const [start, user] = ['start_timestamp', 'user_id'].map((name) => pm.collectionVariables.get(name))
  for (const { timestamp, user_id } of pm.response.json()) pm.expect([timestamp, user_id]).to.eql([start, user])
})`
}

export function testLines({ traceId }: EventVariables): string {
  return `
pm.test('each line is an event, and the one that was posted is among them', () => {
  const events = pm.response.text().trimEnd().split('\\n').map((line) => JSON.parse(line))
  pm.expect(events.map((event) => event.trace_id)).to.include(pm.collectionVariables.get('${traceId}'))
})`
}

export function testTable({ traceId }: EventVariables): string {
  return `
pm.test('the first line has the names, and another one the event that was posted', () => {
  const [names, ...rows] = pm.response.text().trimEnd().split('\\r\\n')
  pm.expect(names.split(',')).to.include.members(['user_id', 'timestamp', 'trace_id', 'date_created'])
  pm.expect(rows.join('\\n')).to.include(pm.collectionVariables.get('${traceId}'))
})`
}

/** The counts of an answer are at least 1, for an event of each type has been posted. */
export function testCountNames(names: readonly string[]): string {
  return names
    .map((name) => `\npm.test('${name} is at least 1', () => pm.expect(pm.response.json().${name}).to.be.at.least(1))`)
    .join('')
}

export function keepNumbers(names: readonly string[]): string {
  return names.map((name) => `\npm.collectionVariables.set('${name}', pm.response.json().${name})`).join('')
}

/** Numbers of an answer are at least those that were kept. */
export function testNotBelowKept(names: readonly string[]): string {
  return names
    .map(
      (name) => `
pm.test('${name} is at least that of Storage', () => {
  pm.expect(pm.response.json().${name}).to.be.at.least(Number(pm.collectionVariables.get('${name}')))
})`,
    )
    .join('')
}

export const TEST_STATISTICS = `
pm.test('averages, maxima and totals fit together', () => {
  const body = pm.response.json()
  const { num_running_stats, max_duration, avg_run_duration, total_run_duration, max_distance, total_distance } = body
  // Averages and totals are rounded.
  const more = 1 + 1e-9
  pm.expect(avg_run_duration, 'avg_run_duration').to.be.within(0, max_duration * more)
  pm.expect(total_run_duration, 'total_run_duration').to.be.within(max_duration / more, max_duration * num_running_stats * more)
  pm.expect(total_distance, 'total_distance').to.be.within(max_distance / more, max_distance * num_running_stats * more)
})
pm.test('last_updated is a time', () => {
  pm.expect(Date.parse(pm.response.json().last_updated), 'last_updated').to.be.above(0)
})`

export function testStatisticsOfDay({ event }: EventVariables): string {
  return `
pm.test('the run that was posted is counted', () => {
  const { distance, duration } = JSON.parse(pm.collectionVariables.get('${event}'))
  const { num_running_stats, max_distance, max_duration } = pm.response.json()
  pm.expect(num_running_stats, 'num_running_stats').to.be.at.least(1)
  pm.expect(max_distance, 'max_distance').to.be.at.least(distance)
  pm.expect(max_duration, 'max_duration').to.be.at.least(duration)
})`
}

export function testDay({ event }: EventVariables): string {
  return `
pm.test('the run that was posted is in the sums of its day', () => {
  const { distance, duration } = JSON.parse(pm.collectionVariables.get('${event}'))
  const [day, ...others] = pm.response.json()
  pm.expect(others, 'other days').to.be.empty
  pm.expect(day.day, 'day').to.equal(pm.collectionVariables.get('day'))
  pm.expect(day.num_running_stats, 'num_running_stats').to.be.at.least(1)
  pm.expect(day.total_distance, 'total_distance').to.be.at.least(distance)
  pm.expect(day.total_run_duration, 'total_run_duration').to.be.at.least(duration)
})`
}

export function testLongest({ event }: EventVariables): string {
  return `
pm.test('the longest run is as long as the one that was posted', () => {
  const { distance, duration } = JSON.parse(pm.collectionVariables.get('${event}'))
  const { longest_distance, longest_duration } = pm.response.json()
  pm.expect(longest_distance.distance, 'longest_distance').to.be.at.least(distance)
  pm.expect(longest_duration.duration, 'longest_duration').to.be.at.least(duration)
})`
}

export const TEST_LOG = `
pm.test('each partition ends where it began or later', () => {
  const partitions = pm.response.json().topics.flatMap((topic) => topic.partitions)
  pm.expect(partitions).to.not.be.empty
  for (const { first, next } of partitions) pm.expect(next).to.be.at.least(first)
})`

export const TEST_CHANGES = `
pm.test('there are changes, and more can be asked for', () => {
  const { changes, next } = pm.response.json()
  pm.expect(changes).to.not.be.empty
  pm.collectionVariables.set('changes_after', next)
})`

export const TEST_METRICS = `
pm.test('there are metrics of Runify', () => pm.expect(pm.response.text()).to.match(/^runify_/m))`

export function testEqual(name: string, value: string | number | boolean): string {
  return `\npm.test('${name} is ${value}', () => pm.expect(pm.response.json().${name}).to.equal(${JSON.stringify(value)}))`
}
