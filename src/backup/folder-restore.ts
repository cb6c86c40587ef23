import { createWriteStream, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { beginRestoredFolder, commitRestoredFolder } from '../log/restored-folder.ts'
import type { ArchiveEntry } from './archive.ts'

/** Puts the files of a backup in the place of a data folder's, which is locked. */
export class FolderRestore implements AsyncDisposable {
  readonly #dir: string
  #files: readonly string[]
  /** Where they are gathered. */
  readonly folder: string

  constructor(dir: string, files: readonly string[]) {
    this.#dir = dir
    this.#files = files
    this.folder = beginRestoredFolder(dir)
  }

  has(name: string): boolean {
    return this.#files.includes(name)
  }

  async load({ name, body }: ArchiveEntry): Promise<void> {
    await pipeline(Readable.from(body), createWriteStream(join(this.folder, name), { mode: 0o600 }))
  }

  /** The folder's own file stays. */
  leave(file: string): void {
    this.#files = this.#files.filter((other) => other !== file)
    rmSync(join(this.folder, file), { force: true })
  }

  swap(): void {
    commitRestoredFolder(this.#dir, this.#files)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }
}
