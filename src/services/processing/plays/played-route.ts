import type { Parameters } from '../../../http/parameter.ts'
import type { HttpServer } from '../../../http/server.ts'
import { checkDays, DAYS, SCOPE } from '../days/daily-route.ts'
import { COUNT } from '../schemas.ts'
import type { StatisticsStore } from '../store/statistics-store.ts'

/** `GET /stats/songs` and `GET /stats/artists`: what was played most. */
export function addPlayed(server: HttpServer, statistics: StatisticsStore): void {
  server.get('/stats/songs', {
    summary: 'The most played songs of everybody or of one user, of all time or of some days',
    description: `${ORDER} A song is its name and its artist, exactly as they were sent.`,
    parameters: PARAMETERS,
    response: { type: 'array', items: itemOf({ song_name: TEXT, artist: TEXT }) },
    problems: ['statistics_unavailable'],
    handler: async ({ values }) => {
      checkDays(values)
      const { played } = await statistics.played({ ...values, list: 'songs' })
      return played.map(({ song_name, artist, plays, seconds }) => ({
        song_name,
        artist,
        num_music_info: plays,
        total_song_duration: seconds,
      }))
    },
  })

  server.get('/stats/artists', {
    summary: 'The most played artists of everybody or of one user, of all time or of some days',
    description: ORDER,
    parameters: PARAMETERS,
    response: { type: 'array', items: itemOf({ artist: TEXT }) },
    problems: ['statistics_unavailable'],
    handler: async ({ values }) => {
      checkDays(values)
      const { played } = await statistics.played({ ...values, list: 'artists' })
      return played.map(({ artist, plays, seconds }) => ({
        artist,
        num_music_info: plays,
        total_song_duration: seconds,
      }))
    },
  })
}

const PARAMETERS = {
  ...SCOPE,
  ...DAYS,
  limit: { kind: 'integer', min: 1, max: 1000, default: 50, description: 'How many at most' },
} as const satisfies Parameters

const ORDER =
  'In falling order of plays, then of listening time, then by the code points of the names. Listening time is a sum of ' +
  'exact arithmetic, rounded once. A play belongs to the day on which the quarter hour begins in which it began, by the ' +
  'clock of the `time_zone`; to the nearest of the days from 0000-01-01 to 9999-12-31.'

const TEXT = { type: 'string' }

function itemOf(names: Record<string, object>): object {
  return {
    type: 'object',
    required: [...Object.keys(names), 'num_music_info', 'total_song_duration'],
    properties: {
      ...names,
      num_music_info: { ...COUNT, description: 'Plays' },
      total_song_duration: { type: 'number', minimum: 0, description: 'Listening time, seconds' },
    },
  }
}
