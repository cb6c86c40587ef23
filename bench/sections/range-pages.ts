import { startBareAnswer } from '../limits/bare-process.ts'
import { getText } from '../load/http-load.ts'
import { OneReader } from '../load/one-reader.ts'
import { quantile } from '../quantile.ts'
import { atMost, type Row } from '../report/results.ts'

/** How many pages are asked of each kind, one after the other, and how many before that to warm up. */
const ASKED = 300
const WARM_UP = 30
const PAGE_MS_MAX = 10
/** As `limit` has it where none is given. */
const PAGE = 1000
const FEW = 7

/** One reader's pages, of the standard size: from a time on, behind a page, and of users in both orders. */
export async function pageRows(
  storage: string,
  { times, users }: { times: readonly string[]; users: readonly string[] },
): Promise<Row[]> {
  const pick = (list: readonly string[]) => encodeURIComponent(list[Math.floor(Math.random() * list.length)] as string)
  const from = () => `start_timestamp=${pick(times)}`
  using reader = new OneReader(storage)
  const kinds: [name: string, paths: () => string | Promise<string>][] = [
    ['a page from a time on', () => `/stats/running?${from()}`],
    ['a page behind another', () => nextOf(reader, `/stats/running?${from()}`)],
    ['a page by when received', () => nextOf(reader, '/stats/running?by=date_created&order=desc')],
    ["a user's page", () => `/stats/running?user_id=${pick(users)}&${from()}`],
    ["a user's page by when received", () => `/stats/running?user_id=${pick(users)}&by=date_created&order=desc`],
  ]
  await using bare = await startBareAnswer(await getText(`${storage}/stats/running?${from()}`))
  using bareReader = new OneReader(bare.address)
  const limit = quantile((await bareReader.times('/', WARM_UP + ASKED)).slice(WARM_UP), 0.99)
  const rows: Row[] = [{ name: "bare server, a page's bytes, one reader, p99", value: limit, unit: 'ms' }]
  for (const [name, path] of kinds) {
    const took: number[] = []
    for (let asked = 0; asked < WARM_UP + ASKED; asked++) {
      const { ms } = await reader.ask(await path())
      if (asked >= WARM_UP) took.push(ms)
    }
    const p99 = quantile(took, 0.99)
    rows.push(
      { name: `${name}, one reader, p50`, value: quantile(took, 0.5), unit: 'ms' },
      {
        name: `${name}, one reader, p99`,
        value: p99,
        unit: 'ms',
        ratio: limit / p99,
        target: atMost(PAGE_MS_MAX),
      },
    )
  }
  return rows
}

/** The page behind the first few events of this one, or this one where there is none. */
async function nextOf(reader: OneReader, path: string): Promise<string> {
  const { head } = await reader.ask(`${path}&limit=${FEW}`)
  const next = /^link: <(.*)>; rel="next"$/im.exec(head)?.[1]
  return next === undefined ? path : next.replace(`limit=${FEW}`, `limit=${PAGE}`)
}

const POLL_INTERVAL_MS = 50

/** By how much the resident memory of a service grew at most during the work, MiB. */
export async function growthOf<T>(service: string, work: () => Promise<T>): Promise<{ result: T; mib: number }> {
  const before = await residentBytes(service)
  let most = before
  let done = false
  const watching = (async () => {
    while (!done) {
      most = Math.max(most, await residentBytes(service))
      await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS))
    }
  })()
  const result = await work().finally(() => {
    done = true
  })
  await watching
  return { result, mib: (most - before) / 1024 / 1024 }
}

async function residentBytes(service: string): Promise<number> {
  const metrics = await (await fetch(`${service}/metrics`)).text()
  return Number(/^process_resident_memory_bytes\S* (\d+)/m.exec(metrics)?.[1])
}
