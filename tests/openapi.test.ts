import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { CLIENT_TYPES, clientTypesOf, generateOpenapi, OPENAPI_FOLDER } from '../scripts/write-openapi.ts'
import { SERVICES, type ServiceName } from '../src/config.ts'
import { CATALOGUE, EVENT_TYPES } from '../src/events/catalogue.ts'
import { checkEvent } from '../src/events/check.ts'
import { PROBLEMS, type ProblemCode } from '../src/http/problem.ts'

/** What clients are promised, beside the paths that all services have. */
const PROMISED: Record<ServiceName, readonly string[]> = {
  receiver: ['POST /stats/running', 'POST /stats/music'],
  storage: ['GET /stats/running', 'GET /stats/music', 'GET /stats', 'GET /events/{trace_id}', 'GET /changes'],
  processing: ['GET /stats', 'GET /stats/daily', 'GET /stats/records', 'GET /stats/songs', 'GET /stats/artists'],
  analyzer: [
    'GET /stats',
    'GET /running',
    'GET /music',
    'GET /audit',
    'GET /dead-letters',
    'POST /dead-letters/redrive',
    'GET /tail',
  ],
  'anomaly-detector': ['GET /anomalies', 'GET /anomalies/{anomaly_id}', 'GET /stats'],
  'health-check': ['GET /check', 'GET /status'],
  dashboard: [],
}
const OF_ALL = ['GET /health/live', 'GET /health/ready', 'GET /metrics']

/** Promised and not built yet. The test fails when one of them is there, so that the list becomes empty. */
const NOT_YET: string[] = []

type Schema = { properties?: object; required?: string[]; examples?: unknown[]; oneOf?: Schema[] }
type Response = { description: string; content?: Record<string, { schema: Schema }> }
type Operation = {
  requestBody?: { content: Record<string, { schema: Schema }> }
  responses: Record<string, Response>
}
type Document = { paths: Record<string, Record<string, Operation>> }

describe('OpenAPI', () => {
  let generated: Record<ServiceName, string>
  let documents: Record<ServiceName, Document>
  before(async () => {
    generated = await generateOpenapi()
    const parsed = Object.entries(generated).map(([service, text]) => [service, JSON.parse(text)])
    documents = Object.fromEntries(parsed) as Record<ServiceName, Document>
  })

  const operations = () =>
    SERVICES.flatMap((service) =>
      Object.entries(documents[service].paths).flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, operation]) => ({
          service,
          path,
          name: `${service} ${method.toUpperCase()} ${path}`,
          operation,
        })),
      ),
    )

  test('that is committed is what the code says', async () => {
    for (const service of SERVICES) {
      const committed = await readFile(join(OPENAPI_FOLDER, `${service}.json`), 'utf8').catch(() => 'nothing')
      assert.ok(committed === generated[service], `openapi/${service}.json is out of date: run \`npm run openapi\``)
    }
    assert.deepEqual((await readdir(OPENAPI_FOLDER)).sort(), SERVICES.map((service) => `${service}.json`).sort())
  })

  test('is what the dashboard takes the services to answer', async () => {
    const committed = await readFile(CLIENT_TYPES, 'utf8')
    const message = `${CLIENT_TYPES} is out of date: run \`npm run openapi\``
    assert.ok(committed === clientTypesOf(generated), message)
  })

  test('is the same each time it is generated', async () => {
    assert.deepEqual(await generateOpenapi(), generated)
  })

  test('has every path that clients are promised', () => {
    const names = operations().map(({ name }) => name)
    const promised = SERVICES.flatMap((service) =>
      [...PROMISED[service], ...OF_ALL].map((path) => `${service} ${path}`),
    )
    const missing = promised.filter((name) => !names.includes(name))
    assert.deepEqual(missing, NOT_YET)
  })

  test('names only problems that there are, each under its status', () => {
    let named = 0
    for (const { name, operation } of operations()) {
      for (const [status, { description, content }] of Object.entries(operation.responses)) {
        const isProblem = content?.['application/problem+json'] !== undefined
        assert.equal(isProblem, Number(status) >= 400, `${status} of ${name}`)
        if (!isProblem) continue
        for (const code of description.split(', ')) {
          named++
          assert.equal(PROBLEMS[code as ProblemCode]?.status, Number(status), `${code} of ${name}`)
        }
      }
    }
    assert.ok(named > 20)
  })

  test('has examples that the Receiver takes', () => {
    for (const type of EVENT_TYPES) {
      const { post } = documents.receiver.paths[CATALOGUE[type].path] as Record<'post', Operation>
      const schemas = withNested(post.requestBody?.content['application/json']?.schema)
      const examples = schemas.flatMap((schema) => schema.examples ?? [])
      assert.ok(examples.length > 0)
      for (const example of examples) assert.equal(checkEvent(type, example).ok, true, JSON.stringify(example))
    }
  })

  test('requires no member that it does not describe', () => {
    for (const { name, operation } of operations()) {
      const contents = [
        operation.requestBody?.content,
        ...Object.values(operation.responses).map(({ content }) => content),
      ]
      for (const { schema } of contents.flatMap((content) => Object.values(content ?? {}))) {
        for (const { required = [], properties = {} } of withNested(schema)) {
          for (const member of required) assert.ok(Object.hasOwn(properties, member), `${member} of ${name}`)
        }
      }
    }
  })
})

/** A schema and all that are in it, at any depth. */
function withNested(schema: unknown): Schema[] {
  if (typeof schema !== 'object' || schema === null) return []
  return [schema as Schema, ...Object.values(schema).flatMap(withNested)]
}
