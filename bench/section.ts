import type { BenchOptions } from './bench-options.ts'
import type { Filling } from './filling.ts'
import type { Row, SystemName } from './report/results.ts'
import type { Running, Site } from './site/site.ts'

export type BenchRun = {
  site: Site
  options: BenchOptions
  /** The store with all the events, which the sections that read share. */
  filling: Filling
}

export type Section = {
  /** What is measured, and what the limit is: Markdown in a paragraph without markup. */
  about: Record<SystemName, string>
  measure(run: BenchRun): Promise<Row[]>
}

/**
 * What posts are measured against: embedded, the one process with all services; on servers a Receiver alone, because the
 * others would take the cores from it that they do not share where each has a machine of its own.
 */
export async function startPosting({ site }: BenchRun): Promise<Running> {
  await site.clear()
  return site.on === 'embedded' ? site.start() : site.start('receiver')
}
