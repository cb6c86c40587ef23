import { setTimeout as sleep } from 'node:timers/promises'
import { getJson, post } from '../load/http-load.ts'
import type { Addresses } from '../target/target.ts'

/** Milliseconds from the beginning of the POST. */
export type Freshness = { stored: number[]; counted: number[] }

export const PROBES_A_SECOND = 10
const STORED_POLL_MS = 1
const COUNTED_POLL_MS = 10
const SEEN_MS_MAX = 60_000

/**
 * Posts so many runs at random moments, each of a user of its own: when Processing knows the user, the run is counted,
 * whatever else is being posted.
 */
export async function probeFreshness(addresses: Addresses, count: number): Promise<Freshness> {
  const stored: number[] = []
  const counted: number[] = []
  const waiting: { user_id: string; started: number }[] = []
  const probe = async () => {
    const started = performance.now()
    const user_id = crypto.randomUUID()
    waiting.push({ user_id, started })
    const run = { user_id, duration: 1993, distance: 4689.24, timestamp: new Date().toISOString() }
    const { trace_id } = JSON.parse(await post(addresses.receiver, 'application/json', JSON.stringify(run)))
    await until(() => isStored(addresses.storage, trace_id), STORED_POLL_MS)
    stored.push(performance.now() - started)
  }
  // Only the oldest is asked for, because Processing counts in the order of the log: asking costs what is measured.
  const watchCounted = async () => {
    while (counted.length < count) {
      const [oldest] = waiting
      if (oldest === undefined) await sleep(COUNTED_POLL_MS)
      else {
        await until(() => isCounted(addresses.processing, oldest.user_id), COUNTED_POLL_MS)
        counted.push(performance.now() - oldest.started)
        waiting.shift()
      }
    }
  }
  const watching = watchCounted()
  const probes: Promise<void>[] = []
  for (let i = 0; i < count; i++) {
    probes.push(probe())
    // Not in step with Processing's period: each is to meet it at another moment.
    await sleep((Math.random() * 2 * 1000) / PROBES_A_SECOND)
  }
  await Promise.all([watching, ...probes])
  return { stored, counted }
}

async function isStored(storage: string, traceId: string): Promise<boolean> {
  const response = await fetch(`${storage}/events/${traceId}`)
  await response.arrayBuffer()
  if (response.status !== 200 && response.status !== 404) throw new Error(`Storage answered ${response.status}`)
  return response.status === 200
}

async function isCounted(processing: string, user_id: string): Promise<boolean> {
  const url = `${processing}/stats?user_id=${user_id}`
  return (await getJson<{ num_running_stats: number }>(url)).num_running_stats > 0
}

async function until(seen: () => Promise<boolean>, pollMs: number): Promise<void> {
  const end = performance.now() + SEEN_MS_MAX
  while (!(await seen())) {
    if (performance.now() > end) throw new Error(`an event was not seen within ${SEEN_MS_MAX} ms`)
    await sleep(pollMs)
  }
}
