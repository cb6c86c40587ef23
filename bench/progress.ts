import { setTimeout as sleep } from 'node:timers/promises'
import { getJson } from './load/http-load.ts'
import type { Addresses } from './target/target.ts'

const POLL_MS = 20

/** Resolves when all that was accepted is stored and counted. */
export async function caughtUp({ processing }: Pick<Addresses, 'processing'>): Promise<void> {
  while ((await getJson<{ behind: number | null }>(`${processing}/stats`)).behind !== 0) await sleep(POLL_MS)
}

/** What Storage and Processing tell at the same path: how many runs, or plays, there are. */
type CountName = 'num_running_stats' | 'num_music_info'

export async function runsAt(address: string, name: CountName = 'num_running_stats'): Promise<number> {
  return (await getJson<Record<CountName, number>>(`${address}/stats`))[name]
}

/**
 * How many a second came until there were `all`. Counts from the first answer, or from `started`, the beginning of the
 * process, where by the first answer most were there already.
 */
export async function growthRate(
  address: string,
  { all, started, name }: { all: number; started: number; name?: CountName },
): Promise<number> {
  const first = await runsAt(address, name)
  const answered = performance.now()
  for (let count = first; count < all; count = await runsAt(address, name)) await sleep(POLL_MS)
  const ended = performance.now()
  const [from, begin] = first * 2 > all ? [0, started] : [first, answered]
  return ((all - from) / (ended - begin)) * 1000
}
