import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { PORT_VARIABLES, readConfig, SERVICES, type ServiceName } from '../src/config.ts'
import { startSystem } from '../src/system.ts'

/** What a whole-system test needs: Runify in this process or as one of its own, on free ports and a folder of its own. */

export type Runify = AsyncDisposable & {
  addresses: Record<ServiceName, string>
  /** Its data folder, where it is embedded. */
  dir?: string
}
export type Environment = Record<string, string>
export type Json = Record<string, unknown>
export type Exit = { code: number | null; signal: NodeJS.Signals | null }

/** As whom it runs, and within which command, that must run it in its own place (`exec`). */
export type SpawnedAs = Pick<SpawnOptions, 'uid' | 'gid'> & {
  within?: readonly string[]
  /** Of node, as `npm start` gives them; the working directory is the project's for them. */
  flags?: readonly string[]
  /** Is told each line of its log. */
  onLine?: (line: string) => void
}

export type RunifyProcess = Runify & {
  pid: number
  exited: Promise<Exit>
  /** What it has written to stderr so far. */
  stderr: () => string
  /** Sends the signal and waits for the end. */
  kill: (signal: NodeJS.Signals) => Promise<Exit>
}

/** Statistics follow at once, so that tests need not wait for them. */
const PROMPT_PERIOD_MS = '50'
/** Tests of canaries send them; elsewhere the log and the cursors hold what the test has sent. */
const NO_CANARIES: Environment = { RUNIFY_CANARY_PERIOD_MS: '0' }
const START_MS_MAX = 60_000
const POLL_MS = 20

const FREE_PORTS: Environment = Object.fromEntries(SERVICES.map((service) => [PORT_VARIABLES[service], '0']))
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))

export function temporaryFolder(): ReturnType<typeof mkdtempDisposable> {
  return mkdtempDisposable(join(tmpdir(), 'runify-test-'))
}

/** All services in this process, on a folder that goes with them. */
export async function startInProcess(environment: Environment = {}): Promise<Runify> {
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await temporaryFolder())
  const defaults = {
    ...NO_CANARIES,
    RUNIFY_LOG_LEVEL: 'silent',
    PROCESSING_PERIOD_MS: PROMPT_PERIOD_MS,
    RUNIFY_DATA_DIR: folder.path,
  }
  const config = readConfig({ ...FREE_PORTS, ...defaults, ...environment })
  const { addresses } = opened.use(await startSystem(config, SERVICES))
  const running = opened.move()
  return {
    addresses: addresses as Record<ServiceName, string>,
    dir: config.dataDir,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

/** A process of its own on the folder `dir`, ready when every one of its services has said where it listens. */
export async function spawnRunify(
  { dir, ...environment }: { dir: string } & Environment,
  services: readonly ServiceName[] = SERVICES,
  options: SpawnedAs = {},
): Promise<RunifyProcess> {
  const { child, exited, stderr } = spawnMain({ dir, ...environment }, services, options)
  const addresses: Partial<Record<ServiceName, string>> = {}
  const listening = new Promise<void>((resolve) => {
    createInterface({ input: child.stdout as NonNullable<typeof child.stdout> }).on('line', (line) => {
      options.onLine?.(line)
      const { msg, service, address } = parseLine(line)
      if (msg !== 'listening') return
      addresses[service as ServiceName] = address as string
      if (Object.keys(addresses).length === services.length) resolve()
    })
  })
  const kill = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    return exited
  }
  const failed = exited.then(({ code, signal }) => {
    throw new Error(`runify ended with ${signal ?? code} before it listened: ${stderr()}`)
  })
  try {
    await within(START_MS_MAX, Promise.race([listening, failed]), 'runify to listen')
  } catch (error) {
    await kill('SIGKILL')
    throw error
  }
  // From here on an end is no failure; whoever waits for it has `exited`.
  failed.catch(() => {})
  return {
    addresses: addresses as Record<ServiceName, string>,
    pid: child.pid as number,
    exited,
    stderr,
    kill,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) await kill('SIGKILL')
    },
  }
}

/** A process that is expected to end by itself: what it said, and how it ended. */
export async function runToExit(
  { dir, ...environment }: { dir: string } & Environment,
  options: SpawnedAs = {},
): Promise<Exit & { stderr: string }> {
  const { child, exited, stderr } = spawnMain({ dir, ...environment }, [], options)
  child.stdout?.resume()
  try {
    return { ...(await within(START_MS_MAX, exited, 'runify to give up')), stderr: stderr() }
  } finally {
    child.kill('SIGKILL')
  }
}

/** Asks again and again until the answer is not undefined or false; an error counts as not yet. */
export async function waitFor<T>(condition: () => Promise<T | undefined | false>, deadlineMs = 30_000): Promise<T> {
  const end = performance.now() + deadlineMs
  let last: unknown = 'the condition did not come true'
  while (performance.now() < end) {
    try {
      const value = await condition()
      if (value !== undefined && value !== false) return value
    } catch (error) {
      last = error
    }
    await sleep(POLL_MS)
  }
  throw new Error(`not within ${deadlineMs} ms, at ${condition}`, { cause: last })
}

export async function within<T>(deadlineMs: number, work: Promise<T>, what: string): Promise<T> {
  const stop = new AbortController()
  const late = sleep(deadlineMs, undefined, { signal: stop.signal }).then(() => {
    throw new Error(`${what} took over ${deadlineMs} ms`)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    stop.abort()
    late.catch(() => {})
  }
}

export type Answer = { status: number; headers: Headers; body: Json }

export async function getJson(url: string): Promise<Json> {
  const response = await fetch(url)
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}: ${text}`)
  return JSON.parse(text) as Json
}

export async function getList(url: string): Promise<Json[]> {
  return (await getJson(url)) as unknown as Json[]
}

/** Posts a body, as JSON where it is not bytes or text already. */
export async function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const bytes =
    typeof body === 'string' ? body : body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body)
  const sent = { 'content-type': 'application/json', ...headers }
  const response = await fetch(url, { method: 'POST', headers: sent, body: bytes })
  return { status: response.status, headers: response.headers, body: (await response.json()) as Json }
}

/** Resolves when Storage has read all of the log and Processing has counted it: nothing is on its way any more. */
export async function settled(
  { addresses }: { addresses: Pick<Runify['addresses'], 'processing'> },
  deadlineMs = 30_000,
): Promise<void> {
  await waitFor(async () => (await getJson(`${addresses.processing}/stats`)).behind === 0, deadlineMs)
}

function spawnMain(
  { dir, ...environment }: { dir: string } & Environment,
  services: readonly ServiceName[] = [],
  { within = [], flags = [], onLine: _, ...user }: SpawnedAs = {},
) {
  const defaults = { ...NO_CANARIES, RUNIFY_DATA_DIR: dir, PROCESSING_PERIOD_MS: PROMPT_PERIOD_MS }
  const env = { ...FREE_PORTS, ...defaults, ...environment }
  const options: SpawnOptions = { env, stdio: ['ignore', 'pipe', 'pipe'], ...user }
  const [command, ...args] = [...within, process.execPath, ...flags, MAIN, ...services] as [string, ...string[]]
  const child: ChildProcess = spawn(command, args, options)
  let text = ''
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  // 'close' and not 'exit': only then has all that it wrote been read.
  const exited = once(child, 'close').then(([code, signal]) => ({ code, signal }) as Exit)
  return { child, exited, stderr: () => text }
}

function parseLine(line: string): Json {
  try {
    return JSON.parse(line) as Json
  } catch {
    return {}
  }
}
