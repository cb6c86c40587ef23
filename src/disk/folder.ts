import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** What it is made for is nobody else's business. */
const PRIVATE = { mode: 0o700 }

/**
 * Makes a folder, and those above it that are missing. Not with `recursive` of `mkdirSync`: where a folder is there but
 * takes no others, as `/proc`, Node 26 tries again for ever, and the thread with it is deaf to signals.
 */
export function makeFolder(dir: string): void {
  if (statSync(dir, { throwIfNoEntry: false })?.isDirectory()) return
  try {
    mkdirSync(dir, PRIVATE)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const above = dirname(dir)
    if (code === 'EEXIST') throw new Error('it is not a folder, or a link to nowhere', { cause: error })
    if (code !== 'ENOENT' || existsSync(above)) throw error
    makeFolder(above)
    mkdirSync(dir, PRIVATE)
  }
}
