import { statSync } from 'node:fs'
import { join } from 'node:path'
import { openAnomalies, openLog, openStatistics, openStore } from '../../adapters.ts'
import { type Config, readConfig } from '../../config.ts'
import { findDamage } from '../../disk/find-damage.ts'
import { setAside } from '../../disk/set-aside.ts'
import { isFailure, StartError } from '../../errors.ts'
import { TOPICS } from '../../events/catalogue.ts'
import type { EventLog } from '../../log/event-log.ts'
import { lockFolder } from '../../log/folder-lock.ts'
import { nextOf, type PartitionCursor } from '../../log/position.ts'
import { StorageConsumer } from '../../services/storage/consumer.ts'
import { storageTelemetry } from '../../services/storage/telemetry.ts'
import type { EventStore } from '../../store/event-store.ts'
import { createTelemetry } from '../../telemetry.ts'
import { type Command, CommandError, parseOptions, type Terminal, UsageError } from '../command.ts'
import { Progress } from '../progress.ts'
import { describe, rebuildStatistics } from './rebuild-statistics.ts'

const HELP = `runify rebuild: makes anew what follows from other things

usage: runify rebuild store [--quiet]
       runify rebuild statistics [--quiet]
       runify rebuild anomalies [--quiet]

rebuild store: fills the store anew from the log. Empties the store and the statistics, reads the log from its beginning, and ends when all that the log held when it
began is stored. A MySQL database that is gone is made again. RUNIFY_LOG, RUNIFY_STORE and RUNIFY_DATA_DIR say where
they are, as for Runify itself. On Kafka and MySQL everything may go on running meanwhile: answers are of what is stored
so far. On the embedded pair Runify must be stopped. Processing counts anew as the store fills.

A store.db that is damaged is set aside first, as store.db.damaged-<time>.

What retention has removed from the log cannot be read from it: think before you rebuild a store that holds more. runify
export saves what a store holds.

rebuild statistics: counts all that the store holds beside the live statistics, says where those were different, and puts the
recount in their place in one step. On MySQL everything may go on running meanwhile; on an embedded store Runify must be
stopped.

rebuild anomalies: forgets what the anomaly detector has found and knows, and how far webhooks have come. It judges the log anew from
its beginning, at once where it runs, and tells the webhooks. On the embedded pair Runify must be stopped.

All three are also how to go on with another log than that of the store, the statistics or the anomalies, which refuse it.

Exit codes: 0 rebuilt · 1 rebuilt, and the statistics were different · 2 a wrong command line, or it could not be done
`

export const REBUILD: Command = {
  summary: 'fill the store or the anomalies anew from the log, or the statistics from the store',
  help: HELP,
  run: rebuild,
}

const POLL_INTERVAL_MS = 200

async function rebuild(args: string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseOptions(args, { quiet: { type: 'boolean', short: 'q', default: false } })
  const [what] = positionals
  if (positionals.length !== 1 || (what !== 'store' && what !== 'statistics' && what !== 'anomalies')) {
    throw new UsageError('say what to rebuild: store, statistics or anomalies')
  }
  const now = () => performance.now()
  const startMs = now()
  const progress = new Progress(terminal.stderr, { quiet: values.quiet, bytesTotal: undefined, now })
  try {
    const seconds = () => ((now() - startMs) / 1000).toFixed(1)
    if (what === 'statistics') {
      const rebuilt = await rebuildStatistics(readConfig(), progress)
      progress.end()
      terminal.stdout.write(`${describe(rebuilt)}duration   ${seconds()} s\n`)
      return typeof rebuilt.comparison === 'object' && rebuilt.comparison.different > 0 ? 1 : 0
    }
    if (what === 'anomalies') {
      await clearAnomalies(readConfig())
      terminal.stdout.write('the anomaly detector judges the log from its beginning\n')
      return 0
    }
    const counts = await rebuildStore(readConfig(), progress)
    progress.end()
    const stored = Object.values(counts).reduce((sum, count) => sum + count, 0)
    terminal.stdout.write(`stored    ${stored}\nduration  ${seconds()} s\n`)
    return 0
  } catch (error) {
    progress.end()
    if (error instanceof StartError || isFailure(error)) throw new CommandError(error.message, { cause: error })
    throw error
  }
}

async function rebuildStore(config: Config, progress: Progress): Promise<Awaited<ReturnType<EventStore['counts']>>> {
  await using opened = new AsyncDisposableStack()
  if (config.log.kind === 'embedded' || config.store.kind === 'embedded') opened.use(lockFolder(config.dataDir))
  if (config.store.kind === 'mysql') {
    const { createMysqlDatabase } = await import('../../store/mysql/database.ts')
    await createMysqlDatabase(config.store)
  }
  if (config.store.kind === 'embedded') setDamagedAside(join(config.store.dir, 'store.db'), progress)
  const log = opened.use(await openLog(config))
  const store = opened.use(await openStore(config.store))
  const statistics = opened.use(await openStatistics(config.store))
  const goal = await endsOf(log)
  await store.clear()
  await statistics.clear()
  const stop = new AbortController()
  const telemetry = storageTelemetry(createTelemetry('rebuild', 'silent'))
  const consumer = new StorageConsumer({ log, store, telemetry, batchRecordsMax: config.batchRecordsMax })
  const consuming = consumer.run(stop.signal)
  opened.defer(() => {
    stop.abort()
    return consuming
  })
  for (let seen = 0; ; ) {
    const cursors = await store.cursors()
    const passed = goal.reduce((sum, end) => sum + Math.min(end.next, nextOf(cursors, end)), 0)
    progress.addEvents(Math.max(0, passed - seen))
    seen = Math.max(seen, passed)
    if (goal.every((end) => nextOf(cursors, end) >= end.next)) return store.counts()
    if (isFailure(consumer.lastError) && !consumer.lastError.retryable) throw consumer.lastError
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS))
  }
}

/** It could not be emptied. Nobody has it open: the folder is ours. */
function setDamagedAside(path: string, progress: Progress): void {
  const why = statSync(path, { throwIfNoEntry: false })?.size === 0 ? 'it is empty' : findDamage(path, { quick: true })
  if (why !== undefined) progress.note(`${path} is damaged (${why}) and is now ${setAside(path)}`)
}

async function clearAnomalies(config: Config): Promise<void> {
  await using opened = new AsyncDisposableStack()
  if (config.store.kind === 'embedded') opened.use(lockFolder(config.dataDir))
  await opened.use(await openAnomalies(config.store)).clear()
}

async function endsOf(log: EventLog): Promise<PartitionCursor[]> {
  const ends: PartitionCursor[] = []
  for (const topic of TOPICS) {
    for (const { partition, next } of await log.partitions(topic)) ends.push({ topic, partition, next })
  }
  return ends
}
