import type { Config } from '../../config.ts'
import { TOPICS } from '../../events/catalogue.ts'
import { formatInstant } from '../../events/instant.ts'
import type { Parameters } from '../../http/parameter.ts'
import { HttpServer } from '../../http/server.ts'
import { writeDeadLetters } from '../../log/dead-letter.ts'
import type { EventLog } from '../../log/event-log.ts'
import { countBehind, LogEnds } from '../../log/log-ends.ts'
import type { EventReader } from '../../store/event-store.ts'
import { addDaily, checkDays, DAYS, SCOPE } from './days/daily-route.ts'
import { addRecords } from './days/records-route.ts'
import { addCountedHours } from './hourly-counts/counted-hours-route.ts'
import { addPlayed } from './plays/played-route.ts'
import { toStatistics } from './rollup/rollup.ts'
import { AS_OF, COUNT, COUNT_OR_NULL } from './schemas.ts'
import { StatisticsUpdater, type StatisticsUpdaterDeps } from './statistics-updater.ts'
import type { StatisticsStore } from './store/statistics-store.ts'
import type { ProcessingTelemetry } from './telemetry.ts'
import { uncountedLetter } from './uncounted.ts'
import { addUsers } from './users/users-route.ts'

export type ProcessingDeps = {
  log: EventLog
  reader: EventReader
  statistics: StatisticsStore
  config: Config
  telemetry: ProcessingTelemetry
}

/** A running Processing: its endpoint, and the updater that keeps the statistics up to date until it is disposed. */
export async function createProcessing(deps: ProcessingDeps): Promise<HttpServer> {
  const { log, reader, statistics, config, telemetry } = deps
  const { processingPeriodMs: periodMs, batchRecordsMax } = config
  const setAside: StatisticsUpdaterDeps['setAside'] = (event, detail) =>
    writeDeadLetters({ log, telemetry }, [uncountedLetter(event, detail)])
  const updater = new StatisticsUpdater({
    reader,
    statistics,
    telemetry,
    periodMs,
    batchRecordsMax,
    now: Date.now,
    setAside,
  })
  const logEnds = new LogEnds(log, TOPICS)
  const server = await HttpServer.create({
    service: 'processing',
    description: 'Keeps statistics up to date, event by event, and says up to where they go.',
    config,
    telemetry,
    checkReady: async () => {
      await statistics.checkReady()
      if (updater.lastError !== undefined) throw updater.lastError
    },
  })

  server.get('/stats', {
    summary: 'Statistics of everybody or of one user, of all time or of some days',
    description: DESCRIPTION,
    parameters: PARAMETERS,
    response: RESPONSE,
    problems: ['statistics_unavailable'],
    handler: async ({ values }) => {
      checkDays(values)
      const [{ rollup, cursors, updated, uncounted }, ends] = await Promise.all([
        statistics.totals(values),
        logEnds.ask(),
      ])
      const behind = countBehind(cursors, ends)
      if (behind !== null) telemetry.statisticsBehind(behind)
      return {
        ...toStatistics(rollup),
        last_updated: updated === undefined ? null : formatInstant(updated),
        as_of: cursors,
        behind,
        uncounted,
      }
    },
  })

  addDaily(server, statistics)
  addRecords(server, statistics)
  addPlayed(server, statistics)
  addCountedHours(server, statistics)
  addUsers(server, statistics)

  const stop = new AbortController()
  const counting = updater.run(stop.signal)
  server.onDispose(async () => {
    stop.abort()
    await counting
  })
  return server
}

const PARAMETERS = { ...SCOPE, ...DAYS } as const satisfies Parameters

const DESCRIPTION =
  'Equal to a recount of what Storage holds below `as_of`, but for the `uncounted`. Sums are those of exact arithmetic, rounded once, so they do ' +
  'not depend on the order in which events came; averages are such a sum divided by its count. Without events counts ' +
  'are 0 and all else is null.'

const METRES = { type: ['number', 'null'], description: 'Metres' }
const SECONDS = { type: ['number', 'null'], description: 'Seconds' }
const RESPONSE = {
  type: 'object',
  required: [
    'num_running_stats',
    'num_music_info',
    'max_distance',
    'max_duration',
    'avg_run_duration',
    'avg_song_duration',
  ],
  properties: {
    num_running_stats: COUNT,
    num_music_info: COUNT,
    max_distance: METRES,
    max_duration: SECONDS,
    avg_run_duration: SECONDS,
    avg_song_duration: SECONDS,
    total_distance: METRES,
    total_run_duration: SECONDS,
    total_song_duration: SECONDS,
    last_updated: { type: ['string', 'null'], format: 'date-time', description: 'When an event was last counted' },
    as_of: AS_OF,
    behind: {
      ...COUNT_OR_NULL,
      description:
        'Records in the log that are not counted yet, repeats among them; null while the log does not say where it ends',
    },
    uncounted: {
      ...COUNT,
      description:
        'Events below `as_of`, of whomever, that are in none of these figures: the database refuses them, and they are dead ' +
        'letters of the reason `uncounted`',
    },
  },
}
