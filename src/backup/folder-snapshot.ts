import { createReadStream, existsSync } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { backup, DatabaseSync } from 'node:sqlite'
import { type Cursors, formatCursors } from '../log/position.ts'
import type { ArchiveEntry } from './archive.ts'
import { BackupError } from './backup-error.ts'
import { CURSOR_TABLES, type Keeper, type Manifest, MIGRATION_TABLES } from './manifest.ts'

const BUSY_MS_MAX = 10_000
const COPY_PAGES = 2000

/**
 * The files of a data folder, each at one moment, while Runify goes on with them: the moment is held by a transaction that reads,
 * so that a copy never begins anew because somebody writes.
 */
export class FolderSnapshot implements Disposable {
  readonly #files = new Map<string, DatabaseSync>()

  /** The moments of the files are in the order in which these are named. A file that is not there is left out. */
  static take(dir: string, files: readonly string[]): FolderSnapshot {
    const snapshot = new FolderSnapshot()
    try {
      for (const file of files) snapshot.#hold(dir, file)
    } catch (error) {
      snapshot[Symbol.dispose]()
      throw new BackupError(`${dir} cannot be read: ${(error as Error).message}`, { cause: error })
    }
    return snapshot
  }

  get files(): string[] {
    return [...this.#files.keys()]
  }

  positions(): Partial<Manifest['positions']> {
    const found = Object.entries(CURSOR_TABLES).flatMap(([keeper, { file, table }]) => {
      const rows = this.#rows(file, table, 'topic, partition_id AS "partition", next')
      return rows === undefined ? [] : [[keeper as Keeper, formatCursors(rows as unknown as Cursors)]]
    })
    return Object.fromEntries(found)
  }

  migrations(): Manifest['migrations'] {
    const found = MIGRATION_TABLES.flatMap((table) => {
      const rows = this.files.map((file) => this.#rows(file, table, 'name')).find((some) => some !== undefined)
      return rows === undefined ? [] : [[table, rows.map(({ name }) => String(name)).sort()]]
    })
    return Object.fromEntries(found)
  }

  /** Copies one file after the other into `folder`, which has room for the largest, and gives each when it is there. */
  async *entries(folder: string): AsyncGenerator<ArchiveEntry> {
    for (const [file, database] of this.#files) {
      const copy = join(folder, file)
      await backup(database, copy, { rate: COPY_PAGES })
      // Its moment is in the copy: the file's log may be shortened again.
      database.close()
      this.#files.delete(file)
      yield { name: file, size: (await stat(copy)).size, body: createReadStream(copy) }
      await rm(copy)
    }
  }

  [Symbol.dispose](): void {
    for (const database of this.#files.values()) database.close()
    this.#files.clear()
  }

  #hold(dir: string, file: string): void {
    const path = join(dir, file)
    // SQLite would make it.
    if (!existsSync(path)) return
    const database = new DatabaseSync(path, { timeout: BUSY_MS_MAX })
    this.#files.set(file, database)
    database.exec('BEGIN')
    // The moment is that of the first statement that reads.
    database.prepare('SELECT count(*) FROM sqlite_schema').get()
  }

  #rows(file: string, table: string, columns: string): Record<string, unknown>[] | undefined {
    const database = this.#files.get(file)
    const known = database?.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(table)
    return known === undefined ? undefined : database?.prepare(`SELECT ${columns} FROM ${table}`).all()
  }
}
