import { setTimeout as sleep } from 'node:timers/promises'
import { eventBodies, getJson, percentile, type Row, startRunify } from './bench-system.ts'

const EVENTS = 40

/** How long after its POST a new event is in Storage and in the statistics, at rest, with the default period of 2 s. */
export async function benchEndToEnd(): Promise<Row[]> {
  const bodies = eventBodies(EVENTS)
  const stored: number[] = []
  const counted: number[] = []
  await using runify = await startRunify()
  const { receiver, storage, processing } = runify.addresses
  for (const [index, body] of bodies.entries()) {
    const started = performance.now()
    const headers = { 'content-type': 'application/json' }
    await fetch(`${receiver}/stats/running`, { method: 'POST', headers, body })
    await untilCount(storage, index + 1, 1)
    stored.push(performance.now() - started)
    await untilCount(processing, index + 1, 10)
    counted.push(performance.now() - started)
    // Not in step with the period: each event is to meet it at another moment.
    await sleep(Math.random() * 500)
  }
  return [
    { name: 'POST → Storage, p50', value: percentile(stored, 0.5), unit: 'ms' },
    { name: 'POST → Storage, p99', value: percentile(stored, 0.99), unit: 'ms' },
    { name: 'POST → statistics, p50', value: percentile(counted, 0.5), unit: 'ms' },
    { name: 'POST → statistics, longest', value: Math.max(...counted), unit: 'ms', target: '≤ 2,500 ms' },
  ]
}

async function untilCount(address: string, count: number, everyMs: number): Promise<void> {
  for (;;) {
    const { num_running_stats } = await getJson<{ num_running_stats: number }>(`${address}/stats`)
    if (num_running_stats >= count) return
    await sleep(everyMs)
  }
}
