import type { Field } from './field.ts'

const EVENT_ID = {
  kind: 'text',
  charactersMin: 1,
  charactersMax: 128,
  optional: true,
  description: "The client's own id: the same user_id, type and event_id is one event, however often sent",
} as const

/**
 * Every event type there is. Whatever treats all types alike derives from this one object: the check, OpenAPI, the log's
 * encoding, the store's queries, pages, export, forgetting, retention, the audit and its counts by hour. A new type or field is
 * added here and in a migration (`src/store/migrations/events.ts`). What sums, lists of plays and the rules for anomalies
 * make of a type they say themselves; of one that they do not know they make nothing.
 */
export const CATALOGUE = {
  running_stats: {
    title: 'A run',
    plural: 'Runs',
    path: '/stats/running',
    indexPath: '/running',
    topic: 'runify.running_stats',
    countName: 'num_running_stats',
    fileName: /run/i,
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
    fileName: /song|music|play/i,
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

export type EventDefinition = {
  title: string
  plural: string
  /** Where the Receiver takes it and Storage gives it back. */
  path: string
  /** Where the Analyzer gives the n-th. */
  indexPath: string
  topic: string
  countName: string
  /** How a file is called whose lines are of this type, where neither `--type` nor their fields tell. */
  fileName: RegExp
  /** All events have a user, of whom they are forgotten, and a time, by which they are paged. */
  fields: Record<string, Field> & Record<'user_id', UserId> & Record<'timestamp', Timestamp>
  example: Record<string, string | number>
}

type UserId = { kind: 'uuid'; optional?: never; description: string }
type Timestamp = { kind: 'instant'; optional?: never; description: string }
