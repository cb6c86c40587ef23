import type { Schema } from './openapi-document.ts'

/** What the dashboard's page knows of the services: TypeScript types out of the OpenAPI documents. */

type Documents = Record<string, { paths: Record<string, Record<string, ClientOperation>> }>
type ClientOperation = {
  parameters?: { in: string; name: string; required?: boolean; schema: Schema }[]
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>
}

/** What stands before a service's paths where the dashboard passes them on. */
const PREFIXES: Record<string, string> = { 'anomaly-detector': 'anomaly', 'health-check': 'check' }
/** All services have them, and none is of interest. */
const SKIPPED = /^\/(metrics|health\/live)$/

/** The text of the file, the same for the same documents. */
export function writeClientTypes(documents: Documents): string {
  const lines = Object.entries(documents).flatMap(([service, { paths }]) =>
    Object.entries(paths)
      .filter(([path]) => service !== 'dashboard' && !SKIPPED.test(path))
      .flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, operation]) => {
          const at = `${method.toUpperCase()} /${PREFIXES[service] ?? service}${path}`
          return `  '${at}': { parameters: ${parametersOf(operation)}; answer: ${answerOf(operation)} }`
        }),
      ),
  )
  return `/** Made by \`npm run openapi\` out of openapi/. */\n\nexport type Operations = {\n${lines.join('\n')}\n}\n`
}

function parametersOf({ parameters = [] }: ClientOperation): string {
  const sent = parameters.filter((one) => one.in === 'query' || one.in === 'path')
  const members = sent.map(({ name, required, schema }) =>
    required ? `${name}: ${typeOf(schema)}` : `${name}?: ${typeOf(schema)} | undefined`,
  )
  return members.length === 0 ? 'Record<never, never>' : `{ ${members.join('; ')} }`
}

function answerOf({ responses }: ClientOperation): string {
  const [success] = Object.keys(responses)
    .filter((status) => status.startsWith('2'))
    .sort()
  const schema = responses[success ?? '']?.content?.['application/json']?.schema
  return schema === undefined ? 'unknown' : typeOf(schema)
}

function typeOf(schema: Schema | undefined): string {
  if (schema === undefined) return 'unknown'
  const { type, properties, required = [], items } = schema as { [keyword: string]: unknown } & { required?: string[] }
  const choices = (schema.enum ?? (schema.const === undefined ? undefined : [schema.const])) as unknown[] | undefined
  if (choices !== undefined) return choices.map((value) => literal(value)).join(' | ')
  const either = (schema.oneOf ?? schema.anyOf) as Schema[] | undefined
  if (either !== undefined) return either.map(typeOf).join(' | ')
  if (Array.isArray(type)) return type.map((one: string) => typeOf({ ...schema, type: one })).join(' | ')
  if (type === 'array') return `(${typeOf(items as Schema)})[]`
  if (type === 'integer') return 'number'
  if (type !== 'object') return typeof type === 'string' ? type : 'unknown'
  if (properties === undefined) {
    const values = schema.additionalProperties
    return `Record<string, ${typeof values === 'object' ? typeOf(values as Schema) : 'unknown'}>`
  }
  const members = Object.entries(properties as Record<string, Schema>)
  return `{ ${members.map(([name, of]) => `${quoted(name)}${required.includes(name) ? '' : '?'}: ${typeOf(of)}`).join('; ')} }`
}

function quoted(name: string): string {
  return /^\w+$/.test(name) ? name : `'${name}'`
}

function literal(value: unknown): string {
  return typeof value === 'string' ? `'${value.replaceAll("'", "\\'")}'` : JSON.stringify(value)
}
