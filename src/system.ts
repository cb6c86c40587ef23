import { hash, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { keepLogRetention, openAnomalies, openLog, openReader, openStatistics, openStore } from './adapters.ts'
import { type Config, PORT_VARIABLES, SERVICES, type ServiceName } from './config.ts'
import type { DataFileName } from './disk/data-file.ts'
import { keepChecking } from './disk/file-checker.ts'
import type { HttpServer } from './http/server.ts'
import type { EventLog } from './log/event-log.ts'
import { lockFolder } from './log/folder-lock.ts'
import { type Addresses, ServiceThread } from './service-thread.ts'
import type { StatisticsStore } from './services/processing/store/statistics-store.ts'
import type { EventStore } from './store/event-store.ts'
import { createTelemetry, type Telemetry } from './telemetry.ts'

export type RunningSystem = AsyncDisposable & {
  /** Where each started service listens. */
  addresses: Addresses
  /** Rejects when a part of the system died; never resolves. */
  died: Promise<never>
}

/**
 * Starts the named services in this process:
 *
 *     client ─HTTP→ Receiver ─append→ log ─batches→ Storage ─→ store ─changes→ Processing ─→ statistics
 *                                      ├─batches→ Anomaly detector ─→ anomalies
 *                                      └─positions→ Analyzer
 *
 * The Receiver has the main thread for itself, because that is where requests wait; the others share a second thread.
 * Throws a `StartError` when a person must mend something first; then nothing is left running.
 */
export async function startSystem(given: Config, services: readonly ServiceName[]): Promise<RunningSystem> {
  const config = withOwnKey(withCanaryKey(given, services))
  await using opened = new AsyncDisposableStack()
  const died = Promise.withResolvers<never>()
  // Whoever starts the system may or may not watch this.
  died.promise.catch(() => {})
  if (usesFolder(config, services)) opened.use(lockFolder(config.dataDir))

  const others = services.filter((service) => service !== 'receiver')
  const addresses: Addresses = {}
  const started = Promise.withResolvers<void>()
  if (services.includes('receiver') && others.length > 0) {
    const thread = opened.use(await ServiceThread.start({ config, services: others }))
    thread.died.catch(died.reject)
    Object.assign(addresses, thread.addresses)
    await startServices(config, ['receiver'], { opened, addresses, started: started.promise })
    thread.tellAddresses(addresses)
    // They stop at the same time, each in its thread, because their deadlines would add up.
    opened.defer(() => thread.stop())
  } else {
    await startServices(config, services, { opened, addresses, started: started.promise })
  }
  started.resolve()
  const running = opened.move()
  return { addresses, died: died.promise, [Symbol.asyncDispose]: () => running.disposeAsync() }
}

/** Where those who need it are in one process, nobody else needs to know it. */
function withCanaryKey(config: Config, services: readonly ServiceName[]): Config {
  if (config.canaryKey !== undefined || !services.includes('receiver') || !services.includes('health-check'))
    return config
  return { ...config, canaryKey: randomUUID() }
}

/** Likewise the key that services of one process show each other, where keys are asked for. */
function withOwnKey(config: Config): Config {
  if (config.apiKeys.length === 0) return config
  const ownReadKey = randomUUID()
  const own = { name: 'runify', scope: 'read', sha256: hash('sha256', ownReadKey) } as const
  return { ...config, ownReadKey, apiKeys: [...config.apiKeys, own] }
}

/** Whether any of them keeps something in the data folder. Several receivers on Kafka do not, and share a folder's name. */
function usesFolder({ log, store }: Config, services: readonly ServiceName[]): boolean {
  const usesStore = services.some((service) => KEEPING.includes(service))
  return (log.kind === 'embedded' && usesLog(services)) || (store.kind === 'embedded' && usesStore)
}

/** The files of the data folder that these services keep, and which of them each is. */
function ownersOf({ log, store }: Config, services: readonly ServiceName[]): Map<string, ServiceName> {
  const owners = new Map<string, ServiceName>()
  const own = (dir: string, name: DataFileName, service: ServiceName) => {
    if (services.includes(service)) owners.set(join(dir, name), service)
  }
  if (log.kind === 'embedded') own(log.dir, 'log.db', 'storage')
  if (store.kind !== 'embedded') return owners
  own(store.dir, 'store.db', 'storage')
  own(store.dir, 'statistics.db', 'processing')
  own(store.dir, 'anomalies.db', 'anomaly-detector')
  return owners
}

/** Those with tables of their own. */
const KEEPING: readonly ServiceName[] = ['storage', 'processing', 'anomaly-detector']

/** Those that only ask others. */
const WITHOUT_LOG: readonly ServiceName[] = ['health-check', 'dashboard']

function usesLog(services: readonly ServiceName[]): boolean {
  return services.some((service) => !WITHOUT_LOG.includes(service))
}

/** Where it listens here, or where it runs elsewhere: at the address that is configured, or at its default port. */
function findService(
  service: ServiceName,
  { addresses, config }: { addresses: Addresses; config: Config },
): string | undefined {
  const { host, ports, serviceUrls } = config
  const found = addresses[service] ?? serviceUrls[service]
  if (found !== undefined) return found
  return ports[service] === 0 ? undefined : `http://${toReach(host)}:${ports[service]}`
}

/** What to connect to where something listens on `host`. */
function toReach(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

export type Starting = {
  /** Everything that is opened goes here. */
  opened: AsyncDisposableStack
  /** Where the services of this process listen, those of this thread and of others: whoever asks others looks here. */
  addresses: Addresses
  /** Resolves when `addresses` has them all. */
  started: Promise<void>
}

/**
 * Opens what the services need, once, and starts them, all in this thread. Servers need not be there yet, whatever the
 * order in which things are started: the services say that they are not ready, and for what they wait.
 */
export async function startServices(
  config: Config,
  services: readonly ServiceName[],
  { opened, addresses, started }: Starting,
): Promise<void> {
  const telemetries: Partial<Record<ServiceName, Telemetry>> = {}
  let log: Promise<EventLog> | undefined
  const openLogOnce = () => {
    log ??= openLog(config).then((it) => opened.use(it))
    return log
  }
  let store: Promise<EventStore> | undefined
  const openStoreOnce = () => {
    store ??= openStore(config.store, { atOnce: true }).then((it) => opened.use(it))
    return store
  }
  let statistics: Promise<StatisticsStore> | undefined
  const openStatisticsOnce = () => {
    statistics ??= openStatistics(config.store, { atOnce: true }, telemetryOf('processing').fileSetAside).then((it) =>
      opened.use(it),
    )
    return statistics
  }
  const addressOf = (service: ServiceName) => findService(service, { addresses, config })
  // Nobody else gets to see the own one.
  const keyOf = (service: ServiceName) => (service in addresses ? config.ownReadKey : undefined) ?? config.readKey
  // Loaded where they are started: a thread that does not have a service does not pay for its code, which is 10 MB.
  const create: Record<ServiceName, () => Promise<HttpServer>> = {
    receiver: async () => {
      const { createReceiver } = await import('./services/receiver/receiver.ts')
      const { receiverTelemetry } = await import('./services/receiver/telemetry.ts')
      return createReceiver({ log: await openLogOnce(), config, telemetry: receiverTelemetry(telemetryOf('receiver')) })
    },
    storage: async () => {
      const { createStorage } = await import('./services/storage/storage.ts')
      const { storageTelemetry } = await import('./services/storage/telemetry.ts')
      const log = await openLogOnce()
      const telemetry = storageTelemetry(telemetryOf('storage'))
      const retention = await keepLogRetention(log, config, (error) => telemetry.workFailed('retention', error))
      if (retention !== undefined) opened.use(retention)
      return createStorage({ log, store: await openStoreOnce(), config, telemetry })
    },
    processing: async () => {
      const { createProcessing } = await import('./services/processing/processing.ts')
      const { processingTelemetry } = await import('./services/processing/telemetry.ts')
      const log = await openLogOnce()
      return createProcessing({
        log,
        reader: (await openReader(config)) ?? (await openStoreOnce()),
        statistics: await openStatisticsOnce(),
        config,
        telemetry: processingTelemetry(telemetryOf('processing')),
      })
    },
    analyzer: async () => {
      const { createAnalyzer } = await import('./services/analyzer/analyzer.ts')
      const { analyzerTelemetry } = await import('./services/analyzer/telemetry.ts')
      const { findStore, findCounted } = await import('./services/analyzer/audit/sources.ts')
      const here = {
        store: services.includes('storage') ? await openStoreOnce() : undefined,
        statistics: services.includes('processing') ? await openStatisticsOnce() : undefined,
      }
      return createAnalyzer({
        log: await openLogOnce(),
        store: findStore({ here: here.store, url: () => addressOf('storage'), apiKey: () => keyOf('storage') }),
        counted: findCounted({
          here: here.statistics,
          url: () => addressOf('processing'),
          apiKey: () => keyOf('processing'),
        }),
        config,
        telemetry: analyzerTelemetry(telemetryOf('analyzer')),
      })
    },
    'anomaly-detector': async () => {
      const { createAnomalyDetector } = await import('./services/anomaly-detector/anomaly-detector.ts')
      const { anomalyTelemetry } = await import('./services/anomaly-detector/telemetry.ts')
      const log = await openLogOnce()
      const telemetry = anomalyTelemetry(telemetryOf('anomaly-detector'))
      const anomalies = opened.use(await openAnomalies(config.store, { atOnce: true }, telemetry.fileSetAside))
      return createAnomalyDetector({ log, anomalies, config, telemetry })
    },
    'health-check': async () => {
      const { createHealthCheck } = await import('./services/health-check/health-check.ts')
      const { healthTelemetry } = await import('./services/health-check/telemetry.ts')
      const { HISTORY_FILE } = await import('./services/health-check/history-file.ts')
      return createHealthCheck({
        ...{ addressOf, keyOf, started, config, telemetry: healthTelemetry(telemetryOf('health-check')) },
        historyPath: usesFolder(config, services) ? join(config.dataDir, HISTORY_FILE) : undefined,
        isHere: (service) => service in addresses,
      })
    },
    dashboard: async () => {
      const { createDashboard } = await import('./services/dashboard/dashboard.ts')
      const addressOf = (service: ServiceName) => findService(service, { addresses, config })
      return createDashboard({ addressOf, config, telemetry: telemetryOf('dashboard') })
    },
  }
  checkFiles()
  const servers: HttpServer[] = []
  for (const service of SERVICES.filter((name) => services.includes(name))) {
    const server = opened.use(await create[service]())
    servers.push(server)
    addresses[service] = await server.listen(config.ports[service], PORT_VARIABLES[service])
  }
  opened.defer(() => {
    for (const server of servers) void server.stopAccepting()
  })

  function checkFiles(): void {
    const owners = ownersOf(config, services)
    if (owners.size === 0 || config.checkPeriodMs === 0) return
    const ownerOf = (path: string) => telemetryOf(owners.get(path) as ServiceName)
    const [first] = owners.keys()
    opened.use(
      keepChecking({
        paths: [...owners.keys()],
        periodMs: config.checkPeriodMs,
        told: (checked) => ownerOf(checked.path).fileChecked(checked),
        failed: (error) => ownerOf(first as string).workFailed('check', error),
      }),
    )
  }

  function telemetryOf(service: ServiceName): Telemetry {
    const telemetry = telemetries[service] ?? createTelemetry(service, config.logLevel)
    // Before anything of the folder is opened: a disk that is full keeps it from being.
    if (telemetries[service] === undefined && usesFolder(config, [service])) telemetry.folderUsed(config.dataDir)
    telemetries[service] = telemetry
    return telemetry
  }
}
