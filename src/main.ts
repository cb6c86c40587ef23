import { once } from 'node:events'
import { readConfig, readServices } from './config.ts'
import { StartError } from './errors.ts'
import { startSystem } from './system.ts'

/** `node src/main.ts [service…]`: starts the services, waits for SIGTERM or Ctrl-C, and closes what it opened. */
async function main(): Promise<void> {
  const signalled = new AbortController()
  const stop = () => signalled.abort()
  process.once('SIGTERM', stop).once('SIGINT', stop)

  await using system = await startSystem(readConfig(), readServices(process.argv.slice(2)))
  if (!signalled.signal.aborted) await Promise.race([once(signalled.signal, 'abort'), system.died])
}

try {
  await main()
} catch (error) {
  console.error(error instanceof StartError ? `runify: ${error.message}` : error)
  process.exitCode = 1
}
