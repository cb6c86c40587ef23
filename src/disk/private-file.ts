import { chmodSync, statSync } from 'node:fs'

const OTHERS = 0o077
const PRIVATE = 0o600

/**
 * Takes from all others what they may do with a database's file, and with those that SQLite has beside it: it holds where
 * its owner was and when. A file of another owner stays as it is, for only they can change it.
 */
export function keepPrivate(file: string): void {
  for (const path of [file, `${file}-wal`, `${file}-shm`, `${file}-journal`]) {
    const found = statSync(path, { throwIfNoEntry: false })
    if (found === undefined || (found.mode & OTHERS) === 0 || found.uid !== process.getuid?.()) continue
    chmodSync(path, PRIVATE)
  }
}
