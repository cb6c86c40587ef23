import { openProducer, toMessage } from '../limits/raw-kafka.ts'
import { eventBodies, LINES_MAX } from '../load/event-bodies.ts'
import { sendAll } from '../load/http-load.ts'
import { caughtUp } from '../progress.ts'
import { median } from '../quantile.ts'
import { atLeast, type Row } from '../report/results.ts'
import { type BenchRun, type Section, startPosting } from '../section.ts'
import type { ServersTarget } from '../target/servers-target.ts'

const ROUNDS = 5
const ARRAY_EVENTS = 1000
/** More of them would take longer and tell no more: rates are the medians of the rounds. */
const EVENTS_MAX = 1_000_000
/** As many as the raw client was found to take best. */
const RAW_BATCH = 500

/** Many events in a request: NDJSON of 10,000 lines and JSON arrays of 1,000, two requests at a time. */
export const BATCHES: Section = {
  about: {
    embedded:
      'NDJSON bodies of 10,000 lines and JSON arrays of 1,000 events, two requests at a time, acknowledged once the log has ' +
      'synced them; all services run, and store and count meanwhile. The limit is JSON.parse of the same lines, alone.',
    servers:
      'NDJSON bodies of 10,000 lines and JSON arrays of 1,000 events, two requests at a time, acknowledged once Kafka has ' +
      'them; of Runify, only the Receiver runs. The limit is the client of @platformatic/kafka alone, with the same ' +
      'messages prepared in advance, in batches of 500, acks=-1.',
  },
  async measure(run) {
    const { target, options } = run
    const lines = eventBodies(Math.min(LINES_MAX, options.events))
    await using opened = new AsyncDisposableStack()
    const { addresses } = opened.use(await startPosting(run))
    const limit = target.on === 'embedded' ? parserOf(lines) : await rawClient(target, lines, opened)
    const repeats = Math.max(1, Math.ceil(Math.min(options.events, EVENTS_MAX) / ROUNDS / lines.length))
    const ndjson = Buffer.from(`${lines.join('\n')}\n`)
    const arrays = arraysOf(lines)
    const events = repeats * lines.length
    const turns: { limit: number; ndjson: number; array: number }[] = []
    for (let round = 0; round <= ROUNDS; round++) {
      const turn = {
        limit: await rateOf(events, () => limit(repeats)),
        ndjson: await rateOf(events, () =>
          sendAll(addresses.receiver, 'application/x-ndjson', repeated([ndjson], repeats)),
        ),
        array: await rateOf(events, () => sendAll(addresses.receiver, 'application/json', repeated(arrays, repeats))),
      }
      // The first round warms all of them up.
      if (round > 0) turns.push(turn)
    }
    const rows = toRows(turns, run)
    if (target.on === 'servers') return rows
    const started = performance.now()
    await caughtUp(addresses)
    const seconds = (performance.now() - started) / 1000
    const all = 2 * (ROUNDS + 1) * events
    return [...rows, { name: `… and all ${all.toLocaleString('en')} counted`, value: seconds, unit: 's later' }]
  },
}

type Limit = (repeats: number) => Promise<void>

function parserOf(lines: readonly string[]): Limit {
  const text = lines.join('\n')
  return async (repeats) => {
    for (let i = 0; i < repeats; i++) for (const line of text.split('\n')) JSON.parse(line)
  }
}

async function rawClient(
  target: ServersTarget,
  lines: readonly string[],
  opened: AsyncDisposableStack,
): Promise<Limit> {
  const topic = await target.createTopic('bench.batches')
  const messages = lines.map((line) => toMessage(topic, JSON.parse(line), crypto.randomUUID()))
  const producer = openProducer(target.kafka.address)
  opened.defer(() => producer.close())
  return async (repeats) => {
    for (let i = 0; i < repeats; i++) {
      for (let at = 0; at < messages.length; at += RAW_BATCH) {
        await producer.send({ messages: messages.slice(at, at + RAW_BATCH), acks: -1 })
      }
    }
  }
}

function arraysOf(lines: readonly string[]): string[] {
  const arrays: string[] = []
  for (let at = 0; at < lines.length; at += ARRAY_EVENTS) {
    arrays.push(`[${lines.slice(at, at + ARRAY_EVENTS).join(',')}]`)
  }
  return arrays
}

function* repeated<T>(bodies: readonly T[], times: number): Generator<T> {
  for (let i = 0; i < times; i++) yield* bodies
}

async function rateOf(events: number, work: () => Promise<void>): Promise<number> {
  const started = performance.now()
  await work()
  return (events / (performance.now() - started)) * 1000
}

function toRows(turns: readonly { limit: number; ndjson: number; array: number }[], { target }: BenchRun): Row[] {
  const onServers = target.on === 'servers'
  const sent = (of: 'ndjson' | 'array') => ({
    value: median(turns.map((turn) => turn[of])),
    unit: 'events/s',
    ratio: median(turns.map((turn) => turn[of] / turn.limit)),
  })
  const limit = median(turns.map((turn) => turn.limit))
  const rows: Row[] = [
    { name: onServers ? 'the client alone, batches of 500' : 'JSON.parse alone', value: limit, unit: 'events/s' },
    { name: 'NDJSON acknowledged', ...sent('ndjson'), target: atLeast(onServers ? 60_000 : 80_000) },
  ]
  if (onServers) rows.push({ name: 'NDJSON beside the client', ...sent('ndjson'), target: atLeast(0.8, 'limit') })
  return [...rows, { name: 'arrays acknowledged', ...sent('array') }]
}
