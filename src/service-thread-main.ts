import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { StartError } from './errors.ts'
import type { Addresses, ThreadCommand, ThreadData, ThreadNotification } from './service-thread.ts'
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
  port.on('message', (command: ThreadCommand) => {
    if (command.kind === 'stop') return stop()
    Object.assign(addresses, command.addresses)
    sayStarted()
  })
  await startServices(config, services, { opened, addresses, started })
  notify({ kind: 'ready', addresses })
  await stopped
}

function notify(notification: ThreadNotification): void {
  port.postMessage(notification)
}

try {
  await run(workerData as ThreadData)
} catch (error) {
  const recoverable = error instanceof StartError
  notify({ kind: 'failed', message: recoverable ? error.message : String((error as Error).stack), recoverable })
} finally {
  port.close()
}
