import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { Script } from 'node:vm'
import { bodySchema, type OpenapiDocument, operationsOf } from '../scripts/openapi-document.ts'
import type { Folder, Item } from '../scripts/postman-collection.ts'
import { readPostExamples } from '../scripts/readme-examples.ts'
import { OPENAPI_FOLDER } from '../scripts/write-openapi.ts'
import { COLLECTION, ENVIRONMENT, generatePostman, POSTMAN_FOLDER } from '../scripts/write-postman.ts'
import { SERVICES } from '../src/config.ts'
import { PROBLEMS, type ProblemCode } from '../src/http/problem.ts'

type Variable = { key: string; description: string }
type Request = Item & { folder: string; tests: string }

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
const WRONG_REQUESTS_MIN = 20

describe('The Postman collection', () => {
  let generated: Record<string, string>
  let text: string
  let variables: Variable[]
  let requests: Request[]
  before(async () => {
    generated = await generatePostman()
    text = generated[COLLECTION] as string
    const collection = JSON.parse(text) as { variable: Variable[]; item: Folder[] }
    variables = collection.variable
    requests = collection.item.flatMap((folder) => requestsIn(folder, folder.name))
  })

  test('that is committed is what the OpenAPI documents and the README say, and so is the environment', () => {
    assert.deepEqual(readdirSync(POSTMAN_FOLDER).sort(), Object.keys(generated).sort())
    for (const [name, expected] of Object.entries(generated)) {
      const committed = readFileSync(join(POSTMAN_FOLDER, name), 'utf8')
      assert.ok(committed === expected, `load/postman/${name} is out of date: run \`npm run postman\``)
    }
  })

  test('is the same each time it is generated', async () => {
    assert.deepEqual(await generatePostman(), generated)
    const ids = [...text.matchAll(/"(?:_postman_)?id": "(.+)"/g)].map(([, id]) => id as string)
    assert.equal(new Set(ids).size, ids.length)
    for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  test('has a request for every operation of every service', () => {
    for (const service of SERVICES) {
      const document = JSON.parse(readFileSync(join(OPENAPI_FOLDER, `${service}.json`), 'utf8')) as OpenapiDocument
      const sent = requests
        .filter(({ folder, request }) => folder.toLowerCase() === service && request.url.host[0] === `{{${service}}}`)
        .map(({ request: { method, url } }) => `${method} /${url.path.join('/').replaceAll(/:(\w+)/g, '{$1}')}`)
      assert.deepEqual(
        [...operationsOf(document).keys()].filter((operation) => !sent.includes(operation)),
        [],
      )
    }
  })

  test('posts the examples of the README as they are', () => {
    const bodies = requests.map(({ request: { body } }) => body?.raw)
    const examples = readPostExamples(README)
    assert.deepEqual(
      examples.map(({ path }) => path),
      ['/stats/running', '/stats/music'],
    )
    for (const { body } of examples) assert.ok(bodies.includes(body), body)
  })

  test('tests every answer, in scripts that can be read', () => {
    for (const { name, event, request, tests } of requests) {
      for (const { script } of event) new Script(script.exec.join('\n'), { filename: name })
      assert.match(tests, /pm\.test\('status is \d{3}'/, name)
      assert.match(tests, /pm\.test\('content type is /, name)
      const isText = /\b(metrics|lines|table)$/.test(name) && request.method === 'GET'
      assert.equal(tests.includes('to.have.jsonSchema(schema)'), !isText, name)
      assert.match(request.description, /./, name)
    }
  })

  test('has wrong requests, each with a code of docs/errors.md', () => {
    const codes = requests.flatMap(({ tests }) => [...tests.matchAll(/'code is (\w+)'/g)].map(([, code]) => code))
    assert.ok(codes.length >= WRONG_REQUESTS_MIN, `${codes.length}`)
    for (const code of codes) assert.ok(PROBLEMS[code as ProblemCode], `${code}`)
  })

  test('says of each variable what it is, and uses no other', () => {
    for (const { key, description } of variables) assert.match(description, /./, key)
    const known = variables.map(({ key }) => key)
    const used = [...text.matchAll(/\{\{([\w-]+)\}\}|Variables\.[gs]et\('(\w+)'/g)].map(([, ...names]) =>
      names.find(Boolean),
    )
    assert.deepEqual(
      [...new Set(used)].filter((name) => !known.includes(name as string)),
      [],
    )
    const { values } = JSON.parse(generated[ENVIRONMENT] as string) as { values: Variable[] }
    assert.deepEqual(
      values.map(({ key }) => key),
      [...SERVICES, 'write_key', 'read_key'],
    )
  })
})

describe('What the collection is made from', () => {
  test('is not a README whose posts cannot be read', () => {
    const [example = ''] = /^curl -X POST[^}]+\}'/m.exec(README) ?? []
    assert.equal(readPostExamples(example).length, 1)
    assert.throws(() => readPostExamples('# Runify'), /has no example/)
    assert.throws(() => readPostExamples(`${example}\n${example.replace('-H', '-v -H')}`), /has 2 posts, of which 1/)
    assert.throws(() => readPostExamples(example.replace('}', '')), SyntaxError)
  })

  test('is not a schema of which something would stay unchecked', () => {
    const schemaOf = (schema: object) => {
      const responses = { 200: { description: '', content: { 'application/json': { schema: { ...schema } } } } }
      return bodySchema({ summary: 'All', responses }, 200, 'application/json')
    }
    const event = { type: 'object', properties: { at: { type: ['string', 'null'], format: 'date-time' } } }
    assert.deepEqual(schemaOf({ type: 'array', description: 'Events', items: event }), { type: 'array', items: event })
    assert.equal(schemaOf({ type: 'string' }), undefined)
    for (const unknown of [{ $ref: '#/a' }, { oneOf: [{ nullable: true }] }, { properties: { a: { pattern: 'b' } } }]) {
      assert.throws(() => schemaOf(unknown), /cannot be checked$/)
    }
    assert.throws(
      () => bodySchema({ summary: 'All', responses: {} }, 200, 'application/json'),
      /nothing is said of 200/,
    )
  })
})

function requestsIn(within: Folder | Item, folder: string): Request[] {
  if ('item' in within) return within.item.flatMap((one) => requestsIn(one, folder))
  const tests = within.event.find(({ listen }) => listen === 'test')?.script.exec.join('\n') ?? ''
  return [{ ...within, folder, tests }]
}
