import { eventBodies, median, type Row, sendMany, startRunify } from './bench-system.ts'

const LINES = 10_000
const ROUNDS = 5
const REQUESTS_A_ROUND = 30

/** Acknowledged events a second by NDJSON bodies of 10,000 lines; the limit beside it is taking them apart only. */
export async function benchNdjson(): Promise<Row[]> {
  const body = Buffer.from(`${eventBodies(LINES).join('\n')}\n`)
  const rates: number[] = []
  const limits: number[] = []
  await using runify = await startRunify()
  await sendMany(runify.addresses.receiver, body, 5)
  for (let round = 0; round < ROUNDS; round++) {
    limits.push(parseOnly(body))
    const started = performance.now()
    await sendMany(runify.addresses.receiver, body, REQUESTS_A_ROUND)
    rates.push((REQUESTS_A_ROUND * LINES) / ((performance.now() - started) / 1000))
  }
  const started = performance.now()
  await runify.caughtUp()
  const waited = (performance.now() - started) / 1000
  const [limit, reached] = [median(limits), median(rates)]
  return [
    { name: 'JSON.parse of the same lines, alone', value: limit, unit: 'events/s' },
    {
      name: 'NDJSON of 10,000 lines acknowledged',
      value: reached,
      unit: 'events/s',
      ratio: reached / limit,
      target: '≥ 50,000 events/s',
    },
    { name: `… and all ${ROUNDS * REQUESTS_A_ROUND * LINES} counted`, value: waited, unit: 's later' },
  ]
}

function parseOnly(body: Buffer): number {
  const started = performance.now()
  for (const line of body.toString().split('\n')) if (line !== '') JSON.parse(line)
  return LINES / ((performance.now() - started) / 1000)
}
