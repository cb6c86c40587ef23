import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SECTION_NAMES, type SectionName } from '../bench-options.ts'
import { type Results, type Row, type SectionResult, SYSTEM_NAMES, type SystemName } from './results.ts'
import { renderChart } from './results-chart.ts'
import { chartFile, renderPage } from './results-page.ts'

export const BENCH_FOLDER = fileURLToPath(new URL('..', import.meta.url))

/** Puts a section's result in the place of its earlier one, in the folder's `results.json`, page and charts. */
export function keepResult(
  folder: string,
  { on, section, result }: { on: SystemName; section: SectionName; result: SectionResult },
): void {
  const path = join(folder, 'results.json')
  const before = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Results) : {}
  const rows = result.rows.map(rounded)
  const results = merged(before, on, section, { ...result, rows })
  writeFileSync(path, `${JSON.stringify(results, undefined, 2)}\n`)
  for (const [name, content] of renderAll(results)) writeFileSync(join(folder, name), content)
}

/** File name → content, of all that follows from the results. */
export function renderAll(results: Results): Map<string, string> {
  const files = new Map([['RESULTS.md', renderPage(results)]])
  for (const name of SYSTEM_NAMES) {
    const system = results[name]
    if (system !== undefined) files.set(chartFile(name), renderChart(`Runify, ${name}`, system))
  }
  return files
}

/** Sections stand in the order in which they run, whichever was measured first. */
function merged(results: Results, on: SystemName, section: SectionName, result: SectionResult): Results {
  const system = { ...results[on], [section]: result }
  const ordered = SECTION_NAMES.flatMap((name) => {
    const known = system[name]
    return known === undefined ? [] : [[name, known] as const]
  })
  const all: Results = { ...results, [on]: Object.fromEntries(ordered) }
  return Object.fromEntries(SYSTEM_NAMES.flatMap((name) => (all[name] === undefined ? [] : [[name, all[name]]])))
}

/** More digits than five are noise. */
function rounded(row: Row): Row {
  const round = (value: number) => Number(value.toPrecision(5))
  return { ...row, value: round(row.value), ...(row.ratio !== undefined && { ratio: round(row.ratio) }) }
}
