import { type FileHandle, lstat, open, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { CommandError } from './command.ts'

/**
 * Writes a file that is there whole or not at all, also after a crash: until then it is `PATH.part`. One that is there
 * already keeps its permissions and owner, and a symbolic link stays one. What is no file, such as a FIFO or a device, is
 * written into as it is.
 *
 * @param mode - the file's permissions, whatever they were before
 */
export async function writeOutput(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  { mode }: { mode?: number } = {},
): Promise<void> {
  const target = await resolveLink(path)
  const before = await stat(target).catch(ignoreMissing)
  if (before?.isDirectory()) throw new CommandError(`${path} is a folder: name a file`)
  if (before !== undefined && !before.isFile()) return writeInto(await open(target, 'w'), chunks)

  const part = `${target}.part`
  // What a crash has left may have other permissions.
  await rm(part, { force: true })
  const file = await open(part, 'wx', mode ?? (before && before.mode & 0o7777))
  try {
    if (before !== undefined && mode === undefined) await keepAccess(file, before)
    await writeInto(file, chunks, { sync: true })
    await rename(part, target)
    await using folder = await open(dirname(target), 'r')
    await folder.sync()
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
}

async function writeInto(
  file: FileHandle,
  chunks: AsyncIterable<Uint8Array>,
  { sync }: { sync: boolean } = { sync: false },
): Promise<void> {
  try {
    for await (const chunk of chunks) await file.writeFile(chunk)
    if (sync) await file.sync()
  } finally {
    await file.close()
  }
}

/** The process's umask has taken bits from the mode that the part was opened with. */
async function keepAccess(file: FileHandle, { mode, uid, gid }: { mode: number; uid: number; gid: number }) {
  const now = await file.stat()
  // Only root may give a file away; whoever may not had better not lose the export for it.
  if (now.uid !== uid || now.gid !== gid) await file.chown(uid, gid).catch(ignoreForbidden)
  await file.chmod(mode & 0o7777)
}

/** Where a symbolic link leads, also one to a file that is not there yet. */
async function resolveLink(path: string): Promise<string> {
  const link = await lstat(path).catch(ignoreMissing)
  if (!link?.isSymbolicLink()) return path
  const found = await realpath(path).catch(ignoreMissing)
  return found ?? resolve(dirname(path), await readlink(path))
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

function ignoreForbidden(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPERM') throw error
}
