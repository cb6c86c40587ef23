import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import autocannon from 'autocannon'
import { generateEvents } from '../src/cli/generator.ts'

/** One line of the table. `ratio` is to the limit measured in the same run, `target` what it should reach. */
export type Row = { name: string; value: number; unit: string; ratio?: number; target?: string }

export type BenchRunify = AsyncDisposable & {
  addresses: Record<'receiver' | 'storage' | 'processing' | 'analyzer', string>
  pid: number
  /** Resolves when all that was accepted is stored and counted. */
  caughtUp(): Promise<void>
}

const SERVICES = ['receiver', 'storage', 'processing', 'analyzer'] as const

/** Starts the whole of Runify as its users do, in a folder of its own on free ports. */
export async function startRunify(nodeOptions: string[] = []): Promise<BenchRunify> {
  // Not in /tmp, which may be memory: syncing would cost nothing there.
  const work = new URL('./.work/', import.meta.url).pathname
  mkdirSync(work, { recursive: true })
  const dir = mkdtempSync(`${work}data-`)
  const ports = Object.fromEntries(SERVICES.map((service) => [`${service.toUpperCase()}_PORT`, '0']))
  const env = { ...process.env, ...ports, RUNIFY_DATA_DIR: dir, RUNIFY_HOST: '127.0.0.1' }
  const child = spawn(
    process.execPath,
    [...nodeOptions, ...startFlags(), new URL('../src/main.ts', import.meta.url).pathname],
    {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const addresses: Record<string, string> = {}
  for await (const line of createInterface({ input: child.stdout as NonNullable<typeof child.stdout> })) {
    const { service, address } = JSON.parse(line) as { service: string; address?: string }
    if (address !== undefined) addresses[service] = address
    if (Object.keys(addresses).length === SERVICES.length) break
  }
  child.stdout?.resume()
  const running = addresses as BenchRunify['addresses']
  return {
    addresses: running,
    pid: child.pid as number,
    caughtUp: async () => {
      for (;;) {
        const { behind } = await getJson<{ behind: number }>(`${running.processing}/stats`)
        if (behind === 0) return
        await sleep(100)
      }
    },
    [Symbol.asyncDispose]: async () => {
      await end(child)
      rmSync(dir, { recursive: true })
    },
  }
}

/** The flags that `npm start` gives to node. */
function startFlags(): string[] {
  const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return (scripts.start as string).split(' ').filter((word) => word.startsWith('--'))
}

export async function startBare(): Promise<AsyncDisposable & { address: string }> {
  const child = spawn(process.execPath, [new URL('./bare-server.ts', import.meta.url).pathname], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout as NonNullable<typeof child.stdout>, 'data')) as [Buffer]
  const { address } = JSON.parse(line.toString()) as { address: string }
  return { address, [Symbol.asyncDispose]: () => end(child) }
}

/** Runs as a client sends them, without `event_id`, so that each POST is a new event. */
export function eventBodies(count: number, type: 'running_stats' | 'music_info' = 'running_stats'): string[] {
  const bodies: string[] = []
  for (const line of generateEvents({ users: 200, days: 20 * 365, seed: 7 })) {
    if (line.type !== type) continue
    const { event_id: _, ...event } = line.fields
    bodies.push(JSON.stringify(event))
    if (bodies.length === count) return bodies
  }
  throw new Error(`the generator has only ${bodies.length} events`)
}

/** Single POSTs in a closed loop; any other answer than 2xx is an error. */
export async function load(
  address: string,
  { bodies, connections, seconds }: { bodies: string[]; connections: number; seconds: number },
): Promise<{ rate: number; p99: number }> {
  const result = await autocannon({
    url: address,
    connections,
    duration: seconds,
    requests: bodies.map((body) => ({
      method: 'POST',
      path: '/stats/running',
      headers: { 'content-type': 'application/json' },
      body,
    })),
  })
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${result.non2xx} refused, ${result.errors} errors`)
  return { rate: result['2xx'] / result.duration, p99: result.latency.p99 }
}

const REQUESTS_AT_ONCE = 2

/** The same NDJSON body again and again. */
export async function sendMany(receiver: string, body: Buffer, requests: number): Promise<void> {
  let left = requests
  const sender = async () => {
    while (left-- > 0) {
      const headers = { 'content-type': 'application/x-ndjson' }
      const response = await fetch(`${receiver}/stats/running`, { method: 'POST', headers, body })
      const text = await response.text()
      if (response.status !== 201) throw new Error(`${response.status} ${text}`)
    }
  }
  await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, sender))
}

export async function getJson<T>(url: string): Promise<T> {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  return (await response.json()) as T
}

/** Resident memory of a process, MB. */
export function residentMb(pid: number, peak = false): number {
  const name = peak ? 'VmHWM' : 'VmRSS'
  const kib = new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) / 1024
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] as number
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number
}

async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGTERM')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}
