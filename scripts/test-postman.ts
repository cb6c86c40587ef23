import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import newman, { type NewmanRunSummary } from 'newman'
import { CommandError, parseOptions, UsageError } from '../src/cli/command.ts'
import { SERVICES } from '../src/config.ts'
import * as command from './load-command.ts'
import type { Folder, Item } from './postman-collection.ts'

const COLLECTION = fileURLToPath(new URL('../load/postman/runify.postman_collection.json', import.meta.url))
const ENVIRONMENT = fileURLToPath(new URL('../load/postman/runify.postman_environment.json', import.meta.url))

const HELP = `test:postman: sends the requests of the Postman collection to a Runify that is running, and runs their tests (load/README.md)

usage: npm run test:postman -- [OPTIONS]

${command.TARGET_HELP}

Exit codes: 0 all tests passed · 1 some failed, or a request was not sent · 2 a wrong command line, or it could not be done
`

const OPTIONS = { ...command.TARGET_OPTIONS, help: { type: 'boolean', short: 'h' } } as const
const REQUEST_MS_MAX = 10_000
/** Some wait for an event, 10 s at most. */
const SCRIPT_MS_MAX = 30_000

/** The names down to a request, the service's folder first, by the id of the request. */
type Places = ReadonlyMap<string, readonly string[]>

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, OPTIONS)
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  if (positionals.length > 0) throw new UsageError(`${JSON.stringify(positionals[0])} is not an option`)
  const target = command.readTarget(values)
  await command.checkReady(target)
  const { item: folders } = JSON.parse(await readFile(COLLECTION, 'utf8')) as { item: Folder[] }
  const places: Places = new Map(folders.flatMap((folder) => placesIn(folder, [])))
  const { run } = await runCollection(target)
  show(places, run)
  const faults = findFaults(places, run)
  for (const fault of faults) console.error(fault)
  if (faults.length > 0) console.error('FAILED')
  return faults.length > 0 ? 1 : 0
}

function placesIn(within: Folder | Item, above: readonly string[]): [string, string[]][] {
  const names = [...above, within.name]
  return 'item' in within ? within.item.flatMap((one) => placesIn(one, names)) : [[within.id, names]]
}

function runCollection(target: command.Target): Promise<NewmanRunSummary> {
  const options = {
    collection: COLLECTION,
    environment: ENVIRONMENT,
    envVar: SERVICES.map((service) => ({ key: service, value: command.addressOf(target, service) })),
    reporters: [],
    timeoutRequest: REQUEST_MS_MAX,
    timeoutScript: SCRIPT_MS_MAX,
  }
  return new Promise((resolve, reject) => {
    newman.run(options, (error, summary) => {
      if (error) reject(new CommandError(`newman could not run the collection: ${error.message}`, { cause: error }))
      else resolve(summary)
    })
  })
}

function show(places: Places, { executions, failures }: NewmanRunSummary['run']): void {
  const folders = [...new Set([...places.values()].map(([folder]) => folder as string))]
  // A request whose script has asked something has an execution for that too, with the same tests.
  const tests = new Map(executions.map(({ item, assertions = [] }) => [item.id, assertions.length]))
  const line = (name: string, ...cells: (string | number)[]) =>
    console.log(name.padEnd(12) + cells.map((cell) => String(cell).padStart(10)).join(''))
  const row = (name: string, isIn: (id: string | undefined) => boolean) => {
    const counts = [...tests].filter(([id]) => isIn(id)).map(([, count]) => count)
    const failed = failures.filter(({ source }) => isIn(source?.id))
    line(
      name,
      counts.length,
      counts.reduce((sum, count) => sum + count, 0),
      failed.length,
    )
  }
  line('', 'requests', 'tests', 'failed')
  for (const folder of folders) row(folder, (id) => places.get(id ?? '')?.[0] === folder)
  row('all', () => true)
}

/** A line for each thing that is wrong. */
function findFaults(places: Places, { executions, failures }: NewmanRunSummary['run']): string[] {
  const nameOf = (id: string | undefined) => places.get(id ?? '')?.join(' / ') ?? 'The collection'
  const failed = failures.map(({ source, error }) => {
    return `${nameOf(source?.id)}: ${error.test ?? error.name}: ${error.message.replaceAll(/\s+/g, ' ')}`
  })
  const sent = new Set(executions.map(({ item }) => item.id))
  const missed = [...places.keys()].filter((id) => !sent.has(id))
  return [...failed, ...missed.map((id) => `${nameOf(id)}: was not sent`)]
}

await command.runCommand('test:postman', main)
