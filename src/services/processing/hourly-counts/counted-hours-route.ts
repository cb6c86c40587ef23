import { EVENT_TYPES } from '../../../events/catalogue.ts'
import { FINGERPRINTS } from '../../../events/fingerprint.ts'
import { formatInstant, MS_PER_DAY, MS_PER_HOUR } from '../../../events/instant.ts'
import { invalidParameter, type Parameters } from '../../../http/parameter.ts'
import type { HttpServer } from '../../../http/server.ts'
import { AS_OF, COUNT } from '../schemas.ts'
import type { StatisticsStore } from '../store/statistics-store.ts'
import { UNCOUNTED_NAMED_MAX } from '../uncounted.ts'
import type { CountedHour } from './counted-hours.ts'

const DAYS_MAX = 366

/** `GET /stats/counted`: what an audit holds against the log and the store. */
export function addCountedHours(server: HttpServer, statistics: StatisticsStore): void {
  server.get('/stats/counted', {
    summary: 'How many events are counted, by type and by the hour in which they were received',
    description: DESCRIPTION,
    parameters: PARAMETERS,
    response: RESPONSE,
    problems: ['statistics_unavailable'],
    handler: async ({ values: { from, to } }) => {
      const detail = to < from ? 'must not be before from' : `must be at most ${DAYS_MAX} days after from`
      if (to < from || to - from > DAYS_MAX * MS_PER_DAY) throw invalidParameter('to', detail)
      const range = { from: Math.ceil(from / MS_PER_HOUR), to: Math.ceil(to / MS_PER_HOUR) }
      const { hours, uncounted, cursors } = await statistics.hours(range)
      return {
        hours: hours.map(hourToWire),
        uncounted: {
          hours: uncounted.hours.map(hourToWire),
          events: uncounted.events.map((event) => ({ ...event, date_created: formatInstant(event.date_created) })),
        },
        as_of: cursors,
      }
    },
  })
}

function hourToWire({ hour, ...counted }: CountedHour) {
  return { ...counted, hour: formatInstant(hour * MS_PER_HOUR) }
}

const PARAMETERS = {
  from: { kind: 'instant', required: true, description: 'Hours that begin at this instant or later' },
  to: {
    kind: 'instant',
    required: true,
    description: `Hours that begin before this instant, ${DAYS_MAX} days at most`,
  },
} as const satisfies Parameters

const DESCRIPTION =
  'By `date_created`, in whole hours of UTC; an hour without events is left out. The fingerprint changes, but for one ' +
  'chance in 2^48, when one event is counted in the place of another.'

const TYPE = { type: 'string', enum: EVENT_TYPES }
const HOURS = {
  type: 'array',
  items: {
    type: 'object',
    required: ['type', 'hour', 'events', 'fingerprint'],
    properties: {
      type: TYPE,
      hour: { type: 'string', format: 'date-time', description: 'When the hour begins' },
      events: COUNT,
      fingerprint: {
        type: 'integer',
        minimum: 0,
        maximum: FINGERPRINTS - 1,
        description: 'The sum of the last six bytes of each trace_id, modulo 2^48',
      },
    },
  },
}
const UNCOUNTED_EVENT = {
  type: 'object',
  required: ['type', 'trace_id', 'partition', 'offset', 'date_created', 'detail'],
  properties: {
    type: TYPE,
    trace_id: { type: 'string' },
    partition: { type: 'integer' },
    offset: { type: 'integer' },
    date_created: { type: 'string', format: 'date-time' },
    detail: { type: 'string', description: 'Why, for people' },
  },
}
const RESPONSE = {
  type: 'object',
  required: ['hours', 'uncounted', 'as_of'],
  properties: {
    hours: HOURS,
    uncounted: {
      type: 'object',
      description: 'Events below `as_of` that are in no statistics: see dead letters of the reason `uncounted`',
      required: ['hours', 'events'],
      properties: {
        hours: HOURS,
        events: { type: 'array', items: UNCOUNTED_EVENT, description: `The first ${UNCOUNTED_NAMED_MAX}, by name` },
      },
    },
    as_of: AS_OF,
  },
}
