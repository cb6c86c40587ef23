import type { HttpServer } from '../../../http/server.ts'
import { AS_OF, COUNT } from '../schemas.ts'
import type { StatisticsStore } from '../store/statistics-store.ts'
import { SCOPE } from './daily-route.ts'

/** `GET /stats/records`: the best of all time. */
export function addRecords(server: HttpServer, statistics: StatisticsStore): void {
  server.get('/stats/records', {
    summary: 'The records of everybody or of one user: fastest, longest, most days in a row, best week and month',
    description: DESCRIPTION,
    parameters: SCOPE,
    response: RESPONSE,
    problems: ['statistics_unavailable'],
    handler: async ({ values }) => {
      const { records, cursors } = await statistics.records(values)
      return { ...records, as_of: cursors }
    },
  })
}

const DESCRIPTION =
  'A pace is that of a whole run, its `duration` by its `distance`; a run without a duration has none. A streak is of days, ' +
  'or of ISO weeks, on each of which a run began; a day that the time zone left out does not end it. Days are those of `/stats/daily`. Best are the week and ' +
  'the month with the most metres. Of two that are as good it is the earlier one, and of two runs of the same instant that ' +
  'with the lower `trace_id`. What there is none of is null.'

const DAY = { type: 'string', format: 'date' }
const METRES = { type: 'number', minimum: 0, description: 'Metres' }
const SECONDS = { type: 'number', minimum: 0, description: 'Seconds' }

function orNull(properties: Record<string, object>, description: string) {
  return { type: ['object', 'null'], description, required: Object.keys(properties), properties }
}

const RUN = {
  trace_id: { type: 'string', format: 'uuid' },
  timestamp: { type: 'string', format: 'date-time', description: 'When it began' },
  distance: METRES,
  duration: SECONDS,
  pace: {
    type: ['number', 'null'],
    description: 'Seconds a kilometre; null for a distance of 0, or so close to it that no number holds the pace',
  },
}
const LIMITS = { begin: DAY, end: DAY }
const SUMS = { ...LIMITS, num_running_stats: COUNT, total_distance: METRES, total_run_duration: SECONDS }

const RECORDS = {
  fastest_pace: {
    type: 'array',
    description: 'One for each distance, the shortest first',
    items: {
      type: 'object',
      required: ['at_least', 'run'],
      properties: {
        at_least: { type: 'number', description: 'Metres that a run must have to count here' },
        run: orNull(RUN, 'The fastest of them'),
      },
    },
  },
  longest_distance: orNull(RUN, 'The run with the most metres'),
  longest_duration: orNull(RUN, 'The run with the most seconds'),
  longest_streak_days: orNull({ length: COUNT, ...LIMITS }, 'Days, with the first and the last of them'),
  longest_streak_weeks: orNull({ length: COUNT, ...LIMITS }, 'Weeks, from a Monday to a Sunday'),
  best_week: orNull(SUMS, 'From Monday to Sunday'),
  best_month: orNull(SUMS, 'From the first to the last day of the month'),
  as_of: AS_OF,
}

const RESPONSE = { type: 'object', required: Object.keys(RECORDS), properties: RECORDS }
