/** What of an OpenAPI document a request and its tests are made from. */
export type OpenapiDocument = {
  info: { description: string }
  paths: Record<string, Record<string, Operation>>
}
export type Operation = {
  summary: string
  description?: string
  parameters?: Parameter[]
  requestBody?: object
  responses: Record<string, Response>
}
export type Parameter = { in: 'path' | 'query' | 'header'; name: string; required: boolean; description: string }
type Response = { description: string; content: Record<string, { schema: Schema }> }
export type Schema = { [keyword: string]: unknown }

/** By `GET /path`, in the order of the document. */
export function operationsOf(document: OpenapiDocument): Map<string, Operation> {
  return new Map(
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const),
    ),
  )
}

/** The lowest 2xx. */
export function successOf(operation: Operation): number {
  const statuses = Object.keys(operation.responses).filter((status) => /^2\d\d$/.test(status))
  return Math.min(...statuses.map(Number))
}

/**
 * What the body of an answer must be, in JSON Schema draft 7; undefined where it is text. Throws if the document does
 * not say.
 */
export function bodySchema(operation: Operation, status: number, mediaType: string): Schema | undefined {
  const schema = operation.responses[status]?.content[mediaType]?.schema
  if (schema === undefined) throw new Error(`${operation.summary}: nothing is said of ${status} in ${mediaType}`)
  return schema.type === 'string' ? undefined : toDraft7(schema)
}

/** Keywords that mean the same in draft 7 and in 2020-12, which is that of OpenAPI 3.1. */
const KEPT = ['type', 'format', 'enum', 'const', 'required', 'minimum', 'maximum', 'minLength', 'maxLength']
const KEPT_OF_SCHEMAS = ['items', 'oneOf', 'additionalProperties', 'properties']
/** They check nothing. */
const DROPPED = ['description', 'examples', 'default']

/** A keyword that is not known may mean something else there, and one that is not checked looks as if it were. */
function toDraft7(schema: Schema): Schema {
  const kept = Object.entries(schema).filter(([keyword]) => !DROPPED.includes(keyword))
  return Object.fromEntries(
    kept.map(([keyword, value]) => {
      if (KEPT.includes(keyword)) return [keyword, value]
      if (!KEPT_OF_SCHEMAS.includes(keyword)) throw new Error(`the schema has ${keyword}, which cannot be checked`)
      if (Array.isArray(value)) return [keyword, value.map((one) => toDraft7(one as Schema))]
      if (typeof value !== 'object' || value === null) return [keyword, value]
      if (keyword !== 'properties') return [keyword, toDraft7(value as Schema)]
      const members = Object.entries(value as Record<string, Schema>)
      return [keyword, Object.fromEntries(members.map(([name, member]) => [name, toDraft7(member)]))]
    }),
  )
}
