import type { BenchOptions } from './bench-options.ts'
import type { Dataset } from './dataset.ts'
import type { Row, SystemName } from './report/results.ts'
import type { Running, Target } from './target/target.ts'

export type BenchRun = {
  target: Target
  options: BenchOptions
  /** The store with all the events, which the sections that read share. */
  dataset: Dataset
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
export async function startPosting({ target }: BenchRun): Promise<Running> {
  await target.clear()
  return target.on === 'embedded' ? target.start() : target.start('receiver')
}
