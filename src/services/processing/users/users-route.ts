import { formatDay } from '../../../events/instant.ts'
import { nextPageLink } from '../../../http/next-page.ts'
import type { Parameters } from '../../../http/parameter.ts'
import type { HttpServer } from '../../../http/server.ts'
import { SCOPE } from '../days/daily-route.ts'
import { COUNT } from '../schemas.ts'
import type { StatisticsStore } from '../store/statistics-store.ts'
import { UUID_PREFIX } from './counted-users.ts'

/** `GET /users`: of whom there is something. */
export function addUsers(server: HttpServer, statistics: StatisticsStore): void {
  server.get('/users', {
    summary: 'The users of whom something is counted',
    description: DESCRIPTION,
    parameters: PARAMETERS,
    response: RESPONSE,
    problems: ['statistics_unavailable'],
    handler: async ({ values: { prefix, time_zone, limit, cursor }, request, reply }) => {
      const { users, more } = await statistics.users({ prefix, time_zone, limit, after: cursor })
      const last = users.at(-1)
      if (more && last !== undefined) reply.header('link', nextPageLink(request, { cursor: last.user_id }))
      return users.map(({ user_id, runs, plays, last_day }) => ({
        user_id,
        num_running_stats: runs,
        num_music_info: plays,
        last_day: last_day === undefined ? null : formatDay(last_day),
      }))
    },
  })
}

const PARAMETERS = {
  prefix: {
    kind: 'text',
    charactersMax: 36,
    form: { pattern: UUID_PREFIX, name: 'the beginning of a UUID' },
    description: 'Of those only whose user_id begins so',
  },
  time_zone: SCOPE.time_zone,
  limit: { kind: 'integer', min: 1, max: 200, default: 50, description: 'Users a page' },
  cursor: { kind: 'uuid', description: 'From the Link header of the page before' },
} as const satisfies Parameters

const DESCRIPTION =
  'In order of `user_id`. While there are further users, `Link: <…>; rel="next"` names the next page. A page costs the same ' +
  'however many users there are.'

const RESPONSE = {
  type: 'array',
  items: {
    type: 'object',
    required: ['user_id', 'num_running_stats', 'num_music_info', 'last_day'],
    properties: {
      user_id: { type: 'string', format: 'uuid' },
      num_running_stats: COUNT,
      num_music_info: COUNT,
      last_day: {
        type: ['string', 'null'],
        format: 'date',
        description: 'The last day of which there is something, by when it began and by the clock of the `time_zone`',
      },
    },
  },
}
