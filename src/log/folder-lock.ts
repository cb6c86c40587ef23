import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { makeFolder } from '../disk/folder.ts'
import { keepPrivate } from '../disk/private-file.ts'
import { StartError } from '../errors.ts'
import { finishRestoredFolder } from './restored-folder.ts'

const SQLITE_BUSY = 5

/**
 * Takes the folder for this process. The lock is the operating system's, on an otherwise empty SQLite file, so it goes
 * with the process however that ends. A restore of the folder that was killed is ended first. Throws a `StartError` when another process has it.
 */
export function lockFolder(dir: string): Disposable {
  let database: DatabaseSync | undefined
  try {
    makeFolder(dir)
    database = new DatabaseSync(join(dir, 'lock.db'), { timeout: 0 })
    database.exec('BEGIN EXCLUSIVE')
    keepPrivate(join(dir, 'lock.db'))
    finishRestoredFolder(dir)
  } catch (cause) {
    database?.close()
    if ((cause as { errcode?: number }).errcode === SQLITE_BUSY) {
      throw new StartError(`RUNIFY_DATA_DIR: another process uses ${dir}; one folder is for one process`, { cause })
    }
    throw new StartError(`RUNIFY_DATA_DIR: ${dir} cannot be used: ${(cause as Error).message}`, { cause })
  }
  const held = database
  return { [Symbol.dispose]: () => held.close() }
}
