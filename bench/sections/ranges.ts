import type { PageEnd, RawDatabase } from '../limits/raw-database.ts'
import { eventBodies } from '../load/event-bodies.ts'
import { closedLoop, gets } from '../load/http-load.ts'
import { median } from '../quantile.ts'
import { atLeast, atMost, type Row } from '../report/results.ts'
import type { Section } from '../section.ts'
import { growthOf, pageRows } from './range-pages.ts'

const ROUNDS = 3
const READERS = 4
const PAGE = 1000
const STARTS = 200
const NEWLINE = 0x0a
const STREAM_RATE_MIN = 100_000
const STREAM_MIB_MAX = 50

/** Pages that begin at any time, and all runs as one stream. */
export const RANGES: Section = {
  about: {
    embedded:
      'GET /stats/running from a random time on, 1,000 events per page, by four readers, and all runs as one NDJSON stream. ' +
      'The limit is the same SELECTs with node:sqlite alone: rows as the driver returns them, no JSON and no HTTP. Then ' +
      'pages of 1,000 by one reader, wherever they are; and how much the process grows while it streams.',
    servers:
      'GET /stats/running from a random time on, 1,000 events per page, by four readers, and all runs as one NDJSON stream. ' +
      'The limit is the same SELECTs with mysql2 alone, pages four at a time: rows as the driver returns them, no JSON and ' +
      'no HTTP. Then pages of 1,000 by one reader, wherever they are; and how much Storage grows while it streams.',
  },
  async measure({ target, dataset, options }) {
    await dataset.stored()
    await using opened = new AsyncDisposableStack()
    const { addresses } = opened.use(await target.start('storage'))
    const database = opened.use(await target.openDatabase())
    const some = someRuns(options.events)
    const starts = some.map(({ timestamp }) => timestamp)
    const paths = starts.map((start) => `/stats/running?limit=${PAGE}&start_timestamp=${encodeURIComponent(start)}`)
    const turns: { limit: number; runify: number; p99: number }[] = []
    for (let round = 0; round <= ROUNDS; round++) {
      const limit = await rawPageRate(database, starts.map(Date.parse), options.seconds)
      const loop = { connections: READERS, seconds: options.seconds }
      const { rate, p99 } = await closedLoop(addresses.storage, gets(paths), loop)
      // The first round warms both up.
      if (round > 0) turns.push({ limit, runify: rate, p99 })
    }
    const rawStream = await rawStreamRate(database)
    const read = () => streamRate(`${addresses.storage}/stats/running`, options.events)
    const { result: stream, mib } = await growthOf(addresses.storage, read)
    const pages = await pageRows(addresses.storage, { times: starts, users: some.map(({ user_id }) => user_id) })
    return [
      { name: 'the SELECT alone', value: median(turns.map(({ limit }) => limit)), unit: 'pages/s' },
      {
        name: 'pages of 1,000 events',
        value: median(turns.map(({ runify }) => runify)),
        unit: 'pages/s',
        ratio: median(turns.map(({ limit, runify }) => runify / limit)),
      },
      { name: 'pages, p99', value: median(turns.map(({ p99 }) => p99)), unit: 'ms' },
      { name: 'the SELECTs of all runs alone', value: rawStream, unit: 'rows/s' },
      {
        name: 'all runs as one stream',
        value: stream.rate,
        unit: 'events/s',
        ratio: stream.rate / rawStream,
        target: atLeast(STREAM_RATE_MIN),
      },
      { name: 'the stream, bytes', value: stream.bytesRate / 1e6, unit: 'MB/s' },
      { name: 'the stream, memory that it adds', value: mib, unit: 'MiB', target: atMost(STREAM_MIB_MAX) },
      ...pages,
    ] satisfies Row[]
  },
}

/** Of those that are stored. What they are chosen from is garbage when it returns: one reader's times are taken in this process. */
function someRuns(events: number): { timestamp: string; user_id: string }[] {
  const pool = eventBodies(events < 100_000 ? events : 100_000)
  return Array.from({ length: STARTS }, () => JSON.parse(pool[Math.floor(Math.random() * pool.length)] as string))
}

async function rawPageRate(database: RawDatabase, times: readonly number[], seconds: number): Promise<number> {
  const started = performance.now()
  const end = started + seconds * 1000
  let pages = 0
  const read = async () => {
    // One more than a page has tells whether there is a next.
    while (performance.now() < end) {
      await database.page({ time: times[pages++ % times.length] as number }, PAGE + 1)
    }
  }
  await Promise.all(Array.from({ length: READERS }, read))
  return (pages / (performance.now() - started)) * 1000
}

async function rawStreamRate(database: RawDatabase): Promise<number> {
  const started = performance.now()
  let rows = 0
  let after: PageEnd | undefined
  for (;;) {
    const page = await database.page({ time: after?.timestamp ?? 0, ...(after && { after }) }, PAGE)
    rows += page.rows
    after = page.end
    if (page.rows < PAGE) return (rows / (performance.now() - started)) * 1000
  }
}

async function streamRate(url: string, events: number): Promise<{ rate: number; bytesRate: number }> {
  const started = performance.now()
  const response = await fetch(url, { headers: { accept: 'application/x-ndjson' } })
  if (!response.ok || response.body === null) throw new Error(`${url} answered ${response.status}`)
  let [bytes, lines] = [0, 0]
  for await (const chunk of response.body) {
    bytes += chunk.byteLength
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) lines++
  }
  const seconds = (performance.now() - started) / 1000
  if (lines !== events) throw new Error(`${events} events are stored, the stream has ${lines}`)
  return { rate: lines / seconds, bytesRate: bytes / seconds }
}
