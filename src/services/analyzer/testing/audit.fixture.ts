import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { readConfig } from '../../../config.ts'
import { CATALOGUE, type RunifyEvent, TOPICS } from '../../../events/catalogue.ts'
import { encodeEvent } from '../../../events/codec.ts'
import { formatInstant, MS_PER_HOUR } from '../../../events/instant.ts'
import { writeDeadLetters } from '../../../log/dead-letter.ts'
import type { EventLog } from '../../../log/event-log.ts'
import { nextOf } from '../../../log/position.ts'
import { FORGOTTEN_TOPIC } from '../../../log/tombstone.ts'
import type { EventStore } from '../../../store/event-store.ts'
import { openSqliteStore } from '../../../store/sqlite/sqlite-store.ts'
import { createTelemetry } from '../../../telemetry.ts'
import { createProcessing } from '../../processing/processing.ts'
import { StatisticsUpdater } from '../../processing/statistics-updater.ts'
import { openSqliteStatistics } from '../../processing/store/sqlite/sqlite-statistics.ts'
import type { StatisticsStore } from '../../processing/store/statistics-store.ts'
import { processingTelemetry } from '../../processing/telemetry.ts'
import { refuseSongInSqlite } from '../../processing/testing/refused-song.fixture.ts'
import { uncountedLetter } from '../../processing/uncounted.ts'
import { StorageConsumer } from '../../storage/consumer.ts'
import { createStorage } from '../../storage/storage.ts'
import { storageTelemetry } from '../../storage/telemetry.ts'
import { findCounted, findStore } from '../audit/sources.ts'
import { type LogUnderTest, listen } from './analyzer.fixture.ts'

/** A whole flow whose parts a test moves on, and in which it damages what is stored. */
export type Flow = AsyncDisposable & {
  log: EventLog
  store: EventStore
  deleteBefore: LogUnderTest['deleteBefore']
  /** A statement in the store's database, behind Runify's back. */
  sql(statement: string): Promise<void>
  refuseSong: Database['refuseSong']
  /** The Analyzer's. */
  address: string
  /** Resolves when all that is in the log is stored, and counted unless `counted` is false. */
  settle(options?: { counted?: boolean }): Promise<void>
}

export type Database = AsyncDisposable & {
  store: EventStore
  statistics: StatisticsStore
  sql(statement: string): Promise<void>
  /** Has the statistics refuse what is counted of `REFUSED_SONG` from now on. */
  refuseSong(): Promise<void>
}

const telemetry = processingTelemetry(createTelemetry('processing', 'silent'))
const storing = storageTelemetry(createTelemetry('storage', 'silent'))
const BATCH_RECORDS = 100

export async function openFlow(
  { log, deleteBefore, ...opened }: LogUnderTest,
  database: Database,
  { byHttp }: { byHttp: boolean },
): Promise<Flow> {
  await using stack = new AsyncDisposableStack()
  stack.use(opened as AsyncDisposable)
  stack.use(database)
  const { store, statistics, sql, refuseSong } = database
  const config = readConfig({ PROCESSING_PERIOD_MS: '3600000' })
  const updater = new StatisticsUpdater({
    reader: store,
    statistics,
    telemetry,
    periodMs: 1,
    batchRecordsMax: 100,
    now: Date.now,
    setAside: (event, detail) => writeDeadLetters({ log, telemetry }, [uncountedLetter(event, detail)]),
  })
  const urls: { storage?: string; processing?: string } = {}
  if (byHttp) {
    const storage = stack.use(await createStorage({ log, store, config, telemetry: storing }))
    const deps = { log, reader: store, statistics, config, telemetry }
    const processing = stack.use(await createProcessing(deps))
    urls.storage = await storage.listen(0, 'STORAGE_PORT')
    urls.processing = await processing.listen(0, 'PROCESSING_PORT')
  }
  const sources = {
    store: findStore({ here: byHttp ? undefined : store, url: () => urls.storage, apiKey: () => undefined }),
    counted: findCounted({
      here: byHttp ? undefined : statistics,
      url: () => urls.processing,
      apiKey: () => undefined,
    }),
  }
  const { address } = stack.use(await listen(log, sources))
  const all = stack.move()
  return {
    ...{ log, store, sql, refuseSong, address, deleteBefore },
    async settle({ counted = true } = {}) {
      // Storage, where it runs, does it by itself.
      if (byHttp) await untilStored(log, store)
      else await storeAll(log, store)
      while (counted && (await updater.countNext())) {}
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

export async function openSqliteDatabase(): Promise<Database> {
  await using opened = new AsyncDisposableStack()
  const { path: dir } = opened.use(await mkdtempDisposable(join(tmpdir(), 'runify-')))
  const store = opened.use(await openSqliteStore({ dir }))
  const statistics = opened.use(await openSqliteStatistics({ dir }))
  const database = new DatabaseSync(join(dir, 'store.db'), { timeout: 5000 })
  opened.defer(() => database.close())
  const all = opened.move()
  return {
    ...{ store, statistics },
    sql: async (statement) => database.exec(statement),
    refuseSong: async () => refuseSongInSqlite(dir),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

export async function append(log: EventLog, events: readonly RunifyEvent[]): Promise<void> {
  await log.append(
    events.map((event) => ({
      topic: CATALOGUE[event.type].topic,
      key: event.fields.user_id,
      value: encodeEvent(event),
    })),
  )
}

async function storeAll(log: EventLog, store: EventStore): Promise<void> {
  const stop = new AbortController()
  const consuming = new StorageConsumer({ log, store, telemetry: storing, batchRecordsMax: BATCH_RECORDS }).run(
    stop.signal,
  )
  await untilStored(log, store)
  stop.abort()
  await consuming
}

async function untilStored(log: EventLog, store: EventStore): Promise<void> {
  const deadline = AbortSignal.timeout(30_000)
  for (const topic of [...TOPICS, FORGOTTEN_TOPIC]) {
    for (const { partition, next } of await log.partitions(topic)) {
      while (nextOf(await store.cursors(), { topic, partition }) < next) {
        deadline.throwIfAborted()
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
  }
}

export type AuditHour = Record<string, number> & {
  type: string
  hour: string
  equal: boolean | null
  rightly_counted: boolean
}
export type AuditDifference = { type: string; trace_id: string; partition: number; offset: number; detail: string }
export type AuditAnswer = {
  equal: boolean
  complete: boolean
  hours: AuditHour[]
  uncounted: AuditDifference[]
  differences: Record<'missing' | 'doubled' | 'changed', AuditDifference[]>
}

/** Of the hours around now, or of those that begin `hours` earlier. */
export async function audit(address: string, { hours = 0 } = {}): Promise<AuditAnswer> {
  const now = Math.floor(Date.now() / MS_PER_HOUR) * MS_PER_HOUR - hours * MS_PER_HOUR
  // Those of an hour that has just ended, too.
  const query = new URLSearchParams({ from: formatInstant(now - MS_PER_HOUR), to: formatInstant(now + MS_PER_HOUR) })
  const response = await fetch(`${address}/audit?${query}`)
  const text = await response.text()
  assert.equal(response.status, 200, text)
  const answer = JSON.parse(text) as AuditAnswer
  for (const hour of answer.hours) checkSums(hour)
  return answer
}

/** Everything that was accepted has gone somewhere, unless its row was damaged. */
function checkSums(hour: AuditHour): void {
  const { accepted, in_log, repeats, stored, counted, not_counted_yet, uncounted } = hour
  const { pending, dead_letters, forgotten, missing } = hour
  assert.equal(accepted, Number(in_log) - Number(repeats))
  if (hour.equal !== true) return
  const gone = [stored, pending, dead_letters, forgotten, missing].map(Number)
  assert.equal(
    accepted,
    gone.reduce((sum, count) => sum + count),
    JSON.stringify(hour),
  )
  assert.equal(stored, Number(counted) + Number(not_counted_yet) + Number(uncounted))
}

/** A member of all hours together. */
export function totalOf({ hours }: AuditAnswer, name: string): number {
  return hours.reduce((sum, hour) => sum + Number(hour[name]), 0)
}
