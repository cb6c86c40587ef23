import { cpus } from 'node:os'
import type { Row } from './bench-system.ts'
import { benchEndToEnd } from './end-to-end.ts'
import { benchNdjson } from './ndjson.ts'
import { benchServers } from './servers.ts'
import { benchSingle } from './single.ts'
import { benchSoak } from './soak.ts'

/** `npm run bench [-- section…]`: measures, each section with its own limit in the same run, and prints a table. */
const SECTIONS: Record<string, () => Promise<Row[]>> = {
  single: benchSingle,
  ndjson: benchNdjson,
  'end-to-end': benchEndToEnd,
  soak: benchSoak,
}

/** These need docker, so they run only when they are named. */
const ON_SERVERS: Record<string, () => Promise<Row[]>> = { servers: benchServers }
const ALL = { ...SECTIONS, ...ON_SERVERS }

const named = process.argv.slice(2)
const unknown = named.filter((name) => !Object.hasOwn(ALL, name))
if (unknown.length > 0) {
  console.error(`no section ${unknown.join(', ')}; there are ${Object.keys(ALL).join(', ')}`)
  process.exitCode = 2
} else {
  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, ${new Date().toISOString()}\n`)
  for (const name of named.length > 0 ? named : Object.keys(SECTIONS)) {
    console.log(`## ${name}\n`)
    printTable((await ALL[name]?.()) ?? [])
  }
}

function printTable(rows: readonly Row[]): void {
  const cells = rows.map(({ name, value, unit, ratio, target }) => [
    name,
    `${value.toLocaleString('en', { maximumFractionDigits: value < 100 ? 2 : 0 })} ${unit}`,
    ratio === undefined ? '' : ratio.toFixed(2),
    target ?? '',
  ])
  const all = [['', 'measured', 'of the limit', 'to reach'], ...cells]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => (row[column] as string).length)))
  const line = (row: string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column] as number)).join(' | ')} |`
  const [head, ...body] = all as [string[], ...string[][]]
  console.log([line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n'), '\n')
}
