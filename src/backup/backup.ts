import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { Config } from '../config.ts'
import { formatInstant } from '../events/instant.ts'
import { isBeingRestored } from '../log/restored-folder.ts'
import { type ArchiveEntry, writeArchive } from './archive.ts'
import { BackupError } from './backup-error.ts'
import { FolderSnapshot } from './folder-snapshot.ts'
import { encodeManifest, KEEPERS, MANIFEST_NAME, type Manifest } from './manifest.ts'

/** A backup whose moment has come: all of it is of then, however long it takes to read it. */
export type Backup = AsyncDisposable & { manifest: Omit<Manifest, 'format'>; bytes: Readable }

/**
 * The embedded files in the order of their moments: what was counted is then stored, and what is stored or judged is in the log.
 */
const STORE_FILES = ['statistics.db', 'anomalies.db', 'store.db']
export const LOG_FILE = 'log.db'

/** The files of a data folder that belong to a backup. */
export function filesOf({ log, store }: Pick<Manifest, 'log' | 'store'>): string[] {
  return [...(store === 'embedded' ? STORE_FILES : []), ...(log === 'embedded' ? [LOG_FILE] : [])]
}

/**
 * Takes a backup while Runify runs, or not. Copies of embedded files pass through a folder in `scratch`, one after the other. Throws a
 * `BackupError` where there is nothing, or a restore is under way.
 */
export async function openBackup(
  config: Config,
  { runify, scratch }: { runify: string; scratch: string },
): Promise<Backup> {
  await using opened = new AsyncDisposableStack()
  const kinds = { log: config.log.kind, store: config.store.kind }
  const refuseRestored = () => {
    if (filesOf(kinds).length > 0 && isBeingRestored(config.dataDir)) {
      throw new BackupError(
        `a restore of ${config.dataDir} is under way, or was stopped: start Runify, or restore it again`,
      )
    }
  }
  refuseRestored()
  const tables =
    config.store.kind === 'mysql'
      ? opened.use(await (await import('./mysql-snapshot.ts')).MysqlSnapshot.take(config.store))
      : undefined
  const files = opened.use(FolderSnapshot.take(config.dataDir, filesOf(kinds)))
  if (files.files.length === 0 && (tables?.tables ?? []).length === 0) {
    throw new BackupError(`there is nothing in ${config.store.kind === 'mysql' ? 'the database' : config.dataDir}`)
  }
  const nowhere = Object.fromEntries(KEEPERS.map((keeper) => [keeper, ''])) as Manifest['positions']
  const manifest = {
    runify,
    created: formatInstant(Date.now()),
    ...kinds,
    positions: { ...nowhere, ...files.positions(), ...(await tables?.positions()) },
    migrations: { ...files.migrations(), ...(await tables?.migrations()) },
    tables: tables?.tables ?? [],
  }
  const openFolder = async () => {
    const folder = await mkdtemp(join(scratch, 'runify-backup-'))
    opened.defer(() => rm(folder, { recursive: true, force: true }))
    return folder
  }
  // Where there is nothing to copy, nothing need be writable.
  const folder = files.files.length > 0 ? await openFolder() : ''
  async function* entries(): AsyncGenerator<ArchiveEntry> {
    const body = encodeManifest(manifest)
    yield { name: MANIFEST_NAME, size: body.byteLength, body: [body] }
    if (tables !== undefined) yield* tables.entries()
    yield* files.entries(folder)
    // One that began meanwhile may have replaced some of what was read.
    refuseRestored()
  }
  const bytes = writeArchive(entries())
  const all = opened.move()
  return {
    manifest,
    bytes,
    [Symbol.asyncDispose]: async () => {
      bytes.destroy()
      await all.disposeAsync()
    },
  }
}
