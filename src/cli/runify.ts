#!/usr/bin/env node
import { type Command, CommandError, type Terminal, UsageError } from './command.ts'
import { AUDIT } from './commands/audit.ts'
import { BACKUP } from './commands/backup.ts'
import { CHECK } from './commands/check.ts'
import { DEAD_LETTERS } from './commands/dead-letters.ts'
import { EXPORT } from './commands/export.ts'
import { FORGET } from './commands/forget.ts'
import { GENERATE } from './commands/generate.ts'
import { REBUILD } from './commands/rebuild.ts'
import { RESTORE } from './commands/restore.ts'
import { SEND } from './commands/send.ts'
import { readVersion } from './version.ts'

const COMMANDS: Record<string, Command> = {
  send: SEND,
  generate: GENERATE,
  export: EXPORT,
  forget: FORGET,
  'dead-letters': DEAD_LETTERS,
  audit: AUDIT,
  rebuild: REBUILD,
  check: CHECK,
  backup: BACKUP,
  restore: RESTORE,
}

const HELP = `runify: send events to Runify, make some up, take out what is stored, check it, rebuild it, back it up

usage: runify COMMAND [OPTIONS]

${Object.entries(COMMANDS)
  .map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`)
  .join('\n')}

  runify COMMAND --help   all about a command
  runify --version        the version

Exit codes: 0 all is well · 1 done, but not all was good · 2 a wrong command line, or it could not be done
`

/** A reader that has enough (`… | head`) closes the pipe: that is no error. */
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}
process.exitCode = await run(process.argv.slice(2), process)

async function run([name, ...args]: string[], terminal: Terminal): Promise<number> {
  if (name === undefined) {
    terminal.stderr.write(HELP)
    return 2
  }
  if (name === '--help' || name === '-h') {
    terminal.stdout.write(HELP)
    return 0
  }
  if (name === '--version' || name === '-v') {
    terminal.stdout.write(`${readVersion()}\n`)
    return 0
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined) {
    terminal.stderr.write(`runify: there is no command ${JSON.stringify(name)}, see runify --help\n`)
    return 2
  }
  if (args.includes('--help') || args.includes('-h')) {
    terminal.stdout.write(command.help)
    return 0
  }
  try {
    return await command.run(args, terminal)
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    const hint = error instanceof UsageError ? `, see runify ${name} --help` : ''
    terminal.stderr.write(`runify ${name}: ${error.message}${hint}\n`)
    return 2
  }
}
