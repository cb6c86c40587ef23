import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { StartError } from './errors.ts'
import type { Addresses, ThreadData, ThreadNews, ThreadOrder } from './service-thread.ts'
import { startServices } from './system.ts'

/** What runs in a `ServiceThread`: starts the services, waits for `stop`, and closes what it opened. */

const port = parentPort as NonNullable<typeof parentPort>

/**
 * Where there is not enough processor for all, events are acknowledged first and stored a little later: the log keeps
 * them. On Linux this is the priority of the calling thread alone; elsewhere it would be that of the whole process.
 */
const NICENESS = 10

async function run({ config, services }: ThreadData): Promise<void> {
  if (process.platform === 'linux') setPriority(NICENESS)
  await using opened = new AsyncDisposableStack()
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>()
  const addresses: Addresses = {}
  const { promise: started, resolve: sayStarted } = Promise.withResolvers<void>()
  port.on('message', (order: ThreadOrder) => {
    if (order.kind === 'stop') return stop()
    Object.assign(addresses, order.addresses)
    sayStarted()
  })
  await startServices(config, services, { opened, addresses, started })
  tell({ kind: 'ready', addresses })
  await stopped
}

function tell(news: ThreadNews): void {
  port.postMessage(news)
}

try {
  await run(workerData as ThreadData)
} catch (error) {
  const mendable = error instanceof StartError
  tell({ kind: 'failed', message: mendable ? error.message : String((error as Error).stack), mendable })
} finally {
  port.close()
}
