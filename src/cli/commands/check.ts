import { join } from 'node:path'
import { openLog, openStore } from '../../adapters.ts'
import { type Config, readConfig } from '../../config.ts'
import { DATA_FILES, describeDamage } from '../../disk/data-file.ts'
import { findDamage } from '../../disk/find-damage.ts'
import { isFailure, StartError } from '../../errors.ts'
import { lockFolder } from '../../log/folder-lock.ts'
import { type Command, CommandError, parseOptions, type Terminal, UsageError } from '../command.ts'
import { compareRows } from './compare-rows.ts'

const HELP = `runify check: reads all files of the data folder, and says which of them are damaged

usage: runify check

First the structure of each file, as SQLite's integrity_check sees it, also while Runify runs. Then every event of store.db
against the log's record at its place, which finds values that were changed to other valid ones; for that Runify must be
stopped. A line for each file, and what to do where one is damaged. Changes nothing. RUNIFY_DATA_DIR says which folder.

What is missing from the store, runify audit finds. Nothing finds a value that was changed in log.db itself: it is what the
others are compared with.

Exit codes: 0 all is well · 1 something is damaged or different · 2 a wrong command line, or it could not be done
`

export const CHECK: Command = {
  summary: 'read the files of the data folder through, and say which are damaged',
  help: HELP,
  run: check,
}

async function check(args: string[], { stdout }: Terminal): Promise<number> {
  const { positionals } = parseOptions(args, {})
  if (positionals.length > 0) throw new UsageError(`nothing is named to it, not ${JSON.stringify(positionals[0])}`)
  try {
    const config = readConfig()
    let damaged = 0
    for (const name of DATA_FILES) {
      const path = join(config.dataDir, name)
      const why = findDamage(path, { quick: false })
      if (why !== undefined) damaged++
      stdout.write(why === undefined ? `ok         ${path}\n` : `damaged    ${describeDamage(path, why)}\n`)
    }
    // Of a file that is damaged no row can be trusted, nor be read for certain.
    if (damaged > 0) return 1
    return (await checkRows(config, stdout)) ? 0 : 1
  } catch (error) {
    if (error instanceof StartError || isFailure(error)) throw new CommandError(error.message, { cause: error })
    throw error
  }
}

/** Whether each is as the log has it, as far as that can be said. */
async function checkRows(config: Config, stdout: Terminal['stdout']): Promise<boolean> {
  if (config.log.kind !== 'embedded' || config.store.kind !== 'embedded') return true
  await using opened = new AsyncDisposableStack()
  try {
    opened.use(lockFolder(config.dataDir))
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    stdout.write(`not done   events were not compared with the log: ${error.message}\n`)
    return true
  }
  const log = opened.use(await openLog(config))
  const store = opened.use(await openStore(config.store))
  const { compared, different, differences, removed } = await compareRows(log, store)
  const rest = removed === 0 ? '' : `, ${removed} are no longer in the log`
  stdout.write(
    `${different === 0 ? 'ok      ' : 'changed '}   ${compared} events compared with the log, ${different} different${rest}\n`,
  )
  if (different === 0) return true
  for (const difference of differences) stdout.write(`           ${difference}\n`)
  if (different > differences.length) stdout.write(`           … and ${different - differences.length} more\n`)
  stdout.write('           npx runify rebuild store brings back what was sent\n')
  return false
}
