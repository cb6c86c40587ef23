import type { Peer } from '../bench-options.ts'
import { startBareAppender, startBareParser } from '../limits/bare-process.ts'
import { eventBodies } from '../load/event-bodies.ts'
import { closedLoop, posts } from '../load/http-load.ts'
import { caughtUp } from '../progress.ts'
import { median } from '../quantile.ts'
import { atLeast, atMost, type Row } from '../report/results.ts'
import { type BenchRun, type Section, startPosting } from '../section.ts'

const ROUNDS = 5
const BODIES = 1000
/** For so many connections the target of the latency is meant. */
const CONNECTIONS = 64

/**
 * Single POSTs in a closed loop. All take turns, and a ratio is the median of those of the turns: machines change their
 * speed within minutes.
 */
export const SINGLE: Section = {
  about: {
    embedded:
      'Single POSTs in a closed loop, acknowledged once the log has synced them; all services run. The limit is a bare ' +
      'node:http server that parses the body and answers.',
    servers:
      'Single POSTs in a closed loop, acknowledged once Kafka has them; of Runify, only the Receiver runs. One limit is a ' +
      'bare node:http server that parses the body and answers; the other also appends the same bytes with the client of ' +
      '@platformatic/kafka, acks=-1, batching those of one turn of the event loop.',
  },
  async measure(run) {
    const { target, options } = run
    await using opened = new AsyncDisposableStack()
    const { addresses } = opened.use(await startPosting(run))
    const contenders = [
      { name: PARSER, url: postUrl(opened.use(await startBareParser()).address) },
      ...(target.on === 'servers' ? [{ name: APPENDER, url: await startAppender(opened, target.kafka, target) }] : []),
      ...options.peers,
      { name: RUNIFY, url: postUrl(addresses.receiver) },
    ]
    const turns = await takeTurns(contenders, run, async () => {
      if (target.on === 'embedded') await caughtUp(addresses)
    })
    return toRows(turns, run)
  },
}

const PARSER = 'bare server that parses'
const APPENDER = 'bare server that parses and appends to Kafka'
const RUNIFY = 'single POSTs acknowledged'

type Turn = Map<string, { rate: number; p99: number }>

async function takeTurns(contenders: Peer[], { options }: BenchRun, between: () => Promise<void>): Promise<Turn[]> {
  const bodies = eventBodies(BODIES)
  const turns: Turn[] = []
  for (let round = 0; round <= ROUNDS; round++) {
    const turn: Turn = new Map()
    for (const { name, url } of contenders) turn.set(name, await postTo({ name, url }, bodies, options))
    // The first round warms all of them up.
    if (round > 0) turns.push(turn)
    await between()
  }
  return turns
}

async function postTo({ name, url }: Peer, bodies: readonly string[], loop: { connections: number; seconds: number }) {
  const { origin, pathname, search } = new URL(url)
  try {
    return await closedLoop(origin, posts(`${pathname}${search}`, bodies), loop)
  } catch (cause) {
    throw new Error(`${name} at ${url} does not take what is posted`, { cause })
  }
}

function toRows(turns: readonly Turn[], { target, options }: BenchRun): Row[] {
  const of = (turn: Turn, name: string) => turn.get(name) as { rate: number; p99: number }
  const rate = (name: string) => median(turns.map((turn) => of(turn, name).rate))
  const ratio = (name: string, limit: string) => median(turns.map((turn) => of(turn, name).rate / of(turn, limit).rate))
  const posted = (name: string, limit: string) => ({ value: rate(name), unit: 'events/s', ratio: ratio(name, limit) })
  const onServers = target.on === 'servers'
  const rows: Row[] = [{ name: PARSER, value: rate(PARSER), unit: 'requests/s' }]
  if (onServers) rows.push({ name: APPENDER, ...posted(APPENDER, PARSER) })
  rows.push({ name: RUNIFY, ...posted(RUNIFY, PARSER), target: atLeast(onServers ? 0.55 : 0.5, 'limit') })
  if (onServers) {
    rows.push({
      name: `${RUNIFY}, beside the one that appends`,
      ...posted(RUNIFY, APPENDER),
      target: atLeast(0.9, 'limit'),
    })
  }
  const p99 = median(turns.map((turn) => of(turn, RUNIFY).p99))
  rows.push({
    name: 'single POSTs, p99',
    value: p99,
    unit: 'ms',
    ...(options.connections === CONNECTIONS && { target: atMost(15) }),
  })
  for (const { name } of options.peers) rows.push({ name: `peer: ${name}`, ...posted(name, PARSER) })
  return rows
}

function postUrl(address: string): string {
  return `${address}/stats/running`
}

async function startAppender(
  opened: AsyncDisposableStack,
  kafka: { address: string },
  target: { createTopic(topic: string): Promise<string> },
): Promise<string> {
  const topic = await target.createTopic('bench.single')
  return postUrl(opened.use(await startBareAppender({ address: kafka.address, topic })).address)
}
