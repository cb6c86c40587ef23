import type { BareServer } from '../limits/bare-process.ts'
import { closedLoop, type Loop, type Request } from '../load/http-load.ts'
import { median } from '../quantile.ts'
import type { Row } from '../report/results.ts'

const ROUNDS = 3
export const READERS = 8

/** The rate of answers beside that of a bare server with the same bytes, in turns; and their p99, milliseconds. */
export async function askInTurns(
  { name, address, requests }: { name: string; address: string; requests: readonly Request[] },
  bare: BareServer,
  loop: Loop,
): Promise<{ rows: Row[]; p99: number }> {
  const turns: { limit: number; runify: number; p99: number }[] = []
  for (let round = 0; round <= ROUNDS; round++) {
    const { rate: limit } = await closedLoop(bare.address, requests, loop)
    const { rate: runify, p99 } = await closedLoop(address, requests, loop)
    // The first round warms both up.
    if (round > 0) turns.push({ limit, runify, p99 })
  }
  const rows: Row[] = [
    { name: 'bare server, the same bytes', value: median(turns.map(({ limit }) => limit)), unit: 'requests/s' },
    {
      name,
      value: median(turns.map(({ runify }) => runify)),
      unit: 'requests/s',
      ratio: median(turns.map(({ limit, runify }) => runify / limit)),
    },
  ]
  return { rows, p99: median(turns.map(({ p99 }) => p99)) }
}
