import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Readable } from 'node:stream'
import { openLog } from '../adapters.ts'
import type { Config } from '../config.ts'
import { TOPICS } from '../events/catalogue.ts'
import type { EventLog } from '../log/event-log.ts'
import { lockFolder } from '../log/folder-lock.ts'
import { type Cursors, nextOf } from '../log/position.ts'
import { type ArchiveEntry, readAll, readArchive } from './archive.ts'
import { filesOf, LOG_FILE } from './backup.ts'
import { BackupError } from './backup-error.ts'
import { FolderRestore } from './folder-restore.ts'
import { compareLogs, type LogPartition, rangeOf } from './kept-log.ts'
import { decodeManifest, MANIFEST_NAME, type Manifest, type Positions, positionsOf } from './manifest.ts'

export type RestoreOptions = {
  config: Config
  source: Readable
  /** Whether events that the log has no more may be missing between the backup and the log. */
  acceptGap: boolean
  /** Whether the backup's log takes the place of one that has more, or of another one. */
  replaceLog: boolean
}

export type Restored = {
  manifest: Manifest
  /** Whether an embedded log stayed as it was, because it has all that the backup's has, and more. */
  keptLog: boolean
  /** Records of events that the log has and the store does not: Storage will read them. */
  behind: number
}

/**
 * Puts a backup in the place of what there is, all of it or nothing. The services with tables are stopped meanwhile; whoever starts
 * waits. Throws a `BackupError` when somebody uses what is to be replaced, when the backup is damaged, of a newer Runify, or of another log.
 */
export async function restoreBackup({ config, source, acceptGap, replaceLog }: RestoreOptions): Promise<Restored> {
  await using opened = new AsyncDisposableStack()
  const entries = readArchive(source)
  opened.defer(() => void source.destroy())
  const manifest = await readManifest(entries)
  refuseOtherKinds(manifest, config)
  const positions = positionsOf(manifest)
  const files = filesOf(manifest)
  if (files.length > 0) opened.use(lockFolder(config.dataDir))
  // Before the long way, where it can be known.
  if (manifest.log === 'kafka') await checkLog(config, positions, { acceptGap })
  const tables = config.store.kind === 'mysql' ? opened.use(await beginTables(config.store, manifest)) : undefined
  const folder = files.length > 0 ? opened.use(new FolderRestore(config.dataDir, files)) : undefined
  for await (const entry of entries) {
    if (folder?.has(entry.name)) await folder.load(entry)
    else if (tables !== undefined) await tables.load(entry)
    else throw new BackupError(`the backup is damaged: ${entry.name} has no place`)
  }
  const keptLog = folder?.has(LOG_FILE) === true && !replaceLog && (await isLogKept(config, folder))
  const log = folder?.has(LOG_FILE) && !keptLog ? logIn(config, folder.folder) : config
  const behind = await checkLog(log, positions, { acceptGap })
  if (keptLog) folder?.leave(LOG_FILE)
  // The tables first: beside a log that is still the newer one they are right.
  await tables?.swap()
  folder?.swap()
  return { manifest, keptLog, behind }
}

/** Reads all of a backup and puts it nowhere. Throws a `BackupError` when it is damaged. */
export async function verifyBackup(source: Readable): Promise<Manifest> {
  const entries = readArchive(source)
  const manifest = await readManifest(entries)
  for await (const { body } of entries) for await (const _ of body);
  return manifest
}

async function readManifest(entries: AsyncGenerator<ArchiveEntry>): Promise<Manifest> {
  const { value: first } = await entries.next()
  if (first?.name !== MANIFEST_NAME) throw new BackupError('this is not a backup of Runify')
  return decodeManifest(await readAll(first.body))
}

function refuseOtherKinds({ log, store }: Manifest, config: Config): void {
  for (const [name, was, is] of [
    ['RUNIFY_LOG', log, config.log.kind],
    ['RUNIFY_STORE', store, config.store.kind],
  ]) {
    if (was !== is) throw new BackupError(`the backup was made with ${name} ${was}, and it is ${is} here`)
  }
}

async function beginTables(options: Extract<Config['store'], { kind: 'mysql' }>, { tables }: Manifest) {
  const { MysqlRestore } = await import('./mysql-restore.ts')
  return MysqlRestore.begin(options, tables)
}

function logIn(config: Config, dir: string): Config {
  return { ...config, log: { kind: 'embedded', dir } }
}

/** A log that has what the backup's has stays, with all that was acknowledged since. Throws where it is another one. */
async function isLogKept(config: Config, { folder }: FolderRestore): Promise<boolean> {
  const { dataDir } = config
  if (!existsSync(join(dataDir, LOG_FILE))) return false
  const how = await compare(config, folder).catch((error: unknown) => {
    const cause = ((error as Error).cause ?? error) as Error
    throw new BackupError(`the log in ${dataDir} cannot be read (${cause.message}): ${REPLACES}`, { cause: error })
  })
  if (how === 'other') throw new BackupError(`${dataDir} has another log than the backup: ${REPLACES}`)
  return how === 'longer'
}

const REPLACES = '--replace-log puts that of the backup in its place'

async function compare(config: Config, folder: string): Promise<Awaited<ReturnType<typeof compareLogs>>> {
  await using here = await openLog(logIn(config, config.dataDir))
  await using backedUp = await openLog(logIn(config, folder))
  using file = new DatabaseSync(join(folder, LOG_FILE))
  const partitions = file.prepare('SELECT topic, partition FROM partitions').all() as LogPartition[]
  return await compareLogs(here, backedUp, partitions)
}

/**
 * How many records of events the log has that the backup's store has not. Throws where the positions are not of this log, or where
 * nobody could read on from them.
 */
async function checkLog(config: Config, positions: Positions, { acceptGap }: { acceptGap: boolean }): Promise<number> {
  await using log = await openLog(config)
  for (const { topic, partition, next } of Object.values(positions).flat()) {
    const range = await rangeOf(log, { topic, partition })
    if (next > range.next) {
      const detail = `the backup has ${topic}:${partition} up to ${next}, and the log ends at ${range.next}`
      throw new BackupError(`${detail}: it belongs to another log`)
    }
    if (next < range.first && !acceptGap) {
      const detail = `the log begins at ${range.first} in ${topic}:${partition}, and the backup ends at ${next}`
      throw new BackupError(`${detail}: --accept-gap restores it without the events in between`)
    }
  }
  return await countBehind(log, positions.stored)
}

async function countBehind(log: EventLog, stored: Cursors): Promise<number> {
  let behind = 0
  for (const topic of TOPICS) {
    for (const { partition, first, next } of await log.partitions(topic)) {
      behind += next - Math.max(first, nextOf(stored, { topic, partition }))
    }
  }
  return behind
}
