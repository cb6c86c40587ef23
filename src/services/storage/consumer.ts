import { setImmediate as others, setTimeout as sleep } from 'node:timers/promises'
import { Failure } from '../../errors.ts'
import { type EventType, TOPICS, typeOfTopic } from '../../events/catalogue.ts'
import { decodeEvent } from '../../events/codec.ts'
import { type DeadLetter, encodeDeadLetter } from '../../log/dead-letter.ts'
import type { EventLog, LogRecord, RecordBatch } from '../../log/event-log.ts'
import { nextOf, type PartitionCursor } from '../../log/position.ts'
import type { EventStore, RefusedEvent, StoreBatch } from '../../store/event-store.ts'
import type { Telemetry } from '../../telemetry.ts'
import { Lanes } from './lanes.ts'

export type ConsumerDeps = { log: EventLog; store: EventStore; telemetry: Telemetry; batchRecordsMax: number }

const GROUP = 'runify-storage'
const RETRY_MS = 200
const RETRY_MS_MAX = 5000
/** How often the group's cursor is committed. It is for lag tools only: the truth is in the store. */
const COMMIT_EVERY_MS = 500

/**
 * The log → the store, each event once. The invariant: a batch and the cursor behind it are one transaction, and
 * reading always goes on from the cursor in the store; so it may be stopped, killed or doubled at any point.
 */
export class StorageConsumer {
  readonly #deps: ConsumerDeps
  /** What keeps it from working now; undefined while all is well. */
  trouble: unknown

  constructor(deps: ConsumerDeps) {
    this.#deps = deps
  }

  /** Runs until the signal aborts. Whatever fails is tried again from the store's cursor, more and more slowly. */
  async run(signal: AbortSignal): Promise<void> {
    let retryMs = RETRY_MS
    while (!signal.aborted) {
      try {
        await this.#consume(signal, () => {
          retryMs = RETRY_MS
        })
      } catch (error) {
        this.trouble = error
        this.#deps.telemetry.workFailed('storage', error)
        await sleep(retryMs, undefined, { signal }).catch(() => {})
        retryMs = Math.min(retryMs * 2, RETRY_MS_MAX)
      }
    }
  }

  async #consume(signal: AbortSignal, worked: () => void): Promise<void> {
    const { log, store, batchRecordsMax } = this.#deps
    const expected = new Map<string, number>()
    const startAt = async (at: { topic: string; partition: number }) => {
      const next = await this.#startOf(at)
      expected.set(`${at.topic}:${at.partition}`, next)
      this.trouble = undefined
      return next
    }
    await using commits = new LazyCommits((cursors) =>
      log.commit(GROUP, cursors).catch((error: unknown) => this.#deps.telemetry.workFailed('commit', error)),
    )
    await using lanes = new Lanes(store.writesAtOnce, signal)
    const options = { group: GROUP, topics: TOPICS, startAt, batchRecordsMax, signal: lanes.signal }
    for await (const batch of log.consume(options)) {
      const id = `${batch.topic}:${batch.partition}`
      const expectedFrom = expected.get(id) ?? batch.from
      expected.set(id, batch.next)
      await lanes.start(id, async () => {
        await this.#store(batch, expectedFrom)
        commits.add(batch)
        this.trouble = undefined
        worked()
      })
      // The embedded log and store never wait for anything: without this, catching up would keep requests waiting.
      await others()
    }
    await lanes.drain()
  }

  /** The store's cursor, unless this is not the log that the store was filled from: then nothing may be skipped. */
  async #startOf({ topic, partition }: { topic: string; partition: number }): Promise<number> {
    const { log, store } = this.#deps
    const next = nextOf(await store.cursors(), { topic, partition })
    const end = (await log.partitions(topic)).find((range) => range.partition === partition)?.next ?? 0
    if (next <= end) return next
    const detail = `the store has ${topic}:${partition} up to ${next}, but the log ends at ${end}: is it another log?`
    throw new Failure('position_conflict', detail, { retryable: false })
  }

  async #store(batch: RecordBatch, expectedFrom: number): Promise<void> {
    const { store, telemetry } = this.#deps
    const { topic, partition, from, next } = batch
    if (from > expectedFrom) telemetry.recordsRemovedUnread({ topic, partition, from: expectedFrom, to: from })
    const { type, events, letters } = decodeBatch(batch)
    // The letters go first: a crash between the two writes them twice, the other way round it would lose them.
    await this.#bury(letters)
    let storeBatch: StoreBatch = { type, partition, from: Math.min(from, expectedFrom), next, events }
    let outcome = await store.write(storeBatch)
    // More than once only where an event was left for the sake of another one that is refused too.
    while (outcome.kind === 'refused') {
      const refused = new Map(outcome.events.map((event) => [event.offset, event]))
      await this.#bury(refusedLetters(batch, refused))
      storeBatch = { ...storeBatch, events: storeBatch.events.filter(({ offset }) => !refused.has(offset)) }
      outcome = await store.write(storeBatch)
    }
    telemetry.eventsStored(type, outcome)
  }

  async #bury(letters: readonly DeadLetter[]): Promise<void> {
    if (letters.length === 0) return
    const { log, telemetry } = this.#deps
    await log.append(letters.map((letter) => encodeDeadLetter(letter, Date.now())))
    for (const { reason, detail, topic, partition, offset } of letters) {
      telemetry.deadLetter({ reason, detail, topic, partition, offset })
    }
  }
}

/** Records → events; what is not an event becomes a dead letter with its reason. */
export function decodeBatch(batch: RecordBatch): {
  type: EventType
  events: StoreBatch['events']
  letters: DeadLetter[]
} {
  const type = typeOfTopic(batch.topic)
  if (type === undefined) throw new Failure('log_unavailable', `nobody knows ${batch.topic}`, { retryable: false })
  const events: { offset: number; event: StoreBatch['events'][number]['event'] }[] = []
  const letters: DeadLetter[] = []
  for (const record of batch.records) {
    const decoded = decodeEvent(type, record.value)
    if (decoded.ok) events.push({ offset: record.offset, event: decoded.event })
    else letters.push(letterFor(batch, record, { reason: 'undecodable', detail: decoded.detail }))
  }
  return { type, events, letters }
}

function refusedLetters(batch: RecordBatch, refused: ReadonlyMap<number, RefusedEvent>): DeadLetter[] {
  return batch.records.flatMap((record) => {
    const why = refused.get(record.offset)
    return why === undefined ? [] : [letterFor(batch, record, { reason: why.reason, detail: why.detail })]
  })
}

function letterFor(batch: RecordBatch, record: LogRecord, why: Pick<DeadLetter, 'reason' | 'detail'>): DeadLetter {
  return { ...why, topic: batch.topic, partition: batch.partition, offset: record.offset, record }
}

/** Commits the group's cursors now and then, the last ones too: also when nothing more comes. */
class LazyCommits implements AsyncDisposable {
  readonly #commit: (cursors: PartitionCursor[]) => Promise<void>
  #cursors = new Map<string, PartitionCursor>()
  #timer: NodeJS.Timeout | undefined
  #underWay: Promise<void> = Promise.resolve()

  constructor(commit: (cursors: PartitionCursor[]) => Promise<void>) {
    this.#commit = commit
  }

  add({ topic, partition, next }: RecordBatch): void {
    this.#cursors.set(`${topic}:${partition}`, { topic, partition, next })
    this.#timer ??= setTimeout(() => this.#flush(), COMMIT_EVERY_MS)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#flush()
    await this.#underWay
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const cursors = [...this.#cursors.values()]
    this.#cursors.clear()
    if (cursors.length > 0) this.#underWay = this.#underWay.then(() => this.#commit(cursors))
  }
}
