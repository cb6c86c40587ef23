import { pipeline } from 'node:stream/promises'
import { readStorageAccess } from '../../config.ts'
import { CATALOGUE, EVENT_TYPES, type EventType } from '../../events/catalogue.ts'
import { type Command, CommandError, oneOf, parseOptions, type Terminal, UsageError } from '../command.ts'
import { writeOutput } from '../output-file.ts'
import { Progress } from '../progress.ts'
import { askService, instantOption, pathAt, readAddress, readKey, readUser, reasonOf } from '../service-options.ts'
import { BYTE_ORDER_MARK, withoutFormulas } from '../spreadsheet-csv.ts'

const HELP = `runify export: writes what Storage holds to a file

usage: runify export [OPTIONS]

  --type TYPE        ${EVENT_TYPES.join(' or ')}; when left out, all, one after the other
  --from TIME        events at this time or later; an RFC 3339 date-time such as 2024-05-01T06:30:00Z
  --to TIME          events before this time
  --by TIME-OF       timestamp, when they began, or date_created, when Runify received them (timestamp)
  --user ID          events of this user only
  --format FORMAT    ndjson, or csv, which needs --type (ndjson)
  --safe-for-spreadsheets
                     of csv: an apostrophe before texts that a spreadsheet would run as a formula
  --bom              of csv: a byte order mark before all, by which Excel knows UTF-8
  --out FILE         where to; when left out, stdout
  --storage URL      Storage (RUNIFY_STORAGE_URL, or http://127.0.0.1:8090)
  --key KEY          the API key of scope read, if Storage wants one (RUNIFY_READ_KEY)
  --key-file FILE    where the key is read from, so that it is not in the list of processes
  --quiet            no progress

Events are in the order of their time. FILE is there when all of it is there, and not before: until then it is FILE.part,
which goes when something breaks off. A FILE that exists keeps its permissions, and a link, FIFO or device stays what it is.
What is stored while the export runs may be in it or not.

Exit codes: 0 all is written · 2 a wrong command line, or it could not be done
`

export const EXPORT: Command = { summary: 'write what is stored to a file', help: HELP, run: exportEvents }

type Export = {
  storage: URL
  key: string | undefined
  types: readonly EventType[]
  csv: { safe: boolean; bom: boolean } | undefined
  search: string
}

const NEWLINE = 0x0a

async function exportEvents(args: string[], terminal: Terminal): Promise<number> {
  const { what, out, quiet } = await readOptions(args)
  const now = () => performance.now()
  const startMs = now()
  const progress = new Progress(terminal.stderr, { quiet: quiet || out === undefined, bytesTotal: undefined, now })
  const interruption = new AbortController()
  const interrupt = () => interruption.abort()
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
  const seen = { lines: 0 }
  const read = readAll(what, interruption.signal, (lines) => {
    seen.lines += lines
    progress.addEvents(lines)
  })
  const chunks = forSpreadsheets(read, what.csv)
  try {
    if (out === undefined) await pipeline(chunks, terminal.stdout, { end: false })
    else await writeOutput(out, chunks)
  } catch (error) {
    progress.end()
    // Whoever reads stdout has enough.
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return 0
    if (interruption.signal.aborted) throw new CommandError('interrupted')
    throw error instanceof CommandError ? error : new CommandError((error as Error).message, { cause: error })
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
  }
  progress.end()
  // Of a CSV, the first line is no event.
  const events = what.csv === undefined ? seen.lines : seen.lines - 1
  if (out !== undefined && !quiet)
    terminal.stderr.write(`exported  ${events}\nduration  ${((now() - startMs) / 1000).toFixed(1)} s\n`)
  return 0
}

async function* readAll(
  { storage, key, types, csv, search }: Export,
  signal: AbortSignal,
  onLines: (count: number) => void,
): AsyncGenerator<Uint8Array> {
  for (const type of types) {
    const headers = { accept: csv === undefined ? 'application/x-ndjson' : 'text/csv' }
    const response = await askService(pathAt(storage, `${CATALOGUE[type].path}${search}`), { key, headers, signal })
    try {
      for await (const chunk of response.body ?? []) {
        onLines(countLines(chunk))
        yield chunk
      }
    } catch (error) {
      throw new CommandError(`${storage.origin} broke off: ${reasonOf(error as Error)}`, { cause: error })
    }
  }
}

async function* forSpreadsheets(chunks: AsyncIterable<Uint8Array>, csv: Export['csv']): AsyncGenerator<Uint8Array> {
  if (csv?.bom) yield BYTE_ORDER_MARK
  yield* csv?.safe ? withoutFormulas(chunks) : chunks
}

/** Of a CSV the ends `\r\n` are those of lines; within quotes a name may have an end, which is then counted too. */
function countLines(chunk: Uint8Array): number {
  let lines = 0
  for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) lines++
  return lines
}

async function readOptions(args: string[]) {
  const { values, positionals } = parseOptions(args, {
    type: { type: 'string' },
    from: { type: 'string' },
    to: { type: 'string' },
    by: { type: 'string', default: 'timestamp' },
    user: { type: 'string' },
    format: { type: 'string', default: 'ndjson' },
    'safe-for-spreadsheets': { type: 'boolean', default: false },
    bom: { type: 'boolean', default: false },
    out: { type: 'string' },
    storage: { type: 'string' },
    key: { type: 'string' },
    'key-file': { type: 'string' },
    quiet: { type: 'boolean', short: 'q', default: false },
  })
  if (positionals.length > 0) throw new UsageError(`${JSON.stringify(positionals[0])} is no option: the file is --out`)
  const isCsv = oneOf('--format', values.format, ['ndjson', 'csv']) === 'csv'
  const csv = { safe: values['safe-for-spreadsheets'], bom: values.bom }
  if (!isCsv && (csv.safe || csv.bom)) throw new UsageError('--safe-for-spreadsheets and --bom need --format csv')
  const type = values.type === undefined ? undefined : oneOf('--type', values.type, EVENT_TYPES)
  if (isCsv && type === undefined)
    throw new UsageError('--format csv needs --type, because the columns of types differ')
  const query = {
    start_timestamp: readTime('--from', values.from),
    end_timestamp: readTime('--to', values.to),
    user_id: values.user === undefined ? undefined : readUser(values.user),
    by: oneOf('--by', values.by, ['timestamp', 'date_created']),
  }
  const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined)
  const defaults = readStorageAccess()
  const key = await readKey({ key: values.key, keyFile: values['key-file'], fallback: defaults.key })
  const what: Export = {
    storage: readAddress('--storage', values.storage ?? defaults.url),
    key,
    types: type === undefined ? EVENT_TYPES : [type],
    csv: isCsv ? csv : undefined,
    search: `?${new URLSearchParams(given)}`,
  }
  return { what, out: values.out, quiet: values.quiet }
}

function readTime(option: string, text: string | undefined): string | undefined {
  return text === undefined ? undefined : instantOption(option, text)
}
