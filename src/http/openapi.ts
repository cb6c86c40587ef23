import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import type { PostRoute } from './fast-path.ts'
import { BODY_PROBLEMS, type CommandRoute } from './json-body.ts'
import { type Parameter, type Parameters, parameterSchema } from './parameter.ts'
import { HttpProblem, type ProblemCode } from './problem.ts'
import { JSON_TYPE, type Route } from './route.ts'

/** What a service's OpenAPI document says of its paths, and the page that shows it. */

/** What the API page may load: this host only. The page's own standard asks for HTTPS, which nothing here speaks. */
const DOCS_POLICY =
  "default-src 'self'; base-uri 'self'; font-src 'self' data:; frame-ancestors 'self'; img-src 'self' data:; " +
  "object-src 'none'; script-src 'self'; script-src-attr 'none'; style-src 'self'"

export async function addDocument(
  app: FastifyInstance,
  { service, description }: { service: string; description: string },
): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: `Runify ${service}`, description, version: '1.0.0', license: { name: 'MIT' } },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{}, { key: [] }],
    },
  })
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: DOCS_POLICY })
}

export function routeSchema<P extends Parameters>(service: string, path: string, route: Route<P>) {
  const { summary, description, produces = [JSON_TYPE], response, problems = [] } = route
  const all = Object.entries<Parameter>(route.parameters ?? {})
  const inPath = (name: string) => path.includes(`:${name}`)
  const schemas = (chosen: typeof all) => ({
    type: 'object',
    properties: Object.fromEntries(chosen.map(([name, parameter]) => [name, parameterSchema(parameter)])),
    required: chosen.filter(([, parameter]) => parameter.required).map(([name]) => name),
  })
  const params = all.filter(([name]) => inPath(name))
  const query = all.filter(([name]) => !inPath(name))
  const content = Object.fromEntries(
    produces.map((type) => [type, { schema: type === JSON_TYPE ? response : { type: 'string' } }]),
  )
  const hasText = all.some(([, { kind }]) => kind === 'text')
  const known: ProblemCode[] = all.length > 0 ? ['invalid_parameter', ...problems] : [...problems]
  if (hasText) known.push('header_too_large')
  return {
    tags: [service],
    summary,
    ...(description && { description }),
    ...(params.length > 0 && { params: schemas(params) }),
    ...(query.length > 0 && { querystring: schemas(query) }),
    response: { 200: { description: summary, content }, ...problemResponses(known) },
  }
}

export function postSchema(service: string, route: PostRoute) {
  if (route.internal) return { hide: true }
  const { summary, description, bodies, headers, responses, problems } = route
  const content = Object.fromEntries(Object.entries(bodies).map(([type, schema]) => [type, { schema }]))
  const answers = Object.fromEntries(
    Object.entries(responses).map(([status, { description, schema }]) => [
      status,
      { description, content: { [JSON_TYPE]: { schema } } },
    ]),
  )
  return {
    tags: [service],
    summary,
    description,
    body: { content },
    ...(headers && { headers }),
    response: { ...answers, ...problemResponses(problems) },
  }
}

export function commandSchema<T>(service: string, route: CommandRoute<T>) {
  const { summary, description, body, response, problems } = route
  return {
    tags: [service],
    summary,
    description: withScope(description),
    body: { content: { [JSON_TYPE]: { schema: body } } },
    response: {
      200: { description: summary, content: { [JSON_TYPE]: { schema: response } } },
      ...problemResponses([...BODY_PROBLEMS, ...problems]),
    },
  }
}

export function metricsSchema(service: string) {
  const text = { description: 'Metrics', content: { 'text/plain': { schema: { type: 'string' } } } }
  return { tags: [service], summary: 'Metrics in the Prometheus text format', response: { 200: text } }
}

/** Of what operates. */
export function withScope(description = ''): string {
  return `${description} Where keys are configured, it needs one of scope \`operate\`.`.trimStart()
}

function problemResponses(codes: readonly ProblemCode[]): Record<string, unknown> {
  const byStatus = new Map<number, ProblemCode[]>()
  for (const code of codes) {
    const { status } = new HttpProblem(code, '')
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return Object.fromEntries(
    [...byStatus].map(([status, listed]) => [
      status,
      { description: listed.join(', '), content: { 'application/problem+json': { schema: PROBLEM_SCHEMA } } },
    ]),
  )
}

const PROBLEM_SCHEMA = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code'],
  properties: {
    type: { type: 'string', format: 'uri' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string' },
    errors: {
      type: 'array',
      items: { type: 'object', properties: { pointer: { type: 'string' }, detail: { type: 'string' } } },
    },
  },
}
