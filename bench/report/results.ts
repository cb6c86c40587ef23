/** What the benchmarks found, as `bench/results.json` keeps it. The page and the charts follow from it alone. */

export const SYSTEM_NAMES = ['embedded', 'servers'] as const
export type SystemName = (typeof SYSTEM_NAMES)[number]

/** What a row should reach, by its own value or by its part of the limit. */
export type Target = { of: 'value' | 'limit'; at: 'least' | 'most'; bound: number }

/**
 * One line of a table. `ratio` is to the limit that was measured in the same run: 1 is as good as the limit. It is the
 * measured rate by the limit's rate, and of times the limit's by the measured.
 */
export type Row = { name: string; value: number; unit: string; ratio?: number; target?: Target }

export type SectionResult = {
  /** What was measured, and what the limit is. */
  about: string
  /** When it was done, `YYYY-MM-DD hh:mm` in UTC. */
  date: string
  machine: string
  /** Name → version. */
  versions: Record<string, string>
  /** The options that the figures depend on. */
  options: Record<string, string | number>
  rows: readonly Row[]
}

/** Section → result. */
export type SystemResults = Record<string, SectionResult>
export type Results = Partial<Record<SystemName, SystemResults>>

export function atLeast(bound: number, of: Target['of'] = 'value'): Target {
  return { of, at: 'least', bound }
}

export function atMost(bound: number): Target {
  return { of: 'value', at: 'most', bound }
}

export function isReached({ value, ratio, target }: Row): boolean | undefined {
  const measured = target?.of === 'limit' ? ratio : value
  if (target === undefined || measured === undefined) return undefined
  return target.at === 'least' ? measured >= target.bound : measured <= target.bound
}

export function formatTarget({ unit, target }: Row): string {
  if (target === undefined) return ''
  const sign = target.at === 'least' ? '≥' : '≤'
  return `${sign} ${target.of === 'limit' ? `${target.bound.toFixed(2)} of the limit` : formatNumber(target.bound, unit)}`
}

export function formatNumber(value: number, unit: string): string {
  const maximumFractionDigits = Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0
  return `${value.toLocaleString('en', { maximumFractionDigits })} ${unit}`
}

/** With two digits that count, however far away the limit is. */
export function formatRatio(ratio: number): string {
  return ratio >= 0.1 ? ratio.toFixed(2) : String(Number(ratio.toPrecision(2)))
}
