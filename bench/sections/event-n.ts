import { startBareAnswer } from '../limits/bare-process.ts'
import { gets, getText } from '../load/http-load.ts'
import { OneReader } from '../load/one-reader.ts'
import { quantile } from '../quantile.ts'
import type { Row } from '../report/results.ts'
import type { Section } from '../section.ts'
import { askInTurns, READERS } from './answers.ts'

/** So many different ones are known when it is warm. */
const INDEXES = 5000
const STARTS = 10
/** After each start, so that the first answer of all is part of what counts. */
const ASKED_COLD = 50
const ASKED = 100
const ASKED_WARM = 1000

const COLD_MS_MAX = 40
const WARM_MS_MAX = 10

/** The event with index n: at random before and after many were asked for, the first, the middle and the last. */
export const EVENT_N: Section = {
  about: {
    embedded:
      'GET /running?index=n on the Analyzer: 50 different random events just after it has started, one request at a time, ' +
      'over ten starts (cold); the first, the middle and the last event, 100 times each; 5,000 random ones by eight ' +
      'readers; then 1,000 others, again one request at a time (warm). The limit is a bare node:http server that sends the ' +
      'same bytes.',
    servers:
      'GET /running?index=n on the Analyzer, which finds the event in Kafka by its time and keeps no index: 50 different ' +
      'random events just after it has started, one request at a time, over ten starts (cold); the first, the middle and ' +
      'the last event, 100 times each; 5,000 random ones by eight readers; then 1,000 others, again one request at a time ' +
      '(warm). The limit is a bare node:http server that sends the same bytes.',
  },
  async measure({ target, dataset, options }) {
    await dataset.logged()
    const pathOf = (index: number) => `/running?index=${index}`
    const anyPath = () => pathOf(Math.floor(Math.random() * options.events))
    const anyTimes = async (reader: OneReader, count: number) => {
      const times: number[] = []
      for (let asked = 0; asked < count; asked++) times.push((await reader.ask(anyPath())).ms)
      return times
    }
    const cold: number[] = []
    for (let start = 0; start < STARTS; start++) {
      await using running = await target.start('analyzer')
      using reader = new OneReader(running.addresses.analyzer)
      cold.push(...(await anyTimes(reader, ASKED_COLD)))
    }
    const rows = rowsOf('random events, cold', cold, COLD_MS_MAX)
    await using opened = new AsyncDisposableStack()
    const { addresses } = opened.use(await target.start('analyzer'))
    const reader = opened.use(new OneReader(addresses.analyzer))
    const last = options.events - 1
    const bare = opened.use(await startBareAnswer(await getText(`${addresses.analyzer}${pathOf(last)}`)))
    const bareReader = opened.use(new OneReader(bare.address))
    for (const [name, index] of Object.entries({ first: 0, middle: Math.floor(last / 2), last })) {
      const limit = quantile(await bareReader.times('/', ASKED), 0.5)
      const times = await reader.times(pathOf(index), ASKED)
      const p50 = quantile(times, 0.5)
      rows.push(
        { name: `the ${name} event, p50`, value: p50, unit: 'ms', ratio: limit / p50 },
        { name: `the ${name} event, p99`, value: quantile(times, 0.99), unit: 'ms' },
      )
    }
    const loop = { connections: READERS, seconds: options.seconds }
    const requests = gets(Array.from({ length: INDEXES }, anyPath))
    const asked = { name: 'random events', address: addresses.analyzer, requests }
    rows.push(...(await askInTurns(asked, bare, loop)).rows)
    rows.push(...rowsOf('random events, warm', await anyTimes(reader, ASKED_WARM), WARM_MS_MAX))
    return rows
  },
}

function rowsOf(name: string, times: number[], msMax: number): Row[] {
  return [
    { name: `${name}, p50`, value: quantile(times, 0.5), unit: 'ms' },
    {
      name: `${name}, p99`,
      value: quantile(times, 0.99),
      unit: 'ms',
      target: { of: 'value', at: 'most', bound: msMax },
    },
  ]
}
