import { setTimeout as sleep } from 'node:timers/promises'
import { getJson } from './load/http-load.ts'
import type { Addresses } from './site/site.ts'

const POLL_MS = 20

/** Resolves when all that was accepted is stored and counted. */
export async function caughtUp({ processing }: Pick<Addresses, 'processing'>): Promise<void> {
  while ((await getJson<{ behind: number }>(`${processing}/stats`)).behind > 0) await sleep(POLL_MS)
}

/** How many runs Storage has, or Processing has counted: both tell it at the same path. */
export async function runsAt(address: string): Promise<number> {
  return (await getJson<{ num_running_stats: number }>(`${address}/stats`)).num_running_stats
}

/**
 * How many a second came until there were `all`. Counts from the first answer, or from `started`, the beginning of the
 * process, where by the first answer most were there already.
 */
export async function growthRate(address: string, { all, started }: { all: number; started: number }): Promise<number> {
  const first = await runsAt(address)
  const answered = performance.now()
  for (let count = first; count < all; count = await runsAt(address)) await sleep(POLL_MS)
  const ended = performance.now()
  const [from, begin] = first * 2 > all ? [0, started] : [first, answered]
  return ((all - from) / (ended - begin)) * 1000
}
