import { CATALOGUE } from './definitions.ts'
import type { Field, FieldValue } from './field.ts'

export { CANARY, CATALOGUE } from './definitions.ts'

export type EventType = keyof typeof CATALOGUE

type Fields<T extends EventType> = (typeof CATALOGUE)[T]['fields']
type OptionalName<T extends EventType> = {
  [N in keyof Fields<T>]: Fields<T>[N] extends { optional: true } ? N : never
}[keyof Fields<T>]
type FieldOf<T extends EventType, N extends keyof Fields<T>> = Fields<T>[N] extends Field ? Fields<T>[N] : never

/** The fields that a client sends, in memory. */
export type EventFields<T extends EventType> = {
  [N in Exclude<keyof Fields<T>, OptionalName<T>>]: FieldValue<FieldOf<T, N>>
} & { [N in OptionalName<T>]?: FieldValue<FieldOf<T, N>> }

/** An event as Runify carries it from the Receiver on. */
export type RunifyEvent<T extends EventType = EventType> = T extends EventType
  ? {
      type: T
      /** The event's id: a UUIDv7, or derived from type, user_id and event_id where the client gave one. */
      trace_id: string
      /** When the Receiver took it, epoch milliseconds. */
      date_created: number
      fields: EventFields<T>
    }
  : never

export const EVENT_TYPES = Object.keys(CATALOGUE) as readonly EventType[]

/** Counts the additions of fields, from 1. A record says so where reading it takes more than the first (`codec.ts`). */
export const CATALOGUE_VERSION: number = Math.max(
  ...EVENT_TYPES.flatMap((type) => Object.values(CATALOGUE[type].fields).map(sinceOf)),
)

export const TOPICS: readonly string[] = EVENT_TYPES.map((type) => CATALOGUE[type].topic)

/** The fields of a type in their order, for code that treats all types alike. */
export function fieldsOf(type: EventType): readonly (readonly [name: string, field: Field])[] {
  return FIELD_LISTS[type]
}

export function sinceOf({ since = 1 }: Field): number {
  return since
}

export function isOptional(field: Field): boolean {
  return 'optional' in field && field.optional === true
}

export function typeOfTopic(topic: string): EventType | undefined {
  return EVENT_TYPES.find((type) => CATALOGUE[type].topic === topic)
}

const FIELD_LISTS = Object.fromEntries(
  EVENT_TYPES.map((type) => [type, Object.entries(CATALOGUE[type].fields)]),
) as unknown as Record<EventType, readonly (readonly [string, Field])[]>
