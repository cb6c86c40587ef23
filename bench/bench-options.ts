import { parseOptions, UsageError, wholeNumber } from '../src/cli/command.ts'
import { SYSTEM_NAMES, type SystemName } from './report/results.ts'

/** In the order in which they run: as the log, the store and the statistics are filled; memory is read last. */
export const SECTION_NAMES = [
  ...['single', 'open-loop', 'batches', 'freshness'],
  ...['event-n', 'catching-up', 'ranges', 'statistics', 'most-played', 'memory'],
] as const
export type SectionName = (typeof SECTION_NAMES)[number]

export type Peer = { name: string; url: string }

export type BenchOptions = {
  on: SystemName
  /** What is stored, 1,000…10,000,000. */
  events: number
  /** How long each turn of a loop takes. */
  seconds: number
  /** Of the loops that post. */
  connections: number
  peers: readonly Peer[]
  sections: readonly SectionName[]
}

export const HELP = `bench: measures Runify, each figure beside its limit in the same run

usage: npm run bench -- [OPTIONS] [SECTION…]

  --on SYSTEM        embedded: one process with its own log and store (standard)
                     servers: a process for each service, Kafka and MySQL in containers that are started and removed
  --events N         how many events are sent and stored, 1000 to 10000000 (1000000)
  --seconds N        how long each turn of a loop takes, 1 to 600 (3)
  --connections N    connections that post, 1 to 1000 (64)
  --peer NAME=URL    in the section single: the same bodies posted to this address too; may be given more than once

sections, all of them where none is named:
  single        single POSTs, closed loop
  open-loop     single POSTs at 50 and 80 % of what the closed loop gave, by the time at which each was due
  batches       NDJSON bodies and JSON arrays
  freshness     POST → visible in Storage → counted in Processing, at rest and under load
  event-n       the event with index n
  catching-up   log → store
  ranges        pages of a range, and the whole as a stream
  statistics    how fast changes are counted, and GET /stats
  most-played   how fast plays are counted, and the most played songs and artists
  memory        the largest memory of every process in this run, with all events going through

On servers, RUNIFY_KAFKA_PARTITIONS is how many partitions each topic has (3), and MYSQL_BUFFER_POOL what MySQL keeps of its tables
in memory (256M).
Everything takes about 10 minutes embedded, and about 10 on servers; ten million events take about an hour.
The results of a section replace its earlier ones in bench/results.json; bench/RESULTS.md and the charts are written anew.

Exit codes: 0 measured · 1 it failed · 2 a wrong command line
`

/** Reads and checks the command line; undefined where help was asked for. Throws a `UsageError`. */
export function readBenchOptions(args: string[]): BenchOptions | undefined {
  const { values, positionals } = parseOptions(args, OPTIONS)
  if (values.help) return undefined
  const on = SYSTEM_NAMES.find((name) => name === values.on)
  if (on === undefined) throw new UsageError(`--on must be ${SYSTEM_NAMES.join(' or ')}, not ${quoted(values.on)}`)
  const unknown = positionals.find((name) => !(SECTION_NAMES as readonly string[]).includes(name))
  if (unknown !== undefined) {
    throw new UsageError(`there is no section ${quoted(unknown)}, but ${SECTION_NAMES.join(', ')}`)
  }
  const sections = SECTION_NAMES.filter((name) => positionals.length === 0 || positionals.includes(name))
  const peers = values.peer.map(readPeer)
  if (new Set(peers.map(({ name }) => name)).size < peers.length) throw new UsageError('two --peer have one name')
  if (peers.length > 0 && !sections.includes('single')) throw new UsageError('--peer is for the section single')
  return {
    on,
    events: wholeNumber('--events', values.events, { min: 1000, max: 10_000_000 }),
    seconds: wholeNumber('--seconds', values.seconds, { min: 1, max: 600 }),
    connections: wholeNumber('--connections', values.connections, { min: 1, max: 1000 }),
    peers,
    sections,
  }
}

const OPTIONS = {
  on: { type: 'string', default: 'embedded' },
  events: { type: 'string', default: '1000000' },
  seconds: { type: 'string', default: '3' },
  connections: { type: 'string', default: '64' },
  peer: { type: 'string', multiple: true, default: [] as string[] },
  help: { type: 'boolean', short: 'h' },
} as const

function readPeer(text: string): Peer {
  const [, name, url] = /^([^=]{1,60})=(.+)$/.exec(text) ?? []
  const parsed = URL.parse(url ?? '')
  if (name !== undefined && parsed !== null && /^https?:$/.test(parsed.protocol)) return { name, url: parsed.href }
  throw new UsageError(
    `--peer must be NAME=URL, such as other=http://localhost:9000/stats/running, not ${quoted(text)}`,
  )
}

function quoted(text: string): string {
  return JSON.stringify(text)
}
