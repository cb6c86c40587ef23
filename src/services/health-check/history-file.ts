import { open, readFile, rename, rm } from 'node:fs/promises'
import type { EpochMs } from '../../events/instant.ts'
import type { SavedMinutes } from './history.ts'

/** What is kept of a day: enough to go on with it after a restart. */
export type SavedDay = {
  version: 1
  /** When somebody first looked. */
  since: EpochMs
  /** Up to when somebody looked. */
  until: EpochMs
  /** By service, or hop of the canaries. */
  histories: Record<string, SavedMinutes>
}

export const HISTORY_FILE = 'health-history.json'

/** Undefined where there is no such file yet. Throws where there is one that holds something else. */
export async function readDay(path: string): Promise<SavedDay | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const day = Object(JSON.parse(text)) as Partial<SavedDay>
  const { version, since, until, histories } = day
  const isDay = version === 1 && Number.isFinite(since) && Number.isFinite(until) && Object(histories) === histories
  if (!isDay) throw new Error(`${path} does not hold a health check's history`)
  return day as SavedDay
}

/** Whole or not at all: a reader finds the day before or this one, whenever the process is killed. */
export async function writeDay(path: string, day: SavedDay): Promise<void> {
  const unfinished = `${path}.new`
  // What was left behind may have other permissions.
  await rm(unfinished, { force: true })
  {
    await using file = await open(unfinished, 'wx', 0o600)
    await file.writeFile(JSON.stringify(day))
    await file.sync()
  }
  await rename(unfinished, path)
}
