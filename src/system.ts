import { openLog, openReader, openStatistics, openStore } from './adapters.ts'
import { type Config, PORT_VARIABLES, SERVICES, type ServiceName } from './config.ts'
import type { HttpServer } from './http/server.ts'
import { lockFolder } from './log/folder-lock.ts'
import { ServiceThread } from './service-thread.ts'
import type { EventStore } from './store/event-store.ts'
import { createTelemetry } from './telemetry.ts'

export type Addresses = Partial<Record<ServiceName, string>>

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
 *                                      └─positions→ Analyzer
 *
 * The Receiver has the main thread for itself, because that is where requests wait; the others share a second thread.
 * Throws a `StartError` when a person must mend something first; then nothing is left running.
 */
export async function startSystem(config: Config, services: readonly ServiceName[]): Promise<RunningSystem> {
  await using opened = new AsyncDisposableStack()
  const died = Promise.withResolvers<never>()
  // Whoever starts the system may or may not watch this.
  died.promise.catch(() => {})
  if (usesFolder(config, services)) opened.use(lockFolder(config.dataDir))

  const others = services.filter((service) => service !== 'receiver')
  const addresses: Addresses = {}
  if (services.includes('receiver') && others.length > 0) {
    const thread = opened.use(await ServiceThread.start({ config, services: others }))
    thread.died.catch(died.reject)
    Object.assign(addresses, thread.addresses)
    Object.assign(addresses, await startServices(config, ['receiver'], opened))
    // They stop at the same time, each in its thread, because their deadlines would add up.
    opened.defer(() => thread.stop())
  } else {
    Object.assign(addresses, await startServices(config, services, opened))
  }
  const running = opened.move()
  return { addresses, died: died.promise, [Symbol.asyncDispose]: () => running.disposeAsync() }
}

/** Whether any of them keeps something in the data folder. Several receivers on Kafka do not, and share a folder's name. */
function usesFolder({ log, store }: Config, services: readonly ServiceName[]): boolean {
  const usesStore = services.some((service) => service === 'storage' || service === 'processing')
  return log.kind === 'embedded' || (store.kind === 'embedded' && usesStore)
}

/** Opens what the services need, once, and starts them, all in this thread. Everything opened goes to `opened`. */
export async function startServices(
  config: Config,
  services: readonly ServiceName[],
  opened: AsyncDisposableStack,
): Promise<Addresses> {
  const log = opened.use(await openLog(config))
  let store: Promise<EventStore> | undefined
  const openStoreOnce = () => {
    store ??= openStore(config.store).then((it) => opened.use(it))
    return store
  }
  // Loaded where they are started: a thread that does not have a service does not pay for its code, which is 10 MB.
  const create: Record<ServiceName, () => Promise<HttpServer>> = {
    receiver: async () => {
      const { createReceiver } = await import('./services/receiver/receiver.ts')
      return createReceiver({ log, config, telemetry: telemetryOf('receiver') })
    },
    storage: async () => {
      const { createStorage } = await import('./services/storage/storage.ts')
      return createStorage({ log, store: await openStoreOnce(), config, telemetry: telemetryOf('storage') })
    },
    processing: async () => {
      const { createProcessing } = await import('./services/processing/processing.ts')
      const statistics = opened.use(await openStatistics(config.store))
      return createProcessing({
        log,
        reader: (await openReader(config)) ?? (await openStoreOnce()),
        statistics,
        config,
        telemetry: telemetryOf('processing'),
      })
    },
    analyzer: async () => {
      const { createAnalyzer } = await import('./services/analyzer/analyzer.ts')
      return createAnalyzer({ log, config, telemetry: telemetryOf('analyzer') })
    },
  }
  const addresses: Addresses = {}
  const servers: HttpServer[] = []
  for (const service of SERVICES.filter((name) => services.includes(name))) {
    const server = opened.use(await create[service]())
    servers.push(server)
    addresses[service] = await server.listen(config.ports[service], PORT_VARIABLES[service])
  }
  opened.defer(() => {
    for (const server of servers) void server.stopAccepting()
  })
  return addresses

  function telemetryOf(service: ServiceName) {
    return createTelemetry(service, config.logLevel)
  }
}
