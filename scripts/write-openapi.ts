import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readConfig, type ServiceName } from '../src/config.ts'
import type { HttpServer } from '../src/http/server.ts'
import { EmbeddedLog } from '../src/log/embedded/embedded-log.ts'
import { createAnalyzer } from '../src/services/analyzer/analyzer.ts'
import { findCounted, findStore } from '../src/services/analyzer/audit/sources.ts'
import { analyzerTelemetry } from '../src/services/analyzer/telemetry.ts'
import { createAnomalyDetector } from '../src/services/anomaly-detector/anomaly-detector.ts'
import { openSqliteAnomalies } from '../src/services/anomaly-detector/store/sqlite-anomalies.ts'
import { anomalyTelemetry } from '../src/services/anomaly-detector/telemetry.ts'
import { createDashboard } from '../src/services/dashboard/dashboard.ts'
import { createHealthCheck } from '../src/services/health-check/health-check.ts'
import { healthTelemetry } from '../src/services/health-check/telemetry.ts'
import { createProcessing } from '../src/services/processing/processing.ts'
import { openSqliteStatistics } from '../src/services/processing/store/sqlite/sqlite-statistics.ts'
import { processingTelemetry } from '../src/services/processing/telemetry.ts'
import { createReceiver } from '../src/services/receiver/receiver.ts'
import { receiverTelemetry } from '../src/services/receiver/telemetry.ts'
import { createStorage } from '../src/services/storage/storage.ts'
import { storageTelemetry } from '../src/services/storage/telemetry.ts'
import { openSqliteStore } from '../src/store/sqlite/sqlite-store.ts'
import { createTelemetry } from '../src/telemetry.ts'
import { writeClientTypes } from './client-types.ts'

/**
 * `npm run openapi`: writes `openapi/<service>.json` of every service, as the service itself answers it, and the types of
 * these answers for the dashboard's page.
 */

export const CLIENT_TYPES = fileURLToPath(new URL('../dashboard/src/lib/operations.ts', import.meta.url))
export const OPENAPI_FOLDER = fileURLToPath(new URL('../openapi', import.meta.url))

const NOWHERE = { url: () => undefined, apiKey: () => undefined }

/** The text of each service's file, the same for the same code. The services are created, but do not listen. */
export async function generateOpenapi(): Promise<Record<ServiceName, string>> {
  await using opened = new AsyncDisposableStack()
  const { path: dir } = opened.use(await mkdtempDisposable(join(tmpdir(), 'runify-openapi-')))
  const config = readConfig({ RUNIFY_DATA_DIR: dir })
  const log = opened.use(new EmbeddedLog({ dir }))
  const store = opened.use(await openSqliteStore({ dir }))
  const statistics = opened.use(await openSqliteStatistics({ dir }))
  const anomalies = opened.use(await openSqliteAnomalies({ dir }))
  const telemetryOf = (service: ServiceName) => createTelemetry(service, 'silent')
  const servers: Record<ServiceName, HttpServer> = {
    receiver: opened.use(await createReceiver({ log, config, telemetry: receiverTelemetry(telemetryOf('receiver')) })),
    storage: opened.use(
      await createStorage({ log, store, config, telemetry: storageTelemetry(telemetryOf('storage')) }),
    ),
    processing: opened.use(
      await createProcessing({
        log,
        reader: store,
        statistics,
        config,
        telemetry: processingTelemetry(telemetryOf('processing')),
      }),
    ),
    analyzer: opened.use(
      await createAnalyzer({
        log,
        store: findStore({ here: store, ...NOWHERE }),
        counted: findCounted({ here: statistics, ...NOWHERE }),
        config,
        telemetry: analyzerTelemetry(telemetryOf('analyzer')),
      }),
    ),
    'anomaly-detector': opened.use(
      await createAnomalyDetector({
        log,
        anomalies,
        config,
        telemetry: anomalyTelemetry(telemetryOf('anomaly-detector')),
      }),
    ),
    'health-check': opened.use(
      await createHealthCheck({
        addressOf: () => undefined,
        keyOf: () => undefined,
        started: Promise.withResolvers<void>().promise,
        config,
        telemetry: healthTelemetry(telemetryOf('health-check')),
      }),
    ),
    dashboard: opened.use(
      await createDashboard({ addressOf: () => undefined, config, telemetry: telemetryOf('dashboard') }),
    ),
  }
  const texts: Partial<Record<ServiceName, string>> = {}
  for (const [service, server] of Object.entries(servers) as [ServiceName, HttpServer][]) {
    await server.app.ready()
    texts[service] = toText(server.openapi())
  }
  return texts as Record<ServiceName, string>
}

/** The text of `CLIENT_TYPES`, from those of the documents. */
export function clientTypesOf(texts: Record<string, string>): string {
  const documents = Object.entries(texts).map(([service, text]) => [service, JSON.parse(text)])
  return writeClientTypes(Object.fromEntries(documents))
}

/** Paths in alphabetical order, so that a file does not change when a service adds them in another one. */
function toText(document: Record<string, unknown>): string {
  const paths = Object.entries(document.paths as object).sort(([a], [b]) => (a < b ? -1 : 1))
  return `${JSON.stringify({ ...document, paths: Object.fromEntries(paths) }, null, 2)}\n`
}

if (import.meta.main) {
  await mkdir(OPENAPI_FOLDER, { recursive: true })
  const texts = await generateOpenapi()
  for (const [service, text] of Object.entries(texts)) await writeFile(join(OPENAPI_FOLDER, `${service}.json`), text)
  await writeFile(CLIENT_TYPES, clientTypesOf(texts))
}
