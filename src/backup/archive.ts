import { Buffer } from 'node:buffer'
import { createHash, type Hash } from 'node:crypto'
import { Readable } from 'node:stream'
import type { ReadableStream, ReadableWritablePair } from 'node:stream/web'
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib'
import { createTarDecoder, createTarPacker, type ParsedTarEntry } from 'modern-tar'
import { BackupError } from './backup-error.ts'

/**
 * A backup is a tar archive, compressed by Zstandard: `tar --zstd -tf` lists it. Its last entry is the SHA-256 of all entries
 * before it, of their names, sizes and bytes, so that a piece of a backup is never taken for all of it.
 */

export type ArchiveEntry = { name: string; size: number; body: AsyncIterable<Uint8Array> | Iterable<Uint8Array> }

const CHECKSUM_NAME = 'sha256'
const CHECKSUM_BYTES = 65
/** What only the one who makes a backup may read: it has everything. */
const MODE = 0o600

/** The bytes of a backup, as fast as they are read. */
export function writeArchive(entries: AsyncIterable<ArchiveEntry>): Readable {
  const { readable, controller } = createTarPacker()
  const hash = createHash('sha256')
  const add = async ({ name, size, body }: ArchiveEntry, seen: (chunk: Uint8Array) => void) => {
    const writer = controller.add({ name, size, mode: MODE, type: 'file' }).getWriter()
    for await (const chunk of body) {
      seen(chunk)
      await writer.write(chunk)
    }
    await writer.close()
  }
  const writing = async () => {
    for await (const entry of entries) {
      beginEntry(hash, entry)
      await add(entry, (chunk) => hash.update(chunk))
    }
    const body = [Buffer.from(`${hash.digest('hex')}\n`)]
    await add({ name: CHECKSUM_NAME, size: CHECKSUM_BYTES, body }, () => {})
    controller.finalize()
  }
  // What it meets comes out of the stream, too.
  writing().catch((error: unknown) => controller.error(error))
  const compressed = createZstdCompress({ params: { [constants.ZSTD_c_checksumFlag]: 1 } })
  const packed = Readable.fromWeb(readable as ReadableStream)
  packed.once('error', (error) => compressed.destroy(error))
  compressed.once('close', () => packed.destroy())
  return packed.pipe(compressed)
}

/**
 * The entries of a backup, each with its body, which is read before the next entry comes. Throws a `BackupError` when it is
 * damaged: what was read of it by then is of no use.
 */
export async function* readArchive(source: Readable): AsyncGenerator<ArchiveEntry> {
  const hash = createHash('sha256')
  const plain = createZstdDecompress()
  source.once('error', (error) => plain.destroy(error))
  const decoder = createTarDecoder({ strict: true }) as ReadableWritablePair<ParsedTarEntry, Uint8Array>
  const entries = (Readable.toWeb(source.pipe(plain)) as ReadableStream<Uint8Array>).pipeThrough(decoder)
  let checked = false
  try {
    for await (const { header, body } of entries) {
      if (checked) throw new BackupError('the backup is damaged: something follows its checksum')
      const { name, size } = header
      if (name === CHECKSUM_NAME) {
        checked = true
        checkSum(await readAll(body), hash)
        continue
      }
      beginEntry(hash, { name, size })
      yield { name, size, body: seenBy(hash, body) }
    }
  } catch (error) {
    throw error instanceof BackupError || !isDamage(error) ? error : damaged(error)
  } finally {
    source.destroy()
  }
  if (!checked) throw new BackupError('the backup is damaged: its end is missing')
}

/** All bytes of an entry that is known to be small. */
export async function readAll(body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function* seenBy(hash: Hash, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) {
      hash.update(chunk)
      yield chunk
    }
  } catch (error) {
    throw isDamage(error) ? damaged(error) : error
  }
}

function beginEntry(hash: Hash, { name, size }: { name: string; size: number }): void {
  hash.update(`${name}\n${size}\n`)
}

function checkSum(told: Buffer, hash: Hash): void {
  if (told.toString('latin1').trim() !== hash.digest('hex')) {
    throw new BackupError('the backup is damaged: its checksum is another')
  }
}

/** What the decompressor and the decoder throw; the file system's errors have a system call. */
function isDamage(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).syscall === undefined
}

function damaged(cause: unknown): BackupError {
  return new BackupError(`the backup is damaged: ${(cause as Error).message}`, { cause })
}
