/** Parts of the answers that several endpoints share, as JSON Schema. */

export const COUNT = { type: 'integer', minimum: 0 }
export const COUNT_OR_NULL = { type: ['integer', 'null'], minimum: 0 }

export const AS_OF = {
  type: 'array',
  description: 'The events below these positions are counted',
  items: {
    type: 'object',
    properties: { topic: { type: 'string' }, partition: { type: 'integer' }, next: { type: 'integer' } },
  },
}
