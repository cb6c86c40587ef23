import { randomUUID } from 'node:crypto'
import { startBareAnswer } from '../limits/bare-process.ts'
import { eventBodies } from '../load/event-bodies.ts'
import { closedLoop, gets, getText, type Loop, sendAll } from '../load/http-load.ts'
import { longHistory } from '../load/long-history.ts'
import { OneReader } from '../load/one-reader.ts'
import { caughtUp } from '../progress.ts'
import { quantile } from '../quantile.ts'
import { atMost, type Row } from '../report/results.ts'
import type { Section } from '../section.ts'
import type { Addresses } from '../target/target.ts'
import { askInTurns, READERS } from './answers.ts'

/** As Processing asks for them where nothing else is set: 1,000 changes embedded, 5,000 on MySQL. */
const CHANGES = { embedded: 1000, servers: 5000 }

/** How fast changes are counted, and how fast the statistics are told. */
export const STATISTICS: Section = {
  about: {
    embedded:
      'All events are stored; Processing starts and counts them. The limit is reading the same changes with node:sqlite ' +
      'alone, 1,000 at a time. Then GET /stats for everybody and for one user, by eight readers, whose p99 is in whole ' +
      'milliseconds, and by one; the limit is a bare node:http server that sends the same bytes. Then all days, in ' +
      'Europe/Berlin, and the records of a user with 100,000 runs in 20 years (no more than there are events), by one ' +
      'reader and by eight.',
    servers:
      'All events are stored; Processing starts and counts them, through Storage’s GET /changes. The limit is reading the ' +
      'same changes with mysql2 alone, 5,000 at a time. Then GET /stats for everybody and for one user, by eight readers, ' +
      'whose p99 is in whole milliseconds, and by one; the limit is a bare node:http server that sends the same bytes. Then ' +
      'all days, in Europe/Berlin, and the records of a user with 100,000 runs in 20 years (no more than there are events), ' +
      'by one reader and by eight.',
  },
  async measure({ target, dataset, options }) {
    const counted = await dataset.counted()
    await using opened = new AsyncDisposableStack()
    const database = opened.use(await target.openDatabase())
    const read = await database.changesRate(CHANGES[target.on])
    const { addresses } = opened.use(await target.start('receiver', 'storage', 'processing'))
    const { user_id } = JSON.parse(eventBodies(1)[0] as string) as { user_id: string }
    const loop = { connections: READERS, seconds: options.seconds }
    return [
      { name: 'reading the changes alone', value: read, unit: 'events/s' },
      { name: 'changes counted', value: counted, unit: 'events/s', ratio: counted / read },
      ...(await askingRows('GET /stats', `${addresses.processing}/stats`, { loop, p99Max: TOTALS_MS_MAX })),
      ...(await askingRows('GET /stats of a user', `${addresses.processing}/stats?user_id=${user_id}`, { loop })),
      ...(await historyRows(addresses, { runs: Math.min(HISTORY_RUNS, options.events), loop })),
    ]
  },
}

const HISTORY_RUNS = 100_000
const TOTALS_MS_MAX = 5
const HISTORY_MS_MAX = 10
/** So many answers have a p99. */
const ASKED = 1000

/** One user's whole history. The first answer after a change is made anew, and the others are that one again. */
async function historyRows(addresses: Addresses, { runs, loop }: { runs: number; loop: Loop }): Promise<Row[]> {
  const user_id = randomUUID()
  await sendAll(addresses.receiver, 'application/x-ndjson', longHistory(user_id, runs))
  await caughtUp(addresses)
  const rows: Row[] = []
  for (const [name, path] of [
    ['all days of 20 years', `/stats/daily?user_id=${user_id}&limit=10000&time_zone=Europe/Berlin`],
    ['all records of 20 years', `/stats/records?user_id=${user_id}&time_zone=Europe/Berlin`],
  ] as const) {
    using reader = new OneReader(addresses.processing)
    const [first = 0, ...others] = await reader.times(path, ASKED)
    await using bare = await startBareAnswer(await getText(`${addresses.processing}${path}`))
    using bareReader = new OneReader(bare.address)
    const limit = quantile(await bareReader.times('/', ASKED), 0.99)
    const p99 = quantile(others, 0.99)
    rows.push(
      { name: `${name}, the first answer`, value: first, unit: 'ms' },
      { name: 'bare server, the same bytes, p99', value: limit, unit: 'ms' },
      { name: `${name}, p99`, value: p99, unit: 'ms', ratio: limit / p99, target: atMost(HISTORY_MS_MAX) },
    )
    const { rate } = await closedLoop(addresses.processing, gets([path]), loop)
    rows.push({ name: `${name}, ${loop.connections} readers`, value: rate, unit: 'requests/s' })
  }
  return rows
}

async function askingRows(
  name: string,
  url: string,
  { loop, p99Max }: { loop: Loop; p99Max?: number },
): Promise<Row[]> {
  const { origin, pathname, search } = new URL(url)
  const path = `${pathname}${search}`
  using reader = new OneReader(origin)
  await using bare = await startBareAnswer(await getText(url))
  const requests = gets([path])
  const { rows, p99 } = await askInTurns({ name, address: origin, requests }, bare, loop)
  return [
    ...rows,
    { name: `${name}, eight readers, p99`, value: p99, unit: 'ms' },
    {
      name: `${name}, one reader, p99`,
      value: quantile(await reader.times(path, ASKED), 0.99),
      unit: 'ms',
      ...(p99Max !== undefined && { target: atMost(p99Max) }),
    },
  ]
}
