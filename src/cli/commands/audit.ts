import { readServiceAccess } from '../../config.ts'
import { formatInstant, MS_PER_HOUR } from '../../events/instant.ts'
import { type Command, CommandError, parseOptions, type Terminal, UsageError } from '../command.ts'
import { askService, instantOption, pathAt, readAddress, readKey } from '../service-options.ts'

const HELP = `runify audit: whether what was accepted is in the log, stored and counted

usage: runify audit [OPTIONS]

  --from TIME        events received in this hour or later, as 2024-05-01T06:00:00Z (24 hours before --to)
  --to TIME          events received before this hour (the end of the hour that it is now)
  --analyzer URL     the Analyzer (RUNIFY_ANALYZER_URL, or http://127.0.0.1:8110)
  --key KEY          the API key of scope read, if the Analyzer wants one (RUNIFY_READ_KEY)
  --key-file FILE    where the key is read from, so that it is not in the list of processes
  --json             the whole answer instead of a table

A line for each type and hour, then what differs: events of the log that are missing from the store, rows that are doubled,
rows that were changed. Before these, which is no difference, the events that cannot be counted.

Exit codes: 0 nothing differs · 1 something does, or it could not all be compared · 2 a wrong command line, or it could not be done
`

export const AUDIT: Command = { summary: 'compare the log, the store and the statistics', help: HELP, run: audit }

const HOURS = 24
const COLUMNS = ['type', 'hour', 'accepted', 'stored', 'counted', 'pending', 'dead_letters', 'forgotten'] as const

type Hour = Record<(typeof COLUMNS)[number], string | number> & {
  equal: boolean | null
  rightly_counted: boolean
  lost?: number
}
type Difference = { type: string; trace_id: string | null; partition: number; offset: number; detail: string }
type Answer = {
  equal: boolean
  complete: boolean
  hours: Hour[]
  uncounted?: Difference[]
  differences: Record<string, Difference[]>
}

async function audit(args: string[], { stdout }: Terminal): Promise<number> {
  const { values, positionals } = parseOptions(args, {
    from: { type: 'string' },
    to: { type: 'string' },
    analyzer: { type: 'string' },
    key: { type: 'string' },
    'key-file': { type: 'string' },
    json: { type: 'boolean', default: false },
  })
  if (positionals.length > 0) throw new UsageError(`${JSON.stringify(positionals[0])} is too much`)
  const defaults = readServiceAccess('analyzer')
  const key = await readKey({ key: values.key, keyFile: values['key-file'], fallback: defaults.key })
  const to = values.to === undefined ? endOfHour() : instantOption('--to', values.to)
  const from =
    values.from === undefined
      ? formatInstant(Date.parse(to) - HOURS * MS_PER_HOUR)
      : instantOption('--from', values.from)
  const url = pathAt(
    readAddress('--analyzer', values.analyzer ?? defaults.url),
    `/audit?${new URLSearchParams({ from, to })}`,
  )
  const response = await askService(url, { key })
  const answer = (await response.json().catch((error: Error) => {
    // The Analyzer had begun to answer when it failed.
    throw new CommandError('the audit broke off; the log of the Analyzer says why', { cause: error })
  })) as Answer
  stdout.write(values.json ? `${JSON.stringify(answer, null, 2)}\n` : tableOf(answer))
  return answer.equal ? 0 : 1
}

function endOfHour(): string {
  return formatInstant((Math.floor(Date.now() / MS_PER_HOUR) + 1) * MS_PER_HOUR)
}

function tableOf({ equal, complete, hours, uncounted = [], differences }: Answer): string {
  const rows = [
    [...COLUMNS, ''],
    ...hours.map((hour) => [...COLUMNS.map((name) => String(hour[name])), verdictOf(hour)]),
  ]
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => (row[at] as string).length))) ?? []
  const table = rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] as number))
      .join('  ')
      .trimEnd(),
  )
  const found = Object.entries({ uncounted, ...differences }).flatMap(([kind, some]) =>
    some.map(({ type, trace_id, partition, offset, detail }) => {
      return `${kind.padEnd(8)} ${type} ${trace_id ?? '-'} at ${partition}:${offset}: ${detail}`
    }),
  )
  const verdict = equal ? 'nothing differs' : complete ? 'not equal' : 'so much differs that the audit ended early'
  return `${[...table, ...found, verdict].join('\n')}\n`
}

function verdictOf({ equal, rightly_counted, lost = 0 }: Hour): string {
  if (lost > 0) return `differs, and the log has lost ${lost}`
  if (equal === null) return 'the log is no longer whole'
  return equal ? 'equal' : rightly_counted ? 'differs' : 'differs, also from what is counted'
}
