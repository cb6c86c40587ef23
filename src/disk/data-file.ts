import { statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { BroadcastChannel } from 'node:worker_threads'
import { Failure, type FailureCode, isFailure } from '../errors.ts'
import { FilePlace, type Identity, Lost } from './file-place.ts'
import { isFull } from './space.ts'

/** The files of a data folder, in the order in which they come into being. */
export const DATA_FILES = ['log.db', 'store.db', 'statistics.db', 'anomalies.db'] as const
export type DataFileName = (typeof DATA_FILES)[number]

/** Those that are made anew by themselves, from the log and the store. */
export const DERIVED_FILES: readonly DataFileName[] = ['statistics.db', 'anomalies.db']

const CODES: Record<DataFileName, FailureCode> = {
  'log.db': 'log_unavailable',
  'store.db': 'store_unavailable',
  'statistics.db': 'statistics_unavailable',
  'anomalies.db': 'anomalies_unavailable',
}

/** What a person does about a file that is damaged. */
const REMEDIES: Record<DataFileName, string> = {
  'log.db': 'it is the truth and is left as it is: stop Runify and put a backup of it in its place',
  'store.db': 'stop Runify and run npx runify check, then npx runify rebuild store',
  'statistics.db': 'at the next start it is set aside and counted anew from the store',
  'anomalies.db': 'at the next start it is set aside and made anew from the log',
}

/** SQLite's primary result codes: the lower 8 bits of the extended ones. */
const SQLITE = { busy: 5, readonly: 8, ioerr: 10, corrupt: 11, full: 13, cantopen: 14, notadb: 26 } as const

/**
 * A SQLite file of the data folder: what its errors mean, and whether it can be relied on. That it is damaged is known in
 * every thread of the process as soon as one has found it, and stays so until the file is opened anew.
 */
export class DataFile implements Disposable {
  readonly path: string
  readonly #name: DataFileName
  readonly #damaged: BroadcastChannel
  #place: FilePlace | undefined
  #damage: string | undefined
  #closed = false

  /** Not opened yet. */
  constructor(path: string) {
    this.path = path
    this.#name = basename(path) as DataFileName
    this.#damaged = new BroadcastChannel(channelOf(path))
    this.#damaged.onmessage = ({ data }: { data: unknown }) => {
      this.#damage ??= String(data)
    }
    // The channel alone is no reason to keep a process alive; the file's owner is.
    this.#damaged.unref()
  }

  /** Opens it: `open` resolves when the file is there. Throws a `Failure` that names the file. */
  async open<T>(open: () => T | Promise<T>): Promise<T> {
    try {
      this.#refuseEmptied()
      const opened = await open()
      this.#place = new FilePlace(this.path)
      return opened
    } catch (error) {
      this[Symbol.dispose]()
      throw this.explain(error)
    }
  }

  /** The same where nothing is waited for. */
  openNow<T>(open: () => T): T {
    try {
      this.#refuseEmptied()
      const opened = open()
      this.#place = new FilePlace(this.path)
      return opened
    } catch (error) {
      this[Symbol.dispose]()
      throw this.explain(error)
    }
  }

  /** The files that were opened. */
  get identity(): Identity {
    return this.#place?.identity ?? {}
  }

  /** Throws when it was removed or replaced, or is damaged. */
  check(): void {
    if (this.#damage !== undefined) throw this.#failure(this.#damage)
    const gone = this.#place?.whyGone()
    if (gone !== undefined) throw this.#failure(gone)
  }

  /** Turns what the driver throws into our own failure. */
  async guard<T>(work: () => T | Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw this.explain(error)
    }
  }

  guardNow<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw this.explain(error)
    }
  }

  /** Our own failure for an error of the driver. What it says is for operators, and names no more than the file. */
  explain(cause: unknown): Failure {
    if (isFailure(cause)) return cause
    if (cause instanceof Lost) return this.#failure(cause.message)
    const { errcode, message } = cause as { errcode?: number; message: string }
    const primary = (errcode ?? 0) & 0xff
    if (primary === SQLITE.corrupt || primary === SQLITE.notadb) {
      this.damaged(message)
      return this.#failure(this.#damage as string, cause)
    }
    const dir = dirname(this.path)
    if (primary === SQLITE.full || (primary === SQLITE.ioerr && isFull(dir))) {
      return this.#failure(`the disk is full: ${dir}`, cause)
    }
    if (primary === SQLITE.ioerr) return this.#failure(`the disk fails at ${this.path}: ${message}`, cause)
    if (primary === SQLITE.readonly || primary === SQLITE.cantopen) {
      return this.#failure(`${this.path} cannot be used: ${message}`, cause)
    }
    if (primary === SQLITE.busy) return this.#failure(`${this.path} is in use elsewhere: ${message}`, cause)
    return this.#failure(`${this.#name} failed`, cause)
  }

  /** From now on it is not relied on. */
  damaged(why: string): void {
    if (this.#damage !== undefined) return
    this.#damage = describeDamage(this.path, why)
    if (DERIVED_FILES.includes(this.#name)) markDamaged(this.path)
    if (!this.#closed) this.#damaged.postMessage(this.#damage)
  }

  [Symbol.dispose](): void {
    this.#closed = true
    this.#damaged.close()
  }

  #failure(detail: string, cause?: unknown): Failure {
    return new Failure(CODES[this.#name], detail, { retryable: true, cause })
  }

  /**
   * SQLite takes a file of no bytes for a new database. Where one that is made later has something in it, this one has
   * lost it. The derived ones fill again by themselves.
   */
  #refuseEmptied(): void {
    if (DERIVED_FILES.includes(this.#name) || sizeOf(this.path) !== 0) return
    const later = DATA_FILES.slice(DATA_FILES.indexOf(this.#name) + 1)
    const filled = later.find((name) => (sizeOf(join(dirname(this.path), name)) ?? 0) > 0)
    if (filled === undefined) return
    throw this.#failure(describeDamage(this.path, `it is empty, and ${filled} is not`))
  }
}

export function describeDamage(path: string, why: string): string {
  return `${path} is damaged (${why}): ${REMEDIES[basename(path) as DataFileName]}`
}

/** Tells every thread of the process that has the file open. */
export function tellDamage(path: string, why: string): void {
  if (DERIVED_FILES.includes(basename(path) as DataFileName)) markDamaged(path)
  const channel = new BroadcastChannel(channelOf(path))
  channel.postMessage(describeDamage(path, why))
  channel.close()
}

/** Left beside a file that was found damaged while it was in use, for the next start. */
export function damageMark(path: string): string {
  return `${path}.damaged`
}

function markDamaged(path: string): void {
  try {
    writeFileSync(damageMark(path), '')
  } catch {
    // A disk that takes no mark: the damage is found again, and told until then.
  }
}

function channelOf(path: string): string {
  return `runify-damage:${path}`
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size
}
