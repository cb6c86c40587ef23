import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readConfig } from '../../../config.ts'
import { CATALOGUE, type RunifyEvent } from '../../../events/catalogue.ts'
import { encodeEvent } from '../../../events/codec.ts'
import { type DeadLetter, encodeDeadLetter } from '../../../log/dead-letter.ts'
import { EmbeddedLog } from '../../../log/embedded/embedded-log.ts'
import type { EventLog } from '../../../log/event-log.ts'
import { newRun } from '../../../store/testing/event-store.probe.ts'
import { createTelemetry } from '../../../telemetry.ts'
import { type AnalyzerDeps, createAnalyzer } from '../analyzer.ts'
import { findCounted, findStore } from '../audit/sources.ts'
import { analyzerTelemetry } from '../telemetry.ts'

/** Analyzers to ask by HTTP, and the log that they look into. */

export type Json = Record<string, unknown>

/** A log, on which any number of Analyzers may be started. `deleteBefore` is what retention does. */
export type LogUnderTest = AsyncDisposable & {
  log: EventLog
  deleteBefore(at: { topic: string; partition: number; offset: number }): Promise<void>
}

export async function openEmbedded(partitions: number): Promise<LogUnderTest> {
  await using opened = new AsyncDisposableStack()
  const { path: dir } = opened.use(await mkdtempDisposable(join(tmpdir(), 'runify-')))
  const log = opened.use(new EmbeddedLog({ dir, partitions }))
  const all = opened.move()
  return { log, deleteBefore: (at) => log.deleteBefore(at), [Symbol.asyncDispose]: () => all.disposeAsync() }
}

const nowhere = { here: undefined, url: () => undefined, apiKey: () => undefined }

/** An Analyzer on a log, at a port of its own; where nothing is said, it knows of no store and no statistics. */
export async function listen(
  log: EventLog,
  sources: Partial<Pick<AnalyzerDeps, 'store' | 'counted'>> = {},
): Promise<AsyncDisposable & { address: string }> {
  await using opened = new AsyncDisposableStack()
  const telemetry = analyzerTelemetry(createTelemetry('analyzer', 'silent'))
  const defaults = { store: findStore(nowhere), counted: findCounted(nowhere), config: readConfig({}), telemetry }
  const server = opened.use(await createAnalyzer({ ...defaults, ...sources, log }))
  const address = await server.listen(0, 'ANALYZER_PORT')
  const all = opened.move()
  return { address, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

type Told = Partial<Omit<DeadLetter, 'record'>> & { event?: RunifyEvent; value?: Uint8Array }

/** A letter as Storage writes it, of a record that was at offset `n`. */
export function letterOf(n: number, { event = newRun(), value = encodeEvent(event), ...told }: Told = {}): DeadLetter {
  const record = { offset: n, appendTime: Date.UTC(2024, 0, 1), key: event.fields.user_id, value }
  const { topic } = CATALOGUE[event.type]
  return { reason: 'unstorable', detail: 'refused', topic, partition: 0, offset: n, record, ...told }
}

export async function writeLetters(log: EventLog, ...letters: readonly DeadLetter[]): Promise<void> {
  await log.append(letters.map((letter) => encodeDeadLetter(letter, Date.now())))
}

/** All pages of a path that gives a list and names the next page. */
export async function readPages(address: string, path: string): Promise<Json[][]> {
  const pages: Json[][] = []
  for (let next: string | undefined = path; next !== undefined; ) {
    const response = await fetch(`${address}${next}`)
    assert.equal(response.status, 200)
    pages.push((await response.json()) as Json[])
    next = /^<(.*)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
    assert.ok(pages.length < 10_000, 'the pages have an end')
  }
  return pages
}

export type RedriveAnswer = {
  status: number
  counts: Record<string, number>
  results: { id: string; outcome: string; detail?: string; attempts?: number }[]
  next: string | null
  errors?: { pointer: string; detail: string }[]
}

export function redrive(address: string, order: object): Promise<RedriveAnswer> {
  return give(address, '/dead-letters/redrive', order)
}

export function dismiss(address: string, order: object): Promise<RedriveAnswer> {
  return give(address, '/dead-letters/dismiss', order)
}

async function give(address: string, path: string, order: object): Promise<RedriveAnswer> {
  const response = await fetch(`${address}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(order),
  })
  return { status: response.status, ...((await response.json()) as Omit<RedriveAnswer, 'status'>) }
}
