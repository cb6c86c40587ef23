import { statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { openBackup } from '../../backup/backup.ts'
import { BackupError } from '../../backup/backup-error.ts'
import { readConfig } from '../../config.ts'
import { isFailure, StartError } from '../../errors.ts'
import { type Command, CommandError, parseOptions, type Terminal, UsageError } from '../command.ts'
import { writeOutput } from '../output-file.ts'
import { readVersion } from '../version.ts'

const HELP = `runify backup: writes all that there is to one file, while Runify runs

usage: runify backup --out FILE|FOLDER|- [--quiet]

  --out FILE     where to; in a FOLDER that is there it gets a name with the time; - is stdout
  --quiet        no summary

In the file are the store, the statistics, the anomalies and, where it is embedded, the log, all of one moment. Kafka's log is not: what came after
the backup is read from it again. RUNIFY_LOG, RUNIFY_STORE and RUNIFY_DATA_DIR say where they are, as for Runify itself.

FILE is there when all of it is there, and not before. Only its owner may read it. It is a tar archive, compressed by Zstandard, with a checksum;
runify restore puts it back.

Exit codes: 0 all is written · 2 a wrong command line, or it could not be done
`

export const BACKUP: Command = { summary: 'write all that there is to one file', help: HELP, run: backup }

const STDOUT = '-'
/** It has everything, so nobody else may read it. */
const MODE = 0o600

async function backup(args: string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseOptions(args, {
    out: { type: 'string' },
    quiet: { type: 'boolean', short: 'q', default: false },
  })
  if (positionals.length > 0) throw new UsageError(`${JSON.stringify(positionals[0])} is no option: the file is --out`)
  if (values.out === undefined || values.out === '') throw new UsageError('say where to: --out FILE')
  if (values.out === STDOUT && terminal.stdout.isTTY) throw new UsageError('stdout is a terminal: pipe it into a file')
  const startMs = performance.now()
  try {
    const { created, bytes } = await write(values.out, terminal)
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
    if (!values.quiet) terminal.stderr.write(`backup of  ${created}\nbytes      ${bytes}\nduration   ${seconds} s\n`)
    return 0
  } catch (error) {
    const known = error instanceof BackupError || error instanceof StartError || isFailure(error)
    if (known || isSystemError(error)) throw new CommandError((error as Error).message, { cause: error })
    throw error
  }
}

async function write(out: string, { stdout }: Terminal): Promise<{ created: string; bytes: number }> {
  const config = readConfig()
  const folder = isFolder(out)
  const scratch = out === STDOUT ? config.dataDir : folder ? out : dirname(resolve(out))
  await using taken = await openBackup(config, { runify: readVersion(), scratch })
  const { created } = taken.manifest
  const interrupt = () => taken.bytes.destroy(new CommandError('interrupted'))
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
  let bytes = 0
  const counted = (async function* () {
    for await (const chunk of taken.bytes as Readable & AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength
      yield chunk
    }
  })()
  try {
    if (out === STDOUT) await pipeline(counted, stdout, { end: false })
    else await writeOutput(folder ? join(out, nameAt(created)) : out, counted, { mode: MODE })
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
  }
  return { created, bytes }
}

/** `runify-20240501T063000Z.backup` */
function nameAt(created: string): string {
  return `runify-${created.replace(/\.\d+/, '').replaceAll(/[-:]/g, '')}.backup`
}

function isFolder(path: string): boolean {
  return path !== STDOUT && (statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false)
}

/** What the file system or the pipe said. */
function isSystemError(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException).syscall === 'string'
}
