import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { BackupError } from '../../backup/backup-error.ts'
import { restoreBackup, verifyBackup } from '../../backup/restore.ts'
import { auditRestored, type RestoredAudit } from '../../backup/restored-audit.ts'
import { type Config, readConfig } from '../../config.ts'
import { isFailure, StartError } from '../../errors.ts'
import { type Command, CommandError, parseOptions, type Terminal, UsageError } from '../command.ts'

const HELP = `runify restore: puts a backup in the place of what there is, all of it or nothing, and audits it

usage: runify restore FILE|- [OPTIONS]

  --accept-gap   also where the log has no more what came right after the backup: those events stay away
  --replace-log  put the backup's log in the place of another, or of one that has more: what was acknowledged since is given up
  --skip-audit   do not compare the log, the store and the statistics at the end
  --quiet        no summary, only what is wrong

FILE is what runify backup has written; - is stdin. RUNIFY_LOG, RUNIFY_STORE and RUNIFY_DATA_DIR say where it goes, as for Runify itself, and are of the
same kinds as when it was made. Every service that has tables (storage, processing, anomaly-detector) is stopped, and on the embedded log or store
Runify altogether: while one of them uses the database or the folder, nothing is restored. One that starts meanwhile waits.

Nothing is replaced before all of FILE was read and its checksum is right. One that was killed has replaced everything or nothing; the next start,
or the next restore, clears up after it. A backup of an older Runify is brought to the newest form by the next start; that of a newer one is refused.

A log that has all that the backup's log has, and more, stays: Kafka's always, an embedded one unless --replace-log says otherwise. Storage then reads on from
the positions in the backup, so that nothing that was acknowledged is lost. At the end the log, the store and the statistics are compared event by event.

Exit codes: 0 restored, and nothing differs · 1 restored, and something differs · 2 a wrong command line, or nothing was restored
`

export const RESTORE: Command = {
  summary: 'put a backup in the place of what there is',
  help: HELP,
  run: restore,
}

const STDIN = '-'
const DIFFERENCES_MAX = 20

async function restore(args: string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseOptions(args, {
    'accept-gap': { type: 'boolean', default: false },
    'replace-log': { type: 'boolean', default: false },
    'skip-audit': { type: 'boolean', default: false },
    quiet: { type: 'boolean', short: 'q', default: false },
  })
  const [file] = positionals
  if (file === undefined || positionals.length > 1) throw new UsageError('say which backup: FILE, or - for stdin')
  if (file === STDIN && terminal.stdin.isTTY) throw new UsageError('nothing is piped into stdin')
  const startMs = performance.now()
  const say = (text: string) => values.quiet || terminal.stdout.write(text)
  const config = await orCommandError('', async () => readConfig())
  const { manifest, keptLog, behind } = await orCommandError('', async () => {
    // Of a file it is known beforehand whether it is whole; of a stream when it has ended, and nothing is replaced before.
    if (file !== STDIN) await verifyBackup(createReadStream(file))
    const source: Readable = file === STDIN ? terminal.stdin : createReadStream(file)
    const { 'accept-gap': acceptGap, 'replace-log': replaceLog } = values
    return restoreBackup({ config, source, acceptGap, replaceLog })
  })
  const log = keptLog ? ', beside the log that was here' : ''
  say(`restored   the backup of ${manifest.created}${log}\nbehind     ${behind} records, which are read from the log\n`)
  let code = 0
  if (!values['skip-audit']) code = await audit(config, terminal, say)
  say(`duration   ${((performance.now() - startMs) / 1000).toFixed(1)} s\n`)
  return code
}

async function audit(config: Config, { stdout }: Terminal, say: (text: string) => void): Promise<number> {
  const found = await orCommandError('restored, but not audited: ', () => auditRestored(config, Date.now()))
  say(`audited    ${describe(found)}\n`)
  const { differences } = found
  for (const difference of differences.slice(0, DIFFERENCES_MAX)) stdout.write(`  ${difference}\n`)
  if (differences.length > DIFFERENCES_MAX) stdout.write(`  … and ${differences.length - DIFFERENCES_MAX} more\n`)
  return differences.length === 0 ? 0 : 1
}

function describe({ accepted, stored, pending, unknownHours, differences }: RestoredAudit): string {
  const verdict = differences.length === 0 ? 'nothing differs' : `${differences.length} differences`
  const unknown = unknownHours === 0 ? '' : `, ${unknownHours} hours of which the log is no longer whole`
  return `${accepted} accepted, ${stored} stored, ${pending} pending${unknown}: ${verdict}`
}

async function orCommandError<T>(prefix: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const { syscall, message } = error as NodeJS.ErrnoException
    const known = error instanceof BackupError || error instanceof StartError || isFailure(error)
    if (known || typeof syscall === 'string') throw new CommandError(`${prefix}${message}`, { cause: error })
    throw error
  }
}
