import { eventBodies, load, median, type Row, startBare, startRunify } from './bench-system.ts'

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
  await load(bare.address, { bodies, connections: CONNECTIONS, seconds: 2 })
  await load(runify.addresses.receiver, { bodies, connections: CONNECTIONS, seconds: 2 })
  for (let round = 0; round < ROUNDS; round++) {
    const limit = await load(bare.address, { bodies, connections: CONNECTIONS, seconds: SECONDS })
    const { rate, p99 } = await load(runify.addresses.receiver, { bodies, connections: CONNECTIONS, seconds: SECONDS })
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
