import autocannon from 'autocannon'
import { eventBodies, median, type Row, startBare, startRunify } from './bench-system.ts'

const CONNECTIONS = 64
const SECONDS = 3
const ROUNDS = 7

/**
 * Acknowledged events a second by single POSTs, closed loop, beside a bare server that only parses and answers. The two
 * take turns, and the ratio is that of each turn: these machines change their speed within minutes.
 */
export async function benchSingle(): Promise<Row[]> {
  const bodies = eventBodies(1000)
  const turns: { bare: number; runify: number; p99: number }[] = []
  await using bare = await startBare()
  await using runify = await startRunify()
  await load(bare.address, bodies, 2)
  await load(runify.addresses.receiver, bodies, 2)
  for (let round = 0; round < ROUNDS; round++) {
    const limit = await load(bare.address, bodies, SECONDS)
    const { rate, p99 } = await load(runify.addresses.receiver, bodies, SECONDS)
    turns.push({ bare: limit.rate, runify: rate, p99 })
    await runify.caughtUp()
  }
  const ratio = median(turns.map((turn) => turn.runify / turn.bare))
  return [
    {
      name: `bare server, ${CONNECTIONS} connections`,
      value: median(turns.map((turn) => turn.bare)),
      unit: 'requests/s',
    },
    {
      name: 'single POSTs acknowledged',
      value: median(turns.map((turn) => turn.runify)),
      unit: 'events/s',
      ratio,
      target: '0.50 of the limit',
    },
    { name: 'single POSTs, p99', value: median(turns.map((turn) => turn.p99)), unit: 'ms' },
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
