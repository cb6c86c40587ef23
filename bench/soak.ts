import { eventBodies, getJson, type Row, residentMb, startRunify } from './bench-system.ts'

const EVENTS = Number(process.env.BENCH_EVENTS ?? 5_000_000)
const LINES = 10_000
const POOL_LINES = 100_000

/** Memory of the one process while millions of events go through it, until the last is counted. */
export async function benchSoak(): Promise<Row[]> {
  const pool = eventBodies(POOL_LINES)
  const parts = Array.from({ length: POOL_LINES / LINES }, (_, index) => {
    return Buffer.from(`${pool.slice(index * LINES, (index + 1) * LINES).join('\n')}\n`)
  })
  await using runify = await startRunify()
  const started = performance.now()
  for (let sent = 0; sent < EVENTS; sent += LINES) {
    const body = parts[(sent / LINES) % parts.length] as Buffer
    const headers = { 'content-type': 'application/x-ndjson' }
    const response = await fetch(`${runify.addresses.receiver}/stats/running`, { method: 'POST', headers, body })
    const text = await response.text()
    if (response.status !== 201) throw new Error(`${response.status} ${text}`)
  }
  const sentAfter = (performance.now() - started) / 1000
  await runify.caughtUp()
  const countedAfter = (performance.now() - started) / 1000
  const { num_running_stats } = await getJson<{ num_running_stats: number }>(`${runify.addresses.storage}/stats`)
  if (num_running_stats !== EVENTS) throw new Error(`${EVENTS} sent, ${num_running_stats} stored`)
  return [
    { name: `${EVENTS.toLocaleString('en')} events acknowledged`, value: EVENTS / sentAfter, unit: 'events/s' },
    { name: '… stored and counted', value: EVENTS / countedAfter, unit: 'events/s' },
    { name: 'peak resident memory', value: residentMb(runify.pid, true), unit: 'MB', target: '≤ 250 MB' },
  ]
}
