import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { EventType } from '../../events/catalogue.ts'
import { parseDay } from '../../events/instant.ts'
import { type Command, CommandError, oneOf, parseOptions, type Terminal, UsageError, wholeNumber } from '../command.ts'
import { DEFAULT_UNTIL, GENERATED_TYPES, type GeneratorOptions, generateEvents } from '../generator/generator.ts'

const HELP = `runify generate: writes believable runs and plays of songs as NDJSON

usage: runify generate [OPTIONS]

  --users N      how many runners (50)
  --days N       how many days (365)
  --seed N       which runners, 0 to 4294967295 (7)
  --until DATE   the last day, in UTC (${DEFAULT_UNTIL})
  --type TYPE    only ${GENERATED_TYPES.join(' or only ')}
  --out FILE     where to write instead of stdout; a name that ends in .gz is written with gzip

The same options give the same bytes. Lines come in the order in which phones would send them: a few arrive late, and
a few are sent twice with the same event_id. More days or more users give the same events and further ones, so files
of one seed can be sent one after the other. Both types are in one file, as \`runify send\` takes it.
`

export const GENERATE: Command = { summary: 'write believable events as NDJSON', help: HELP, run: generate }

async function generate(args: string[], terminal: Terminal): Promise<number> {
  const { options, type, out } = readOptions(args)
  try {
    if (out === undefined) await pipeline(lineBlocks(options, type), terminal.stdout, { end: false })
    else if (out.endsWith('.gz')) await pipeline(lineBlocks(options, type), createGzip(), createWriteStream(out))
    else await pipeline(lineBlocks(options, type), createWriteStream(out))
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EPIPE' && out === undefined) return 0
    if (code === undefined || code.startsWith('ERR_')) throw error
    throw new CommandError(`cannot write ${out ?? 'to stdout'}: ${message}`, { cause: error })
  }
  return 0
}

function readOptions(args: string[]) {
  const { values, positionals } = parseOptions(args, {
    users: { type: 'string', default: '50' },
    days: { type: 'string', default: '365' },
    seed: { type: 'string', default: '7' },
    until: { type: 'string', default: DEFAULT_UNTIL },
    type: { type: 'string' },
    out: { type: 'string', short: 'o' },
  })
  if (positionals.length > 0) throw new UsageError(`${JSON.stringify(positionals[0])} is not an option`)
  const options = {
    users: wholeNumber('--users', values.users, { min: 1, max: 1_000_000 }),
    days: wholeNumber('--days', values.days, { min: 1, max: 36_525 }),
    seed: wholeNumber('--seed', values.seed, { min: 0, max: 0xffff_ffff }),
    until: values.until,
  }
  const lastDay = parseDay(options.until)
  if (lastDay === undefined)
    throw new UsageError(`--until must be a day like ${DEFAULT_UNTIL}, not ${JSON.stringify(options.until)}`)
  if (lastDay - options.days + 1 < 0)
    throw new UsageError(`--days ${options.days} until ${options.until} begin before 1970`)
  const type = values.type === undefined ? undefined : oneOf('--type', values.type, GENERATED_TYPES)
  return { options, type, out: values.out }
}

/** Lines in blocks, because a write each would cost more than the event. */
function* lineBlocks(options: GeneratorOptions, type: EventType | undefined): Generator<string> {
  let block = ''
  for (const event of generateEvents(options)) {
    if (type !== undefined && event.type !== type) continue
    block += `${JSON.stringify(event.fields)}\n`
    if (block.length < BLOCK_CHARACTERS) continue
    yield block
    block = ''
  }
  if (block !== '') yield block
}

const BLOCK_CHARACTERS = 64 * 1024
