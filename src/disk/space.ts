import { closeSync, openSync, readdirSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** What a process that is not root may still write into the folder, bytes. */
export function freeBytes(dir: string): number {
  const { bavail, bsize } = statfsSync(dir)
  return bavail * bsize
}

/** What the files of the folder take, bytes; not those of folders within it. */
export function sizeBytes(dir: string): number {
  return readdirSync(dir).reduce((sum, name) => {
    const stats = statSync(join(dir, name), { throwIfNoEntry: false })
    return sum + (stats?.isFile() ? stats.size : 0)
  }, 0)
}

/** Below this there is no point in trying again: less than one large append. */
export const FULL_BYTES = 1024 * 1024

/** The errors that mean that there is no more room: of the disk, of the user's quota, of what a process may write. */
const NO_ROOM = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])
const PROBE_BYTES = 64 * 1024

/**
 * Why the folder cannot be written, as an error code; undefined: it can. SQLite keeps to itself what the operating system
 * said, so this tries.
 */
export function whyUnwritable(dir: string): string | undefined {
  const probe = join(dir, '.runify-probe')
  try {
    const fd = openSync(probe, 'w')
    try {
      writeSync(fd, Buffer.alloc(PROBE_BYTES))
    } finally {
      closeSync(fd)
    }
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  } finally {
    rmSync(probe, { force: true })
  }
}

export function isFull(dir: string): boolean {
  return NO_ROOM.has(whyUnwritable(dir) ?? '')
}
