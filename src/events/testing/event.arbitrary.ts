import fc from 'fast-check'
import { EVENT_TYPES, type EventType, fieldsOf, isOptional, type RunifyEvent } from '../catalogue.ts'
import type { Field } from '../field.ts'

/**
 * Against a slow database the search for the smallest failure could outlast the test, which would then say nothing of the
 * failure. What ends it ends before the test's own time is up (`scripts/run-tests.ts`).
 */
fc.configureGlobal({ interruptAfterTimeLimit: 240_000, markInterruptAsFailure: true })

/** Any instant there is: 0000-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z. */
export const anyInstant = fc.integer({ min: -62_167_219_200_000, max: 253_402_300_799_999 })

export const anyUuid = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Buffer.from(bytes).toString('hex'))
  .map((hex) => hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'))

/** Any event that the Receiver could make, for properties. `fixed` replaces what a test wants to choose itself. */
export function anyEvent(
  type: EventType,
  fixed: Record<string, fc.Arbitrary<string | number>> = {},
): fc.Arbitrary<RunifyEvent> {
  const required = fieldsOf(type).filter(([, field]) => !isOptional(field))
  const model = Object.fromEntries(fieldsOf(type).map(([name, field]) => [name, fixed[name] ?? anyValue(field)]))
  return fc.record(
    {
      type: fc.constant(type),
      trace_id: fixed.trace_id ?? anyUuid,
      date_created: fixed.date_created ?? anyInstant,
      fields: fc.record(model, { requiredKeys: required.map(([name]) => name), noNullPrototype: true }),
    },
    { noNullPrototype: true },
  ) as fc.Arbitrary<unknown> as fc.Arbitrary<RunifyEvent>
}

export const anyTypeOfEvent = fc.oneof(...EVENT_TYPES.map((type) => anyEvent(type)))

function anyValue(field: Field): fc.Arbitrary<string | number> {
  switch (field.kind) {
    case 'uuid':
      return anyUuid
    case 'instant':
      return anyInstant
    case 'number':
      return fc.oneof(
        fc.double({ min: field.min, max: field.max, noNaN: true }),
        fc.integer({ min: field.min, max: field.max }),
      )
    case 'text':
      return fc.oneof(
        fc.string({ unit: 'binary', minLength: field.charactersMin, maxLength: field.charactersMax }),
        fc.string({
          unit: fc.constantFrom('"', '\\', '\0', '😀', 'א', '{', '}', ':', ',', ' '),
          minLength: 1,
          maxLength: 128,
        }),
        fc.constant('𝄞'.repeat(field.charactersMax)),
      )
  }
}
