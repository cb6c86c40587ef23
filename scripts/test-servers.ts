import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { promisify } from 'node:util'
import { findSuites, ROOT, runTests } from './run-tests.ts'

/**
 * `npm run test:servers [-- file or pattern…]`: the suites that need real servers, none of which may be skipped. Kafka and
 * MySQL are those that RUNIFY_TEST_KAFKA (host:port,…) and RUNIFY_TEST_MYSQL (mysql://root:password@host:port) name;
 * without these, `docker compose` starts them, and they are gone at the end, also after Ctrl-C.
 */

const PASSWORD = 'only-for-tests'
/** One for each run, so that two runs can never take each other's servers away. */
const PROJECT = `runify-test-${process.pid}`
const SERVERS = ['-p', PROJECT, '-f', `${ROOT}tests/servers/compose.yaml`]
/** What the suite of the compose files starts. It takes it away itself, unless it is ended before that. */
const SUITE_PROJECT = `${PROJECT}-suite`

const signalled = new AbortController()
const stop = () => signalled.abort()
process.once('SIGTERM', stop).once('SIGINT', stop)

async function main(files: readonly string[]): Promise<number> {
  if (files.length === 0) throw new Error('no such suite')
  await using _ = await startServers()
  if (signalled.signal.aborted) return 130
  process.env.RUNIFY_TEST_PROJECT = SUITE_PROJECT
  const runs = runTests(files, { concurrency: 1 })
  const counts = await Promise.race([runs, once(signalled.signal, 'abort').then(() => undefined)])
  if (counts === undefined) {
    await takeDown(['-p', SUITE_PROJECT])
    return 130
  }
  const { passed, failed, skipped } = counts
  if (skipped > 0) console.error('here every test has to run')
  console.log(`server-backed suites: ${files.length} ran, ${passed} passed, ${failed} failed, ${skipped} skipped`)
  return passed > 0 && failed === 0 && skipped === 0 ? 0 : 1
}

/** Sets both variables for the suites. Starts what nobody has named. */
async function startServers(): Promise<AsyncDisposable> {
  const { env } = process
  const missing = [...(env.RUNIFY_TEST_KAFKA ? [] : ['kafka']), ...(env.RUNIFY_TEST_MYSQL ? [] : ['mysql'])]
  await using opened = new AsyncDisposableStack()
  if (missing.length > 0) {
    // A broker tells its clients where it is, so it has to know beforehand.
    const port = String(await freePort())
    Object.assign(env, { KAFKA_TEST_PORT: port, MYSQL_TEST_PASSWORD: PASSWORD })
    console.log(`starting ${missing.join(' and ')}; RUNIFY_TEST_KAFKA and RUNIFY_TEST_MYSQL would name others`)
    opened.defer(() => takeDown(SERVERS))
    try {
      await compose(SERVERS, 'up', '--detach', '--wait', ...missing)
    } catch (error) {
      if (!signalled.signal.aborted) await compose(SERVERS, 'logs', '--tail', '20').catch(() => {})
      throw error
    }
    env.RUNIFY_TEST_KAFKA ||= `127.0.0.1:${port}`
    env.RUNIFY_TEST_MYSQL ||= `mysql://root:${PASSWORD}@${await publishedAt('mysql', 3306)}`
  }
  return opened.move()
}

function takeDown(project: readonly string[]): Promise<void> {
  return compose(project, 'down', '--volumes', '--remove-orphans', '--timeout', '2').catch(tell)
}

/** A process group of its own: Ctrl-C must not end what clears up. What brings up, it ends all the same. */
async function compose(project: readonly string[], command: string, ...args: string[]): Promise<void> {
  const signal = command === 'up' ? signalled.signal : undefined
  const options = { stdio: 'inherit', detached: true, signal } as const
  const child = spawn('docker', ['compose', '--progress', 'quiet', ...project, command, ...args], options)
  const ended = once(child, 'close') as Promise<[number | string]>
  const [code] = await ended.catch((error: NodeJS.ErrnoException) => [error.code])
  if (code !== 0) throw new Error(`docker compose ${command} failed with ${code}`)
}

function tell(error: unknown): void {
  console.error(`test:servers: ${(error as Error).message}`)
  process.exitCode = 1
}

async function publishedAt(service: string, port: number): Promise<string> {
  const { stdout } = await promisify(execFile)('docker', ['compose', ...SERVERS, 'port', service, String(port)])
  return stdout.trim()
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await once(server.close(), 'close')
  return port
}

try {
  const code = await main(findSuites({ kind: 'server', chosen: process.argv.slice(2) }))
  process.exitCode ||= code
} catch (error) {
  if (!signalled.signal.aborted) tell(error)
}
// Suites that Ctrl-C has ended may leave timers behind.
if (signalled.signal.aborted) process.exit(130)
