import { Failure, NewerEvent } from '../../errors.ts'
import { decodeCanary } from '../../events/canary.ts'
import { CANARY, type EventType, TOPICS, typeOfTopic } from '../../events/catalogue.ts'
import { decodeEvent } from '../../events/codec.ts'
import { type DeadLetter, letterFor, writeDeadLetters } from '../../log/dead-letter.ts'
import type { EventLog, RecordBatch } from '../../log/event-log.ts'
import { GroupConsumer } from '../../log/group-consumer.ts'
import { markOf } from '../../log/place-in-log.ts'
import type { KeptCursor } from '../../log/position.ts'
import type { CanaryBatch, EventStore, RefusedEvent, StoreBatch } from '../../store/event-store.ts'
import { Forgetter } from './forgetter.ts'
import { STORE } from './keeper.ts'
import type { StorageTelemetry } from './telemetry.ts'

export type ConsumerDeps = { log: EventLog; store: EventStore; telemetry: StorageTelemetry; batchRecordsMax: number }

/** The log → the store, each event once, as `GroupConsumer` does it; and what cannot be stored → the dead letters. */
export class StorageConsumer {
  readonly #deps: ConsumerDeps
  readonly #consumer: GroupConsumer
  readonly forgetter: Forgetter

  constructor(deps: ConsumerDeps) {
    const { log, store, telemetry, batchRecordsMax } = deps
    this.#deps = deps
    this.forgetter = new Forgetter({ log, store, telemetry })
    this.#consumer = new GroupConsumer({
      log,
      group: 'runify-storage',
      topics: [...TOPICS, CANARY.topic],
      batchRecordsMax,
      handledAtOnce: store.writesAtOnce,
      cursors: () => this.#cursors(),
      keeper: STORE,
      adopt: (cursor) => store.adopt(cursor),
      handle: (batch) => (batch.topic === CANARY.topic ? this.#storeCanaries(batch) : this.#store(batch)),
      failed: (work, error) => telemetry.workFailed(work === 'consume' ? 'storage' : work, error),
      removedUnread: telemetry.recordsRemovedUnread,
    })
  }

  /** What keeps it from working now; undefined while all is well. */
  get lastError(): unknown {
    return this.forgetter.lastError ?? this.#consumer.lastError
  }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.forgetter.run(signal), this.#consumer.run(signal)])
  }

  /** Who is forgotten comes first: of them nothing may be stored for even a moment. */
  async #cursors(): Promise<KeptCursor[]> {
    await this.forgetter.catchUp()
    return this.#deps.store.cursors()
  }

  async #store(batch: RecordBatch): Promise<void> {
    const { store, telemetry } = this.#deps
    const { partition, from, next } = batch
    const { type, events, letters } = decodeBatch(batch)
    // The letters go first: a crash between the two writes them twice, the other way round it would lose them.
    await writeDeadLetters(this.#deps, letters)
    let storeBatch: StoreBatch = { type, partition, from, next, events, mark: markOf(batch) }
    let outcome = await store.write(storeBatch)
    // More than once only where an event was left for the sake of another one that is refused too.
    while (outcome.kind === 'refused') {
      const refused = new Map(outcome.events.map((event) => [event.offset, event]))
      await writeDeadLetters(this.#deps, refusedLetters(batch, refused))
      storeBatch = { ...storeBatch, events: storeBatch.events.filter(({ offset }) => !refused.has(offset)) }
      outcome = await store.write(storeBatch)
    }
    telemetry.eventsStored(type, outcome)
  }

  async #storeCanaries(batch: RecordBatch): Promise<void> {
    const { partition, from, next } = batch
    const canaries: CanaryBatch['canaries'][number][] = []
    const letters: DeadLetter[] = []
    for (const record of batch.records) {
      const canary = decodeCanary(record.value)
      if (canary !== undefined) canaries.push({ ...canary, offset: record.offset })
      else letters.push(letterFor(batch, record, { reason: 'undecodable', detail: 'the record is not a canary' }))
    }
    await writeDeadLetters(this.#deps, letters)
    await this.#deps.store.writeCanaries({ partition, from, next, canaries, mark: markOf(batch) })
  }
}

/** Records → events; what is not an event becomes a dead letter with its reason. Throws `NewerEvent` where one is newer. */
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
    else if (decoded.newer) throw new NewerEvent(decoded.detail, record.offset)
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
