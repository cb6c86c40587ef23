import { openLoop, quantile } from '../../test-support/open-loop.ts'
import { startBareAppender, startBareParser } from '../limits/bare-process.ts'
import { eventBodies } from '../load/event-bodies.ts'
import { closedLoop, posts } from '../load/http-load.ts'
import { caughtUp } from '../progress.ts'
import { median } from '../quantile.ts'
import { atMost, type Row } from '../report/results.ts'
import { type Section, startPosting } from '../section.ts'

const PATH = '/stats/running'
const BODIES = 1000
const ROUNDS = 3
const SHARES = [0.5, 0.8]
const QUANTILES = { p50: 0.5, p99: 0.99, 'p99.9': 0.999 }
type Latencies = Record<keyof typeof QUANTILES, number>
/** A request never waits for a connection as long as there are more of them than can be under way. */
const CONNECTIONS_MAX = 1000

/** Single POSTs at a given rate, each timed from when it was due: what waits is not left out. */
export const OPEN_LOOP: Section = {
  about: {
    embedded:
      'Single POSTs at a fixed rate, whether they are answered or not: 50 and 80 % of what a closed loop has just reached. ' +
      'Each is timed from when it was due, so waiting is included. The limit is the bare node:http server that parses, at ' +
      'the same rate.',
    servers:
      'Single POSTs at a fixed rate, whether they are answered or not: 50 and 80 % of what a closed loop has just reached. ' +
      'Each is timed from when it was due, so waiting is included. The limit is the bare node:http server that parses and ' +
      'appends to Kafka, at the same rate.',
  },
  async measure(run) {
    const { target, options } = run
    const bodies = eventBodies(BODIES)
    await using opened = new AsyncDisposableStack()
    const { addresses } = opened.use(await startPosting(run))
    const bare = opened.use(
      target.on === 'embedded'
        ? await startBareParser()
        : await startBareAppender({ address: target.kafka.address, topic: await target.createTopic('bench.single') }),
    )
    const settle = async () => {
      if (target.on === 'embedded') await caughtUp(addresses)
    }
    for (const address of [bare.address, addresses.receiver]) await closedLoop(address, posts(PATH, bodies), options)
    await settle()
    const { rate: closed } = await closedLoop(addresses.receiver, posts(PATH, bodies), options)
    await settle()
    const rows: Row[] = [{ name: 'closed loop', value: closed, unit: 'events/s' }]
    for (const share of SHARES) {
      const turns: { bare: Latencies; runify: Latencies }[] = []
      const load = { bodies, rate: closed * share, seconds: options.seconds }
      for (let round = 0; round < ROUNDS; round++) {
        turns.push({ bare: await latencies(bare.address, load), runify: await latencies(addresses.receiver, load) })
        await settle()
      }
      rows.push(...toRows(share, turns))
    }
    return rows
  },
}

async function latencies(
  address: string,
  load: { bodies: string[]; rate: number; seconds: number },
): Promise<Latencies> {
  const answers = await openLoop({ ...load, address, path: PATH, connectionsMax: CONNECTIONS_MAX })
  const others = [...answers.latencies.keys()].filter((status) => status !== 201)
  if (others.length > 0 || answers.broken > 0) {
    throw new Error(`${address} answered ${others.join(', ')}, and ${answers.broken} connections broke`)
  }
  const times = answers.latencies.get(201)
  return Object.fromEntries(Object.entries(QUANTILES).map(([name, part]) => [name, quantile(times, part)])) as Latencies
}

function toRows(share: number, turns: readonly { bare: Latencies; runify: Latencies }[]): Row[] {
  const at = `at ${share * 100} %`
  return Object.keys(QUANTILES).flatMap((key) => {
    const name = key as keyof Latencies
    return [
      { name: `bare server ${at}, ${name}`, value: median(turns.map(({ bare }) => bare[name])), unit: 'ms' },
      {
        name: `POSTs ${at}, ${name}`,
        value: median(turns.map(({ runify }) => runify[name])),
        unit: 'ms',
        ratio: median(turns.map(({ bare, runify }) => bare[name] / runify[name])),
        ...(share === 0.5 && name === 'p99' && { target: atMost(10) }),
      },
    ]
  })
}
