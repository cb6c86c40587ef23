import autocannon from 'autocannon'
import { eventBodies, median, type Row, startBare, startRunify } from './bench-system.ts'

const CONNECTIONS = 64
const SECONDS = 6
const ROUNDS = 3

/** Acknowledged events a second by single POSTs, closed loop, beside a bare server that only parses and answers. */
export async function benchSingle(): Promise<Row[]> {
  const bodies = eventBodies(1000)
  const rates = { bare: [] as number[], runify: [] as number[] }
  const p99: number[] = []
  await using bare = await startBare()
  await using runify = await startRunify()
  await load(bare.address, bodies, 2)
  await load(runify.addresses.receiver, bodies, 2)
  for (let round = 0; round < ROUNDS; round++) {
    rates.bare.push((await load(bare.address, bodies, SECONDS)).rate)
    const result = await load(runify.addresses.receiver, bodies, SECONDS)
    rates.runify.push(result.rate)
    p99.push(result.p99)
    await runify.caughtUp()
  }
  const limit = median(rates.bare)
  const reached = median(rates.runify)
  return [
    { name: `bare server, ${CONNECTIONS} connections`, value: limit, unit: 'requests/s' },
    { name: 'single POSTs acknowledged', value: reached, unit: 'events/s', ratio: reached / limit, target: 0.5 },
    { name: 'single POSTs, p99', value: median(p99), unit: 'ms' },
  ]
}

async function load(address: string, bodies: string[], seconds: number): Promise<{ rate: number; p99: number }> {
  const result = await autocannon({
    url: address,
    connections: CONNECTIONS,
    duration: seconds,
    requests: bodies.map((body) => ({
      method: 'POST',
      path: '/stats/running',
      headers: { 'content-type': 'application/json' },
      body,
    })),
  })
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${result.non2xx} refused, ${result.errors} errors`)
  return { rate: result['2xx'] / result.duration, p99: result.latency.p99 }
}
