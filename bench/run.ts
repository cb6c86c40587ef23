import { once } from 'node:events'
import { CommandError, UsageError } from '../src/cli/command.ts'
import { type BenchOptions, HELP, readBenchOptions, type SectionName } from './bench-options.ts'
import { Dataset } from './dataset.ts'
import { machineName } from './machine.ts'
import { BENCH_FOLDER, keepResult } from './report/results-file.ts'
import { renderTable } from './report/results-page.ts'
import type { Section } from './section.ts'
import { BATCHES } from './sections/batches.ts'
import { CATCHING_UP } from './sections/catching-up.ts'
import { EVENT_N } from './sections/event-n.ts'
import { FRESHNESS } from './sections/freshness.ts'
import { MEMORY } from './sections/memory.ts'
import { MOST_PLAYED } from './sections/most-played.ts'
import { OPEN_LOOP } from './sections/open-loop.ts'
import { RANGES } from './sections/ranges.ts'
import { SINGLE } from './sections/single.ts'
import { STATISTICS } from './sections/statistics.ts'
import { EmbeddedTarget } from './target/embedded-target.ts'
import { ServersTarget } from './target/servers-target.ts'

/** `npm run bench`: measures, each section with its limit in the same run, and writes tables and charts. */
const SECTIONS: Record<SectionName, Section> = {
  single: SINGLE,
  'open-loop': OPEN_LOOP,
  batches: BATCHES,
  freshness: FRESHNESS,
  'catching-up': CATCHING_UP,
  ranges: RANGES,
  statistics: STATISTICS,
  'event-n': EVENT_N,
  'most-played': MOST_PLAYED,
  memory: MEMORY,
}

try {
  const options = readBenchOptions(process.argv.slice(2))
  if (options === undefined) process.stdout.write(HELP)
  else await measureAll(options)
} catch (error) {
  if (error instanceof CommandError) {
    const hint = error instanceof UsageError ? ', see npm run bench -- --help' : ''
    console.error(`bench: ${error.message}${hint}`)
    process.exitCode = 2
  } else {
    console.error(error)
    process.exitCode = 1
  }
}

/** A result is kept when its section is done: what fails later does not take it away. */
async function measureAll(options: BenchOptions): Promise<void> {
  const { on, events, seconds, connections, sections } = options
  await using target = on === 'embedded' ? await EmbeddedTarget.open() : await ServersTarget.open()
  const dataset = new Dataset(target, events)
  const versions = await target.versions()
  const machine = machineName()
  console.log(`${machine}\n`)
  const stopped = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]).then(([signal]) => {
    throw new Error(`stopped by ${signal}`)
  })
  // Nobody may be waiting for a section just then.
  stopped.catch(() => {})
  for (const section of sections) {
    console.log(`## ${section}, ${on}\n`)
    const { about, measure } = SECTIONS[section]
    const started = performance.now()
    const rows = await Promise.race([measure({ target, options, dataset }), stopped])
    console.log(`${renderTable(rows)}\n\ntook ${Math.round((performance.now() - started) / 1000)} s\n`)
    const date = new Date().toISOString().slice(0, 16).replace('T', ' ')
    const result = { about: about[on], date, machine, versions, options: { events, seconds, connections }, rows }
    keepResult(BENCH_FOLDER, { on, section, result })
  }
}
