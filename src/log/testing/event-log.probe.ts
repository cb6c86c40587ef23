import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type FailureCode, isFailure } from '../../errors.ts'
import type { EventLog, LogRecord, NewRecord, RecordBatch } from '../event-log.ts'

/** What tests do with a log and ask of it. */

/** How long a test waits for a log to do what it must: far more than any log needs, group joins included. */
export const DEADLINE_MS = 30_000

export function newTopic(): string {
  return `contract.${randomUUID()}`
}

export function newGroup(): string {
  return `contract-${randomUUID()}`
}

export function newRecord(topic: string, key: string, value: string): NewRecord {
  return { topic, key, value: Buffer.from(value) }
}

/** Records with a key each, so that they spread over the partitions. */
export function records(topic: string, count: number, prefix: string = randomUUID()): NewRecord[] {
  return Array.from({ length: count }, (_, i) => newRecord(topic, `${prefix}${i}`, `value ${i}`))
}

export function text({ value }: { value: Uint8Array }): string {
  return Buffer.from(value).toString()
}

export type PlacedRecord = LogRecord & { partition: number }

/** All that a topic holds, partition by partition. */
export async function readAll(log: EventLog, topic: string): Promise<PlacedRecord[]> {
  const all: PlacedRecord[] = []
  for (const { partition, first, next } of await log.partitions(topic)) {
    for (let from = first; from < next; ) {
      const found = await log.read({ topic, partition, from, limit: 1000 })
      const last = found.at(-1)
      if (last === undefined) break
      for (const record of found) all.push(inPlace(record, partition))
      from = last.offset + 1
    }
  }
  return all
}

type ConsumeOptions = Parameters<EventLog['consume']>[0]
type ReaderOptions = Partial<Omit<ConsumeOptions, 'signal' | 'topics'>> & Pick<ConsumeOptions, 'topics'>

/** A consumer that gives a batch for each `next`, within the deadline; disposing of it sees it end. */
export function startReader(log: EventLog, options: ReaderOptions): AsyncDisposable & { next(): Promise<RecordBatch> } {
  const stop = new AbortController()
  const defaults = { group: newGroup(), startAt: async () => 0, batchRecordsMax: 1000 }
  const iterator = log.consume({ ...defaults, ...options, signal: stop.signal })[Symbol.asyncIterator]()
  return {
    async next() {
      const result = await within(iterator.next(), 'another batch comes')
      assert.ok(!result.done, 'the consumer has ended')
      return result.value
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      assert.equal((await within(iterator.next(), 'the consumer ends')).done, true)
    },
  }
}

/** Consumes until the batches are `enough`, then aborts and sees the consumer end without an error. */
export async function consumeUntil(
  log: EventLog,
  options: ReaderOptions,
  enough: (batches: readonly RecordBatch[]) => boolean,
): Promise<RecordBatch[]> {
  await using reader = startReader(log, options)
  const batches: RecordBatch[] = []
  while (!enough(batches)) batches.push(await reader.next())
  return batches
}

/** Resolves with what the promise does; throws when it has not settled by the deadline. */
export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  const deadline = Promise.withResolvers<never>()
  const timer = setTimeout(() => deadline.reject(new Error(`waited in vain until ${what}`)), DEADLINE_MS)
  try {
    return await Promise.race([promise, deadline.promise])
  } finally {
    clearTimeout(timer)
  }
}

export async function rejectsWith(
  code: FailureCode,
  promise: Promise<unknown>,
  { retryable }: { retryable: boolean },
): Promise<void> {
  await assert.rejects(within(promise, `it fails with ${code}`), (error) => {
    assert.ok(isFailure(error, code), String(error))
    assert.equal(error.retryable, retryable)
    return true
  })
}

/** Appends values under one key of a new topic, and tells which partition that is. */
export async function fillPartition(
  log: EventLog,
  values: string[],
): Promise<{ topic: string; partition: number; key: string }> {
  const topic = newTopic()
  const key = randomUUID()
  await log.append(values.map((value) => newRecord(topic, key, value)))
  const partition = (await log.partitions(topic)).find(({ next }) => next > 0)?.partition
  assert.ok(partition !== undefined)
  return { topic, partition, key }
}

export async function groupsOf(log: EventLog, topic: string): Promise<string[]> {
  const cursors = await log.groups(topic)
  assert.ok(cursors.every((cursor) => cursor.topic === topic))
  return cursors.map(({ group, partition, next }) => `${group}:${partition}:${next}`).sort()
}

export function count(batches: readonly RecordBatch[]): number {
  return batches.reduce((sum, { records }) => sum + records.length, 0)
}

/** The records of batches as `readAll` gives them. */
export function placed(batches: readonly RecordBatch[]): PlacedRecord[] {
  const all = batches.flatMap(({ partition, records }) => records.map((record) => inPlace(record, partition)))
  return all.sort((a, b) => a.partition - b.partition || a.offset - b.offset)
}

function inPlace({ offset, appendTime, key, value }: LogRecord, partition: number): PlacedRecord {
  return { partition, offset, appendTime, key, value: Buffer.from(value) }
}

/** Key and value only, by key, for comparing what was sent with what was kept. */
export function byKey(some: readonly { key: string; value: Uint8Array }[]): { key: string; value: Buffer }[] {
  const pairs = some.map(({ key, value }) => ({ key, value: Buffer.from(value) }))
  return pairs.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
}

/** A driver's row as a plain object, so that it compares by its properties alone. */
export function plain<T extends object>(row: T): T {
  return { ...row }
}
