import type { CountedReader } from '../../clients/http-counted.ts'
import type { Config } from '../../config.ts'
import { CATALOGUE, EVENT_TYPES } from '../../events/catalogue.ts'
import { HttpServer } from '../../http/server.ts'
import type { EventLog } from '../../log/event-log.ts'
import { addAudit } from './audit/audit.ts'
import type { AuditedStore } from './audit/sources.ts'
import { addDeadLetters } from './dead-letters/dead-letters.ts'
import { addFindEvent } from './find-event/find-event.ts'
import { LagWatch } from './lag/lag.ts'
import { addLogStats } from './log-stats.ts'
import { addNthEvents, type RecordsByType } from './nth-event/nth-event.ts'
import { NthRecords } from './nth-event/nth-record.ts'
import { addTail } from './tail/tail.ts'
import type { AnalyzerTelemetry } from './telemetry.ts'

export type AnalyzerDeps = {
  log: EventLog
  /** What an audit compares the log with, and what tells whether and where an event is stored; nothing else asks for it. */
  store: () => Promise<AuditedStore>
  counted: CountedReader
  config: Config
  telemetry: AnalyzerTelemetry
}

/** Looks into the log itself: only an audit and the search for an event ask what others have. */
export async function createAnalyzer({ log, store, counted, config, telemetry }: AnalyzerDeps): Promise<HttpServer> {
  const server = await HttpServer.create({
    service: 'analyzer',
    description: 'Looks into the log: how much is in it, who has read how far, and the n-th event.',
    config,
    telemetry,
    checkReady: () => log.checkReady(),
  })
  const lags = new LagWatch({ log, seen: telemetry.groupLag, failed: (error) => telemetry.workFailed('lag', error) })
  server.onDispose(async () => lags[Symbol.dispose]())
  addLogStats(server, { log, lags })
  const records = Object.fromEntries(
    EVENT_TYPES.map((type) => [
      type,
      new NthRecords({ log, topic: CATALOGUE[type].topic, searched: telemetry.nthSearched }),
    ]),
  ) as RecordsByType
  addNthEvents(server, records)
  addFindEvent(server, { log, store, records })
  addTail(server, { log, telemetry })
  addDeadLetters(server, { log, telemetry })
  addAudit(server, { log, store, counted })
  return server
}
