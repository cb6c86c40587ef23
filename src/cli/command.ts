import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'

/** Where a command writes; tests and `runify.ts` give their own. */
export type Terminal = {
  stdin: NodeJS.ReadStream
  stdout: NodeJS.WriteStream
  stderr: NodeJS.WriteStream
}

/** A subcommand. `run` resolves to the exit code: 0 done, 1 done but not all was good. */
export type Command = {
  /** One line for the list of commands. */
  summary: string
  help: string
  run: (args: string[], terminal: Terminal) => Promise<number>
}

/** Why a command cannot go on, for a person: shown as one line, exit code 2. */
export class CommandError extends Error {
  override name = 'CommandError'
}

/** What was typed is wrong; the line also says where help is. */
export class UsageError extends CommandError {
  override name = 'UsageError'
}

/** `parseArgs` in strict mode, its complaints as `UsageError`. */
export function parseOptions<O extends ParseArgsOptionsConfig>(args: string[], options: O) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true })
  } catch (error) {
    // The first sentence says what is wrong; what follows explains how a shell could quote it.
    const [sentence = ''] = (error as Error).message.split(/\. |\n/)
    throw new UsageError(sentence.replace(/\.$/, ''), { cause: error })
  }
}

/** Reads an option that is a whole number in a range. */
export function wholeNumber(option: string, text: string, { min, max }: { min: number; max: number }): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw new UsageError(`${option} must be a whole number from ${min} to ${max}, not ${JSON.stringify(text)}`)
}

export function oneOf<const T extends string>(option: string, text: string, values: readonly T[]): T {
  const value = values.find((known) => known === text)
  if (value !== undefined) return value
  throw new UsageError(`${option} must be ${values.join(' or ')}, not ${JSON.stringify(text)}`)
}
