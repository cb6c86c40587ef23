import type { Field, FieldValue } from './field.ts'

const EVENT_ID = {
  kind: 'text',
  charactersMin: 1,
  charactersMax: 128,
  optional: true,
  description: "The client's own id: the same user_id, type and event_id is one event, however often sent",
} as const

/**
 * Every event type there is. HTTP checks, OpenAPI, the log's encoding and the table's columns all derive from this
 * one object; a new type or field is added here and nowhere else (and in a migration).
 */
export const CATALOGUE = {
  running_stats: {
    title: 'A run',
    plural: 'Runs',
    path: '/stats/running',
    indexPath: '/running',
    topic: 'runify.running_stats',
    countName: 'num_running_stats',
    fields: {
      user_id: { kind: 'uuid', description: 'The runner' },
      duration: { kind: 'number', unit: 'seconds', min: 0, max: 31_536_000, description: 'How long the run took' },
      distance: { kind: 'number', unit: 'metres', min: 0, max: 10_000_000, description: 'How far it went' },
      timestamp: { kind: 'instant', description: 'When the run began (RFC 3339 with zone)' },
      event_id: EVENT_ID,
    },
    example: {
      user_id: 'd290f1ee-6c54-4b01-90e6-d701748f0851',
      duration: 1993,
      distance: 4689.24,
      timestamp: '2012-12-26T21:29:53.000Z',
    },
  },
  music_info: {
    title: 'A play of a song',
    plural: 'Plays of songs',
    path: '/stats/music',
    indexPath: '/music',
    topic: 'runify.music_info',
    countName: 'num_music_info',
    fields: {
      user_id: { kind: 'uuid', description: 'The listener' },
      song_name: { kind: 'text', charactersMin: 1, charactersMax: 512, description: "The song's name" },
      artist: { kind: 'text', charactersMin: 1, charactersMax: 512, description: 'Who plays it' },
      song_duration: { kind: 'number', unit: 'seconds', min: 0, max: 86_400, description: 'How long it was played' },
      timestamp: { kind: 'instant', description: 'When the play began (RFC 3339 with zone)' },
      event_id: EVENT_ID,
    },
    example: {
      user_id: 'd290f1ee-6c54-4b01-90e6-d701748f0851',
      song_name: 'only my railgun',
      artist: 'fripSide',
      song_duration: 247,
      timestamp: '2025-04-28T21:04:33.397Z',
    },
  },
} as const satisfies Record<string, EventDefinition>

/**
 * What is on the log beside what clients send: the health check's own event (`canary.ts`). The Receiver takes it at `path`
 * with the key of the canaries only.
 */
export const CANARY = { title: 'A canary', path: '/canary', topic: 'runify.canary' } as const

type EventDefinition = {
  title: string
  plural: string
  /** Where the Receiver takes it and Storage gives it back. */
  path: string
  /** Where the Analyzer gives the n-th. */
  indexPath: string
  topic: string
  countName: string
  fields: Record<string, Field>
  example: Record<string, string | number>
}

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

export const TOPICS: readonly string[] = EVENT_TYPES.map((type) => CATALOGUE[type].topic)

/** The fields of a type in their order, for code that treats all types alike. */
export function fieldsOf(type: EventType): readonly (readonly [name: string, field: Field])[] {
  return FIELD_LISTS[type]
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
