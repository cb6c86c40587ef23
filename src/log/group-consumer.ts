import { setImmediate as others, setTimeout as sleep } from 'node:timers/promises'
import { NewerEvent } from '../errors.ts'
import type { EventLog, RecordBatch } from './event-log.ts'
import { KeyedExecutor } from './keyed-executor.ts'
import { type Keeper, placeInLog } from './place-in-log.ts'
import { type KeptCursor, keptAt, type PartitionCursor } from './position.ts'

export type GroupWork = {
  log: EventLog
  group: string
  topics: readonly string[]
  batchRecordsMax: number
  /** Batches of so many partitions are handled at once. */
  handledAtOnce: number
  /** Up to where each partition is handled. */
  cursors: () => Promise<KeptCursor[]>
  keeper: Keeper
  /** Keeps the mark of a cursor that has none yet, as an older version wrote it. */
  adopt: (cursor: KeptCursor) => Promise<void>
  /**
   * Handles a batch and moves its partition's cursor to `next`, both in one transaction. `from` is where the batch before
   * it ended, also where retention has removed what followed. A batch may come again; what lies before the cursor is
   * skipped. Throws `NewerEvent` before it has done anything; then it is given what lies before that.
   */
  handle: (batch: RecordBatch) => Promise<void>
  failed: (work: 'consume' | 'commit', error: unknown) => void
  /** Retention or compaction has removed these records before they came: all between the two, or so many. */
  removedUnread: (gap: { topic: string; partition: number; from: number; to: number; records?: number }) => void
}

const RETRY_MS = 200
const RETRY_MS_MAX = 5000
/** How often the group's cursor is committed. It is for lag tools only: the truth is where the work's cursors are. */
const COMMIT_EVERY_MS = 500

/**
 * The log → whoever handles it, each record once. The invariant: what comes of a batch and the cursor behind it are one
 * transaction, and reading always goes on from that cursor; so it may be stopped, killed or doubled at any point.
 */
export class GroupConsumer {
  readonly #work: GroupWork
  #failure: unknown
  /** The partitions that stand before an event that is newer than this version: another one passes it, or nobody. */
  readonly #newer = new Map<string, NewerEvent>()

  /** What keeps it from working now; undefined while all is well. */
  get lastError(): unknown {
    return this.#failure ?? this.#newer.values().next().value
  }

  constructor(work: GroupWork) {
    this.#work = work
  }

  /** Runs until the signal aborts. Whatever fails is tried again from the cursors, more and more slowly. */
  async run(signal: AbortSignal): Promise<void> {
    let retryMs = RETRY_MS
    while (!signal.aborted) {
      try {
        await this.#consume(signal, () => {
          retryMs = RETRY_MS
        })
      } catch (error) {
        this.#failure = error
        this.#work.failed('consume', error)
        await sleep(retryMs, undefined, { signal }).catch(() => {})
        retryMs = Math.min(retryMs * 2, RETRY_MS_MAX)
      }
    }
  }

  async #consume(signal: AbortSignal, worked: () => void): Promise<void> {
    const { log, group, topics, batchRecordsMax, handledAtOnce, failed, removedUnread } = this.#work
    const expected = new Map<string, number>()
    const startAt = async (at: { topic: string; partition: number; logId: string }) => {
      const next = await this.#startOf(at)
      expected.set(`${at.topic}:${at.partition}`, next)
      this.#failure = undefined
      return next
    }
    await using commits = new LazyCommits((cursors) =>
      log.commit(group, cursors).catch((error: unknown) => failed('commit', error)),
    )
    await using executor = new KeyedExecutor(handledAtOnce, signal)
    for await (const batch of log.consume({ group, topics, startAt, batchRecordsMax, signal: executor.signal })) {
      const { topic, partition, from, next } = batch
      const id = `${topic}:${partition}`
      const expectedFrom = expected.get(id) ?? from
      expected.set(id, next)
      await executor.start(id, async () => {
        if (from > expectedFrom) removedUnread({ topic, partition, from: expectedFrom, to: from })
        if (batch.gap !== undefined) removedUnread({ topic, partition, ...batch.gap })
        await this.#handle(id, from > expectedFrom ? { ...batch, from: expectedFrom } : batch)
        commits.add({ topic, partition, next })
        this.#failure = undefined
        worked()
      })
      // The embedded log and store never wait for anything: without this, catching up would keep requests waiting.
      await others()
    }
    await executor.drain()
  }

  async #handle(id: string, batch: RecordBatch): Promise<void> {
    const { handle } = this.#work
    try {
      await handle(batch)
      this.#newer.delete(id)
    } catch (error) {
      if (!(error instanceof NewerEvent)) throw error
      this.#newer.set(id, error)
      const { offset: next } = error
      const records = batch.records.filter(({ offset }) => offset < next)
      if (next > batch.from) await handle({ ...batch, records, next })
      throw error
    }
  }

  /** The cursor, where it is one of this log. */
  async #startOf(at: { topic: string; partition: number; logId: string }): Promise<number> {
    const { log, keeper, adopt } = this.#work
    const cursors = await this.#work.cursors()
    const place = await placeInLog(log, at, { cursors, keeper })
    const kept = keptAt(cursors, at)
    if (kept !== undefined && kept.mark === undefined) await adopt(place)
    return place.next
  }
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

  add(cursor: PartitionCursor): void {
    this.#cursors.set(`${cursor.topic}:${cursor.partition}`, cursor)
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
