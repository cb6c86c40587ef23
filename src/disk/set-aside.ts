import { existsSync, renameSync, rmSync } from 'node:fs'
import { damageMark } from './data-file.ts'

/** What was found at the start: a file that could not be relied on, and where it is now. */
export type SetAside = { file: string; moved_to: string; why: string }

/** Moves a damaged file out of the way, with what belongs to it. Nobody may have it open. */
export function setAside(path: string): string {
  const to = `${path}.damaged-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}`
  for (const suffix of ['', '-wal', '-shm']) {
    if (existsSync(path + suffix)) renameSync(path + suffix, to + suffix)
  }
  rmSync(damageMark(path), { force: true })
  return to
}

/**
 * Opens a file that is made anew from others: where it is damaged, or was found so when it was last in use, a new one in
 * its place.
 */
export async function openDerived<T>(path: string, open: () => Promise<T>, told: (news: SetAside) => void): Promise<T> {
  if (existsSync(damageMark(path))) {
    const why = 'it was found damaged while it was in use'
    told({ file: path, moved_to: setAside(path), why })
    return open()
  }
  try {
    return await open()
  } catch (error) {
    // Only damage leaves the mark.
    if (!existsSync(damageMark(path))) throw error
    told({ file: path, moved_to: setAside(path), why: (error as Error).message })
    return open()
  }
}
