import { mkdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CommandError, parseOptions, UsageError, wholeNumber } from '../src/cli/command.ts'
import { SERVICES } from '../src/config.ts'
import { findJMeter, type JMeter, runProgram } from './jmeter.ts'
import { readResults, readSamplers, type SamplerResult } from './jmeter-results.ts'
import { checkReady, readTarget, runCommand, TARGET_HELP, TARGET_OPTIONS, type Target } from './load-command.ts'

const PLAN = fileURLToPath(new URL('../load/test_plan.jmx', import.meta.url))
const OUT = fileURLToPath(new URL('../load/report', import.meta.url))

const HELP = `load:jmeter: puts users on a Runify that is running, and checks every answer (load/README.md)

usage: npm run load:jmeter -- [OPTIONS]

  --users N            users at a time, 1 to 10000 (10)
  --ramp-up SECONDS    until the last of them has come, at most the duration (5)
  --duration SECONDS   how long it takes, 1 to 86400 (30)
  --pause-ms-max N     the longest pause of a user between two visits, 0 to 600000 (200)
${TARGET_HELP}
  --out FOLDER         where the results go; those of an earlier run are replaced (load/report)

Exit codes: 0 all answers were right · 1 some were not, or not all that the plan asks was answered · 2 a wrong command
line, or it could not be done
`

const OPTIONS = {
  users: { type: 'string', default: '10' },
  'ramp-up': { type: 'string' },
  duration: { type: 'string', default: '30' },
  'pause-ms-max': { type: 'string', default: '200' },
  ...TARGET_OPTIONS,
  out: { type: 'string', default: OUT },
  help: { type: 'boolean', short: 'h' },
} as const
const RAMP_UP_STANDARD = 5
/** Points of a graph in the report. */
const GRAPH_POINTS = 100
/** The report takes no smaller step. */
const GRAPH_STEP_MS_MIN = 1000

/** Durations in seconds. */
type Load = { users: number; rampUp: number; duration: number; pauseMsMax: number; target: Target }

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, OPTIONS)
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  if (positionals.length > 0) throw new UsageError(`${JSON.stringify(positionals[0])} is not an option`)
  const load = readLoad(values)
  const out = resolve(values.out)
  await checkReady(load.target)
  const jmeter = await findJMeter()
  console.log(`JMeter: ${jmeter.where}`)
  await runPlan(jmeter, load, out)
  const results = await readResults(join(out, 'results.csv'), await readSamplers(PLAN))
  show(results, load.duration)
  console.log(`report: ${join(out, 'html', 'index.html')}`)
  const faults = findFaults(results)
  for (const fault of faults) console.error(fault)
  if (faults.length > 0) console.error(`FAILED; requests and answers: ${join(out, 'failures.xml')}`)
  return faults.length > 0 ? 1 : 0
}

function readLoad(
  values: Record<Exclude<keyof typeof OPTIONS, 'ramp-up' | 'help'>, string> & { 'ramp-up'?: string },
): Load {
  const number = (option: keyof typeof values, min: number, max: number) =>
    wholeNumber(`--${option}`, values[option] as string, { min, max })
  const duration = number('duration', 1, 86_400)
  return {
    users: number('users', 1, 10_000),
    rampUp: values['ramp-up'] === undefined ? Math.min(RAMP_UP_STANDARD, duration) : number('ramp-up', 0, duration),
    duration,
    pauseMsMax: number('pause-ms-max', 0, 600_000),
    target: readTarget(values),
  }
}

async function runPlan(jmeter: JMeter, load: Load, out: string): Promise<void> {
  const failures = join(out, 'failures.xml')
  await mkdir(out, { recursive: true })
  // JMeter appends to this one.
  await rm(failures, { force: true })
  const properties = {
    users: load.users,
    ramp_up: load.rampUp,
    duration: load.duration,
    pause_ms_max: load.pauseMsMax,
    host: load.target.host,
    ...Object.fromEntries(SERVICES.map((service) => [`${service}_port`, load.target.ports[service]])),
    failures,
    // What an installed JMeter has been set to must not matter.
    'jmeter.save.saveservice.output_format': 'csv',
    'jmeter.save.saveservice.default_delimiter': ',',
    'jmeter.save.saveservice.print_field_names': true,
    'jmeter.save.saveservice.assertion_results_failure_message': true,
    'jmeter.reportgenerator.overall_granularity': Math.max(GRAPH_STEP_MS_MIN, (load.duration * 1000) / GRAPH_POINTS),
    // It would listen for commands.
    'jmeterengine.nongui.port': 0,
  }
  const args = [
    ...['-n', '-f', '-t', PLAN, '-l', join(out, 'results.csv'), '-j', join(out, 'jmeter.log')],
    ...['-e', '-o', join(out, 'html')],
    ...Object.entries(properties).map(([name, value]) => `-J${name}=${value}`),
  ]
  const code = await runProgram(jmeter.command, [...jmeter.args, ...args], ['ignore', 'inherit', 'inherit'])
  if (code !== 0) throw new CommandError(`JMeter ended with ${code}; ${join(out, 'jmeter.log')} may say why`)
}

function show(results: ReadonlyMap<string, SamplerResult>, duration: number): void {
  const width = Math.max(...[...results.keys()].map((name) => name.length))
  const line = (name: string, ...cells: (string | number)[]) =>
    console.log(name.padEnd(width) + cells.map((cell) => String(cell).padStart(10)).join(''))
  line('', 'samples', 'a second', 'failed')
  let [samples, failed] = [0, 0]
  for (const [name, result] of results) {
    line(name, result.samples, (result.samples / duration).toFixed(1), result.failed)
    samples += result.samples
    failed += result.failed
  }
  line('all', samples, (samples / duration).toFixed(1), failed)
}

/** A line for each thing that is wrong. JMeter's exit code tells nothing of these. */
function findFaults(results: ReadonlyMap<string, SamplerResult>): string[] {
  return [...results].flatMap(([name, { good, failures }]) => {
    const faults = [...failures].map(([failure, count]) => `${name}: ${failure}, ${count} times`)
    return good === 0 && faults.length === 0 ? [`${name}: no sample was answered with 2xx; run it for longer`] : faults
  })
}

await runCommand('load:jmeter', main)
