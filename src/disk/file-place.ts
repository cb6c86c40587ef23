import { existsSync, statSync } from 'node:fs'
import { basename } from 'node:path'

/** Which file is at a path, and at those beside it: device and inode. */
export type Identity = Readonly<Record<string, string>>

/** What was written will not be there after a restart. */
export class Lost extends Error {}

/** The file, the write-ahead log in which its newest part is, and the index of that, which other processes open too. */
const ALL = ['', '-wal', '-shm']

/**
 * Whether the files of an open SQLite database are still at their paths. One that was removed or replaced takes every
 * write as before, and nothing of it is there after a restart. By path only: to open the file and close it again would
 * let go of SQLite's own locks, which belong to the process.
 */
export class FilePlace {
  readonly path: string
  readonly identity: Identity

  /** Takes the files that are there now, or those that another connection has found when it opened them. */
  constructor(path: string, identity: Identity = identify(path)) {
    this.path = path
    this.identity = identity
  }

  /**
   * Why a commit that was made just now will not be there after a restart; undefined: it will. Of the write-ahead log it asks
   * only whether it is there: whoever reads a file's times has Linux write them with the next sync, which takes 20 µs more.
   */
  whyLost(): string | undefined {
    if ('-wal' in this.identity && !existsSync(`${this.path}-wal`)) return this.#missing(ALL)
    return this.#missing([''])
  }

  /** The same of all files, those that were replaced included. */
  whyGone(): string | undefined {
    return this.#missing(ALL)
  }

  #missing(suffixes: readonly string[]): string | undefined {
    for (const suffix of suffixes) {
      const known = this.identity[suffix]
      const now = known === undefined ? undefined : idOf(this.path + suffix)
      if (now === known) continue
      const what = now === undefined ? 'removed' : 'replaced'
      return `${basename(this.path)}${suffix} was ${what} while it was in use: put it back, or start Runify again`
    }
    return undefined
  }
}

function identify(path: string): Identity {
  const found = ALL.map((suffix) => [suffix, idOf(path + suffix)] as const)
  return Object.fromEntries(found.filter((entry): entry is [string, string] => entry[1] !== undefined))
}

function idOf(path: string): string | undefined {
  try {
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false })
    return stats && `${stats.dev}:${stats.ino}`
  } catch {
    // The folder is no folder any more, or nobody may look into it: the file cannot be reached.
    return undefined
  }
}
