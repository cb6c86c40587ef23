import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { PORT_VARIABLES } from '../../src/config.ts'
import { startFlags } from '../../test-support/start-flags.ts'
import { endProcess } from '../limits/bare-process.ts'
import { openRawSqlite } from '../limits/raw-sqlite.ts'
import { peakMb, versionsOf } from '../machine.ts'
import { type Addresses, notePeak, type Running, SERVICES, type TargetBase } from './target.ts'

// Not in /tmp, which may be memory: syncing would cost nothing there.
const WORK = fileURLToPath(new URL('../.work/', import.meta.url))
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const PROCESS = 'runify'

/** One process as its users start it, in a folder of its own on free ports. */
export class EmbeddedTarget implements TargetBase {
  readonly on = 'embedded'
  readonly peaks = new Map<string, number>()
  readonly #dir: string
  #child: ChildProcess | undefined

  private constructor(dir: string) {
    this.#dir = dir
  }

  static async open(): Promise<EmbeddedTarget> {
    mkdirSync(WORK, { recursive: true })
    return new EmbeddedTarget(mkdtempSync(join(WORK, 'data-')))
  }

  async versions(): Promise<Record<string, string>> {
    return { ...versionsOf([]), SQLite: process.versions.sqlite ?? 'unknown' }
  }

  async start(...services: (typeof SERVICES)[number][]): Promise<Running> {
    // Beside a Receiver the others have a thread of their own, as when all of them run.
    const named = SERVICES.filter((name) => services.length === 0 || name === 'receiver' || services.includes(name))
    const ports = Object.fromEntries(Object.values(PORT_VARIABLES).map((name) => [name, '0']))
    const env = { ...process.env, ...ports, RUNIFY_DATA_DIR: this.#dir, RUNIFY_HOST: '127.0.0.1' }
    const child = spawn(process.execPath, [...startFlags(), MAIN, ...(services.length === 0 ? [] : named)], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#child = child
    const addresses: Addresses = { receiver: '', storage: '', processing: '', analyzer: '' }
    for await (const line of createInterface({ input: child.stdout })) {
      const { service, address } = JSON.parse(line) as { service: keyof Addresses; address?: string }
      if (address !== undefined && service in addresses) addresses[service] = address
      if (named.every((name) => addresses[name] !== '')) break
    }
    if (named.some((name) => addresses[name] === '')) throw new Error('Runify ended before it listened')
    child.stdout.resume()
    return {
      addresses,
      [Symbol.asyncDispose]: async () => {
        if (child.exitCode !== null) throw new Error(`Runify ended by itself with ${child.exitCode}`)
        notePeak(this.peaks, PROCESS, peakMb(child.pid as number))
        await endProcess(child)
      },
    }
  }

  async clear(): Promise<void> {
    rmSync(this.#dir, { recursive: true })
    mkdirSync(this.#dir)
  }

  async openDatabase() {
    return openRawSqlite(this.#dir)
  }

  async openRawPath() {
    const database = openRawSqlite(this.#dir)
    const log = new DatabaseSync(join(this.#dir, 'bench-log.db'))
    log.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE appended (value BLOB)')
    const append = log.prepare('INSERT INTO appended VALUES (?)')
    const value = Buffer.alloc(EVENT_BYTES)
    return {
      once: async () => {
        append.run(value)
        await database.writeAndFind()
      },
      [Symbol.asyncDispose]: async () => {
        log.close()
        await database[Symbol.asyncDispose]()
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // It runs still where a section was broken off.
    if (this.#child !== undefined) await endProcess(this.#child)
    rmSync(this.#dir, { recursive: true })
  }
}

/** About what a run takes in the log. */
const EVENT_BYTES = 250
