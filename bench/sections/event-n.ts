import { startBareAnswer } from '../limits/bare-process.ts'
import { gets, getText, timesOf } from '../load/http-load.ts'
import { quantile } from '../quantile.ts'
import type { Row } from '../report/results.ts'
import type { Section } from '../section.ts'
import { askInTurns, READERS } from './answers.ts'

const INDEXES = 1000
const ASKED = 100

/** The event with index n: at the beginning, in the middle, at the end, and any by many readers. */
export const EVENT_N: Section = {
  about: {
    embedded:
      'GET /running?index=n of the Analyzer: the first, the middle and the last event, 100 times each, one request at a ' +
      'time; then random ones by eight readers. The limit is a bare node:http server that sends the same bytes.',
    servers:
      'GET /running?index=n of the Analyzer, which finds the event in Kafka by its time and keeps no index: the first, the ' +
      'middle and the last event, 100 times each, one request at a time; then random ones by eight readers. The limit is a ' +
      'bare node:http server that sends the same bytes.',
  },
  async measure({ site, filling, options }) {
    await filling.stored()
    await using opened = new AsyncDisposableStack()
    const { addresses } = opened.use(await site.start())
    const pathOf = (index: number) => `/running?index=${index}`
    const last = options.events - 1
    const bare = opened.use(await startBareAnswer(await getText(`${addresses.analyzer}${pathOf(last)}`)))
    const rows: Row[] = []
    for (const [name, index] of Object.entries({ first: 0, middle: Math.floor(last / 2), last })) {
      const limit = quantile(await timesOf(bare.address, ASKED), 0.5)
      const times = await timesOf(`${addresses.analyzer}${pathOf(index)}`, ASKED)
      const p50 = quantile(times, 0.5)
      rows.push(
        { name: `the ${name} event, p50`, value: p50, unit: 'ms', ratio: limit / p50 },
        { name: `the ${name} event, p99`, value: quantile(times, 0.99), unit: 'ms' },
      )
    }
    const random = gets(Array.from({ length: INDEXES }, () => pathOf(Math.floor(Math.random() * options.events))))
    const loop = { connections: READERS, seconds: options.seconds }
    const asked = { name: 'random events', address: addresses.analyzer, requests: random }
    rows.push(...(await askInTurns(asked, bare, loop)).rows)
    return rows
  },
}
