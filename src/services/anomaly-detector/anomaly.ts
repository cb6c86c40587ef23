import { type EpochMs, formatInstant } from '../../events/instant.ts'
import { derivedUuid } from '../../events/trace-id.ts'

/** Every type of anomaly there is: what it says of an event, and in what its `value` and `threshold` are. */
export const ANOMALIES = {
  LongRun: { of: 'running_stats', unit: 'metres', description: 'A run that is longer than ANOMALY_LONG_RUN_METRES' },
  ShortRun: { of: 'running_stats', unit: 'seconds', description: 'A run of less than ANOMALY_SHORT_RUN_SECONDS' },
  ImpossiblePace: {
    of: 'running_stats',
    unit: 'seconds a kilometre',
    description: "A run that is faster than the world's fastest over its distance",
  },
  OverlappingRun: {
    of: 'running_stats',
    unit: 'seconds',
    description: 'A run during another run of the same runner, for more than ANOMALY_RUN_OVERLAP_SECONDS',
  },
  UnusualDistance: {
    of: 'running_stats',
    unit: 'metres',
    description: "A run whose distance is far from those of the runner's 90 days before it",
  },
  UnusualPace: {
    of: 'running_stats',
    unit: 'seconds a kilometre',
    description: "A run whose pace is far from those of the runner's 90 days before it",
  },
  LongSong: { of: 'music_info', unit: 'seconds', description: 'A play of more than ANOMALY_LONG_SONG_SECONDS' },
  ShortSong: { of: 'music_info', unit: 'seconds', description: 'A play of less than ANOMALY_SHORT_SONG_SECONDS' },
  OverlappingSong: {
    of: 'music_info',
    unit: 'seconds',
    description:
      'A play that says to have gone on after the next one of the same listener began, for more than ' +
      'ANOMALY_SONG_OVERLAP_SECONDS: longer than it can have been played',
  },
  FutureTimestamp: {
    of: 'every type',
    unit: 'seconds',
    description: 'An event that says to have begun more than ANOMALY_FUTURE_SECONDS after it was received',
  },
  AncientTimestamp: {
    of: 'every type',
    unit: 'the year (UTC)',
    description: 'An event that says to have begun before the year ANOMALY_FIRST_YEAR',
  },
  EndlessRun: {
    of: 'running_stats',
    unit: 'seconds',
    description: 'A run that says to have taken more than ANOMALY_ENDLESS_RUN_SECONDS',
  },
  RateBurst: {
    of: 'every type',
    unit: 'events',
    description:
      'The event with which one user had sent more than ANOMALY_EVENTS_PER_MINUTE of one type within 60 s; the next one ' +
      'comes only after the rate has fallen to half of that',
  },
} as const satisfies Record<string, { of: string; unit: string; description: string }>

export type AnomalyType = keyof typeof ANOMALIES

export const ANOMALY_TYPES = Object.keys(ANOMALIES) as readonly AnomalyType[]

export type Anomaly = {
  /** Follows from type and event, so that the same anomaly has the same id, however often it is found. */
  anomaly_id: string
  anomaly_type: AnomalyType
  /** The event that is not as it should be. */
  trace_id: string
  user_id: string
  description: string
  value: number
  threshold: number
  /** That of the event: when it began. */
  timestamp: EpochMs
  /** When Runify received the event that showed it: this one, or for OverlappingSong possibly the next play. */
  date_created: EpochMs
}

export function anomalyId(type: AnomalyType, traceId: string): string {
  return derivedUuid(`anomaly\n${type}\n${traceId}`)
}

/** What clients read. */
export function toWire(anomaly: Anomaly): Record<string, string | number> {
  const { timestamp, date_created } = anomaly
  return { ...anomaly, timestamp: formatInstant(timestamp), date_created: formatInstant(date_created) }
}

const INSTANT = { type: 'string', format: 'date-time' } as const
const UUID = { type: 'string', format: 'uuid' } as const

export const ANOMALY_SCHEMA = {
  type: 'object',
  required: [
    'anomaly_id',
    'anomaly_type',
    'trace_id',
    'user_id',
    'description',
    'value',
    'threshold',
    'timestamp',
    'date_created',
  ],
  properties: {
    anomaly_id: { ...UUID, description: 'The same for the same anomaly, however often it is found or delivered' },
    anomaly_type: {
      type: 'string',
      enum: ANOMALY_TYPES,
      description: ANOMALY_TYPES.map((type) => `${type}: ${ANOMALIES[type].description}`).join('. '),
    },
    trace_id: { ...UUID, description: 'The event that is not as it should be' },
    user_id: UUID,
    description: { type: 'string', description: 'What is wrong with it, for people' },
    value: { type: 'number', description: 'What was found, in the unit of the type' },
    threshold: { type: 'number', description: 'What it would have to be within, in the same unit' },
    timestamp: { ...INSTANT, description: 'When the event began' },
    date_created: { ...INSTANT, description: 'When Runify received the event that showed it (UTC)' },
  },
} as const
