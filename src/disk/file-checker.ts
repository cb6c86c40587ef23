import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants, setPriority } from 'node:os'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { tellDamage } from './data-file.ts'

/** What a check of a file found; without `damage`, nothing. */
export type Checked = { path: string; damage?: string; seconds: number }

export type Checking = {
  paths: readonly string[]
  periodMs: number
  told: (checked: Checked) => void
  failed: (error: unknown) => void
}

/** Soon after the start, but not while everything else is being started. */
const FIRST_MS = 60_000
/** Between two rounds it rests so many times as long as the reading took, whatever the period. */
const REST = 20
const PROGRAM = fileURLToPath(new URL('./file-checker-main.ts', import.meta.url))

/**
 * Reads the files through now and then until it is disposed, and tells whoever has one open that it is damaged. In a
 * process of its own: a check is one call of SQLite that may take minutes, which a thread could not be stopped in.
 */
export function keepChecking({ paths, periodMs, told, failed }: Checking): AsyncDisposable {
  const stop = new AbortController()
  const { signal } = stop
  const checking = (async () => {
    let restMs = Math.min(FIRST_MS, periodMs)
    while (!signal.aborted) {
      await sleep(restMs, undefined, { signal, ref: false }).catch(() => {})
      if (signal.aborted) return
      let busyMs = 0
      const add = (checked: Checked) => {
        busyMs += checked.seconds * 1000
        told(checked)
      }
      await checkOnce(paths, add, signal).catch((error: unknown) => {
        if (!signal.aborted) failed(error)
      })
      restMs = Math.max(periodMs, REST * busyMs)
    }
  })()
  return {
    async [Symbol.asyncDispose]() {
      stop.abort()
      await checking
    },
  }
}

async function checkOnce(paths: readonly string[], told: Checking['told'], signal: AbortSignal): Promise<void> {
  const child = spawn(process.execPath, ['--max-old-space-size=32', PROGRAM, ...paths], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: {},
    // Ctrl-C in a terminal reaches every process of its group, and this one is ended by what started it.
    detached: true,
    signal,
    killSignal: 'SIGKILL',
  })
  const ended = once(child, 'close') as Promise<[number | null]>
  ended.catch(() => {})
  yieldToOthers(child)
  for await (const line of createInterface({ input: child.stdout as NonNullable<typeof child.stdout> })) {
    const checked = JSON.parse(line) as Checked
    if (checked.damage !== undefined) tellDamage(checked.path, checked.damage)
    told(checked)
  }
  const [code] = await ended
  if (code !== 0) throw new Error(`the check of the files ended with ${code}`)
}

function yieldToOthers({ pid }: ChildProcess): void {
  if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_LOW)
}
