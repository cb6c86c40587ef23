import cluster from 'node:cluster'
import { once } from 'node:events'
import { readConfig, readServices } from './config.ts'
import { StartError } from './errors.ts'
import { runWorkers, sayStarted, wantsWorkers } from './receiver-workers.ts'
import type { Addresses } from './service-thread.ts'
import { startSystem } from './system.ts'

/** `node src/main.ts [service…]`: starts the services, waits for SIGTERM or Ctrl-C, and closes what it opened. */
async function main(): Promise<void> {
  const signalled = new AbortController()
  const stop = () => signalled.abort()
  process.once('SIGTERM', stop).once('SIGINT', stop)

  const config = readConfig()
  const services = readServices(process.argv.slice(2))
  if (wantsWorkers(config, services)) {
    if (!(await runWorkers(config, signalled.signal))) process.exitCode = 1
    return
  }
  await using system = await startSystem(config, services)
  sayStarted()
  if (process.stdout.isTTY) console.log(describeReady(system.addresses))
  if (!signalled.signal.aborted) await Promise.race([once(signalled.signal, 'abort'), system.died])
}

/** Where to look, for a person. */
function describeReady({ dashboard, ...others }: Addresses): string {
  const found = dashboard === undefined ? Object.values(others) : [dashboard]
  const addresses = found.map((address) => address.replace(/\/\/(127\.0\.0\.1|0\.0\.0\.0|\[::1?\])/, '//localhost'))
  return `\nRunify is ready: ${addresses.join(' ')} (Ctrl-C stops it)\n`
}

try {
  await main()
} catch (error) {
  console.error(error instanceof StartError ? `runify: ${error.message}` : error)
  process.exitCode = 1
} finally {
  // The channel to the process that started the workers would keep this one alive.
  cluster.worker?.disconnect()
}
