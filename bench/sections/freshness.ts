import { openLoop } from '../../test-support/open-loop.ts'
import { eventBodies } from '../load/event-bodies.ts'
import { closedLoop, posts } from '../load/http-load.ts'
import { caughtUp } from '../progress.ts'
import { quantile } from '../quantile.ts'
import { atMost, type Row } from '../report/results.ts'
import type { BenchRun, Section } from '../section.ts'
import type { Target } from '../target/target.ts'
import { type Freshness, PROBES_A_SECOND, probeFreshness } from './freshness-probes.ts'

const PATH = '/stats/running'
const BODIES = 1000
/** Of `--seconds`; each probe takes up to two seconds until it is counted. */
const TURNS = 5
const SHARE = 0.5
const CONNECTIONS_MAX = 1000

/** How long after its POST an event is in Storage and in the statistics. */
export const FRESHNESS: Section = {
  about: {
    embedded:
      'From the start of a POST until Storage returns the event by its id, and until Processing has counted it; its period ' +
      'is 2 s. At rest, and alongside an open loop of single POSTs at 50 % of what a closed loop has just reached. The ' +
      'limit is one event at a time appended with a sync, inserted and looked up with node:sqlite alone.',
    servers:
      'From the start of a POST until Storage returns the event by its id, and until Processing has counted it; its period ' +
      'is 2 s. All services run. At rest, and alongside an open loop of single POSTs at 50 % of what a closed loop has just ' +
      'reached. The limit is one event at a time appended to Kafka, inserted into MySQL and looked up, with the bare ' +
      'clients.',
  },
  async measure({ target, options }: BenchRun) {
    const bodies = eventBodies(BODIES)
    await target.clear()
    await using running = await target.start()
    const { addresses } = running
    const seconds = options.seconds * TURNS
    const count = seconds * PROBES_A_SECOND
    // They warm it up, too.
    await closedLoop(addresses.receiver, posts(PATH, bodies), options)
    await caughtUp(addresses)
    const limit = await rawTimes(target, count)
    const atRest = await probeFreshness(addresses, count)
    const { rate: closed } = await closedLoop(addresses.receiver, posts(PATH, bodies), options)
    await caughtUp(addresses)
    const rate = closed * SHARE
    const load = { address: addresses.receiver, path: PATH, bodies, rate, seconds, connectionsMax: CONNECTIONS_MAX }
    const [underLoad, answers] = await Promise.all([probeFreshness(addresses, count), openLoop(load)])
    if (answers.latencies.size !== 1 || answers.broken > 0) throw new Error('the load was not accepted as a whole')
    return toRows(limit, { atRest, underLoad, rate })
  },
}

async function rawTimes(target: Target, count: number): Promise<number[]> {
  await using path = await target.openRawPath()
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const started = performance.now()
    await path.once()
    times.push(performance.now() - started)
  }
  return times
}

function toRows(
  limit: readonly number[],
  { atRest, underLoad, rate }: { atRest: Freshness; underLoad: Freshness; rate: number },
): Row[] {
  const parts = { p50: 0.5, p99: 0.99 }
  const rows: Row[] = []
  const under = `at ${Math.round(rate).toLocaleString('en')} events/s`
  for (const [name, part] of Object.entries(parts)) {
    const raw = quantile(limit, part)
    const stored = (times: readonly number[]) => {
      const value = quantile(times, part)
      return { value, unit: 'ms', ratio: raw / value }
    }
    rows.push(
      { name: `the bare clients, ${name}`, value: raw, unit: 'ms' },
      { name: `POST → Storage at rest, ${name}`, ...stored(atRest.stored) },
      { name: `POST → Storage ${under}, ${name}`, ...stored(underLoad.stored) },
      {
        name: `POST → statistics at rest, ${name}`,
        value: quantile(atRest.counted, part),
        unit: 'ms',
        ...(name === 'p99' && { target: atMost(2500) }),
      },
      { name: `POST → statistics ${under}, ${name}`, value: quantile(underLoad.counted, part), unit: 'ms' },
    )
  }
  return rows
}
