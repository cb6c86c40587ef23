import {
  formatNumber,
  formatRatio,
  formatTarget,
  isReached,
  type Results,
  type Row,
  type SectionResult,
  SYSTEM_NAMES,
  type SystemName,
  type SystemResults,
} from './results.ts'

/** `bench/RESULTS.md`, out of the results and nothing else. */
export function renderPage(results: Results): string {
  const parts = [INTRODUCTION]
  for (const name of SYSTEM_NAMES) {
    const system = results[name]
    if (system !== undefined && Object.keys(system).length > 0) parts.push(renderSystem(name, system))
  }
  return `${parts.join('\n\n')}\n`
}

export function chartFile(name: SystemName): string {
  return `results-${name}.svg`
}

/** The rows as a table in text that is also Markdown. */
export function renderTable(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    escapeCell(row.name),
    escapeCell(formatNumber(row.value, row.unit)),
    row.ratio === undefined ? '' : formatRatio(row.ratio),
    escapeCell(formatTarget(row)),
    { true: 'yes', false: '**no**', undefined: '' }[String(isReached(row))] as string,
  ])
  const all = [['', 'measured', 'of the limit', 'to reach', 'reached'], ...cells]
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...all.map((row) => (row[column] as string).length)))
  const line = (row: string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column] as number)).join(' | ')} |`
  const [head, ...body] = all as [string[], ...string[][]]
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n')
}

const INTRODUCTION = `# Results of the benchmarks

Written by \`npm run bench\` from [results.json](results.json); \`npm run bench -- --help\` explains how to run it.

The load generator, the databases and what is measured share the cores of one machine: with a machine for each, all of them
would be faster, and so would the limits. Each figure is therefore shown beside a limit measured in the same run, mostly in
adjacent turns, the median of which counts. "Of the limit" is the measured rate divided by the limit's; for times it is the
limit's divided by the measured one, so that 1 always means as good as the limit. Each section says above its table what its
limit is.`

const TITLES: Record<SystemName, string> = {
  embedded: 'Embedded: one process, with its own log and store',
  servers: 'Servers: a process for each service, on Kafka and MySQL',
}

function renderSystem(name: SystemName, system: SystemResults): string {
  const sections = Object.entries(system)
  const places = sections.map(([, section]) => placeOf(section))
  const [place] = places
  const shared = places.every((other) => other === place)
  const parts = [`## ${TITLES[name]}`]
  if (place !== undefined && shared) parts.push(place)
  parts.push(`![Part of the limit that each figure reaches](${chartFile(name)})`)
  for (const [title, section] of sections) {
    parts.push(`### ${title}`, escapeText(section.about), datesOf(section))
    if (!shared) parts.push(placeOf(section))
    parts.push(renderTable(section.rows))
  }
  return parts.join('\n\n')
}

function placeOf({ machine, versions }: SectionResult): string {
  const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return escapeText(`Machine: ${machine}. Versions: ${names.join(', ')}.`)
}

function datesOf({ date, options }: SectionResult): string {
  const chosen = Object.entries(options).map(([name, value]) => `${name} ${value.toLocaleString('en')}`)
  return escapeText(`Measured ${date} UTC, with ${chosen.join(', ')}.`)
}

/** Names of peers come from the command line: they must not become markup. */
function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replace(/[\\`*[\]]/g, '\\$&')
    .replace(/\s+/g, ' ')
}

function escapeCell(text: string): string {
  return escapeText(text).replaceAll('|', '\\|')
}
