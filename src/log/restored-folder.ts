import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
} from 'node:fs'
import { join } from 'node:path'

/**
 * Files that take the place of a data folder's, all of them or none. They are gathered in a folder of their own; when that is whole
 * it gets the name that says so, and from then on whoever takes the data folder finishes, however often he is stopped:
 * before, he throws them away.
 */
const GATHERED = 'restore.part'
const WHOLE = 'restore.whole'
/** Stands for a file that is to be gone. */
const REMOVED = '.removed'

/** An empty folder beside the files, which only this user can read. */
export function beginRestoredFolder(dir: string): string {
  const gathered = join(dir, GATHERED)
  rmSync(gathered, { recursive: true, force: true })
  mkdirSync(gathered, { mode: 0o700 })
  return gathered
}

/** Puts what was gathered in the place of `files`; those of them that were not gathered go. The data folder is locked. */
export function commitRestoredFolder(dir: string, files: readonly string[]): void {
  const gathered = join(dir, GATHERED)
  for (const file of files) {
    const path = join(gathered, file)
    sync(existsSync(path) ? path : createEmpty(path + REMOVED))
  }
  sync(gathered)
  renameSync(gathered, join(dir, WHOLE))
  sync(dir)
  finishRestoredFolder(dir)
}

/** Whether a restore of this folder was begun and has not ended. */
export function isBeingRestored(dir: string): boolean {
  return existsSync(join(dir, GATHERED)) || existsSync(join(dir, WHOLE))
}

/** Ends what one that was killed has begun. The data folder is locked. */
export function finishRestoredFolder(dir: string): void {
  rmSync(join(dir, GATHERED), { recursive: true, force: true })
  const whole = join(dir, WHOLE)
  if (!existsSync(whole)) return
  const names = readdirSync(whole)
  // First what belongs to the old files: SQLite would play it into the new ones.
  for (const name of names) {
    for (const suffix of ['-wal', '-shm']) rmSync(join(dir, targetOf(name) + suffix), { force: true })
  }
  sync(dir)
  for (const name of names) {
    if (name.endsWith(REMOVED)) rmSync(join(dir, targetOf(name)), { force: true })
    else renameSync(join(whole, name), join(dir, name))
  }
  sync(dir)
  // The names of files that are to be gone stay until they are.
  for (const name of names) rmSync(join(whole, name), { force: true })
  rmdirSync(whole)
  sync(dir)
}

function targetOf(name: string): string {
  return name.endsWith(REMOVED) ? name.slice(0, -REMOVED.length) : name
}

function createEmpty(path: string): string {
  closeSync(openSync(path, 'w', 0o600))
  return path
}

/** A file, or the names in a folder. */
function sync(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
