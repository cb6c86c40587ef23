import { formatDay } from '../../../events/instant.ts'
import { nextPageLink } from '../../../http/next-page.ts'
import { invalidParameter, type Parameters } from '../../../http/parameter.ts'
import type { HttpServer } from '../../../http/server.ts'
import { COUNT } from '../schemas.ts'
import type { StatisticsStore } from '../store/statistics-store.ts'
import type { DailyRow } from './days.ts'

/** `GET /stats/daily`: what each day had, for calendars and charts. */
export function addDaily(server: HttpServer, statistics: StatisticsStore): void {
  server.get('/stats/daily', {
    summary: 'Runs and listening of everybody or of one user, day by day',
    description: DESCRIPTION,
    parameters: PARAMETERS,
    response: RESPONSE,
    problems: ['statistics_unavailable'],
    handler: async ({ values, request, reply }) => {
      checkDays(values)
      const { days, more } = await statistics.daily(values)
      const last = days.at(-1)
      if (more && last !== undefined) reply.header('link', nextPageLink(request, { from: formatDay(last.day + 1) }))
      return reply.type('application/json; charset=utf-8').send(toText(days))
    },
  })
}

/** Twenty years are a megabyte of text, so it is kept as long as the answer that it is made of. */
const texts = new WeakMap<readonly DailyRow[], string>()

function toText(days: readonly DailyRow[]): string {
  let text = texts.get(days)
  if (text === undefined) {
    const rows = days.map(
      (row) =>
        `{"day":"${formatDay(row.day)}","num_running_stats":${row.num_running_stats},` +
        `"total_distance":${row.total_distance},"total_run_duration":${row.total_run_duration},` +
        `"num_music_info":${row.num_music_info},"total_song_duration":${row.total_song_duration}}`,
    )
    text = `[${rows.join(',')}]`
    texts.set(days, text)
  }
  return text
}

export const SCOPE = {
  user_id: { kind: 'uuid', description: 'Of this user only' },
  time_zone: {
    kind: 'time_zone',
    description: 'Whose days they are, by its IANA name; UTC where it is not given',
  },
} as const satisfies Parameters

export const DAYS = {
  from: { kind: 'day', description: 'Of this day (by when the event began) and later' },
  to: { kind: 'day', description: 'Up to this day and with it' },
} as const satisfies Parameters

export function checkDays({ from, to }: { from?: number | undefined; to?: number | undefined }): void {
  if (from === undefined || to === undefined || from <= to) return
  throw invalidParameter('to', 'must not be before from')
}

const PARAMETERS = {
  ...SCOPE,
  ...DAYS,
  limit: { kind: 'integer', min: 1, max: 10_000, default: 1000, description: 'Days a page' },
} as const satisfies Parameters

const DESCRIPTION =
  'In order of the days; a day without events is left out. While there are further days, `Link: <…>; rel="next"` names the ' +
  'next page. An event belongs to the day on which the quarter hour begins in which it began, by the clock of the ' +
  '`time_zone`; to the nearest of the days from 0000-01-01 to 9999-12-31. Sums are those of exact arithmetic, rounded once.'

const METRES = { type: 'number', minimum: 0, description: 'Metres' }
const SECONDS = { type: 'number', minimum: 0, description: 'Seconds' }
const RESPONSE = {
  type: 'array',
  items: {
    type: 'object',
    required: [
      'day',
      'num_running_stats',
      'total_distance',
      'total_run_duration',
      'num_music_info',
      'total_song_duration',
    ],
    properties: {
      day: { type: 'string', format: 'date' },
      num_running_stats: COUNT,
      total_distance: METRES,
      total_run_duration: SECONDS,
      num_music_info: COUNT,
      total_song_duration: SECONDS,
    },
  },
}
