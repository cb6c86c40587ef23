import { setTimeout as sleep } from 'node:timers/promises'
import { typeOfTopic } from '../../../events/catalogue.ts'
import type { PartitionCursor } from '../../../log/position.ts'
import type { StoredEvent } from '../../../store/event-store.ts'
import type { TopicOffsetRange } from '../topic-follower.ts'
import type { AuditedStore } from './sources.ts'

const PAGE_ROWS = 1000
/** Before it asks again for what a feed that stands still has not given. */
const PAUSE_MS = 20

/** The rows of one partition in the order of their offsets, from the feed of changes, some pages at a time. */
export class StoredRows {
  readonly #store: AuditedStore
  readonly #range: TopicOffsetRange
  #others: PartitionCursor[]
  #rows: StoredEvent[] = []
  #at = 0
  #next: number
  #complete: boolean

  /** `stored`: up to where the store has everything. Rows before `range.to` only. */
  constructor(store: AuditedStore, range: TopicOffsetRange, stored: readonly PartitionCursor[]) {
    this.#store = store
    this.#range = range
    const { from, to } = range
    this.#others = this.#withoutOurs(stored)
    this.#next = from
    this.#complete = from >= to
  }

  /** The row that comes next, if it lies before `offset`. */
  async before(offset: number): Promise<StoredEvent | undefined> {
    if (this.#at === this.#rows.length && !this.#complete) await this.#read()
    const row = this.#rows[this.#at]
    if (row === undefined || row.offset >= offset) return undefined
    this.#at++
    return row
  }

  async #read(): Promise<void> {
    const { topic, partition, to } = this.#range
    const type = typeOfTopic(topic)
    this.#rows = []
    this.#at = 0
    while (this.#rows.length === 0 && !this.#complete) {
      const after = [...this.#others, { topic, partition, next: this.#next }]
      const { changes, next, stored, complete } = await this.#store.changes({ after, limit: PAGE_ROWS })
      this.#others = this.#withoutOurs(stored)
      const ours = changes.filter((row) => row.event.type === type && row.partition === partition)
      this.#rows = ours.filter(({ offset }) => offset < to)
      const reached = next.find((cursor) => cursor.topic === topic && cursor.partition === partition)?.next ?? to
      // A feed that has nothing more may not have come so far, as that of a partition that the store does not know.
      this.#complete = reached >= to || (reached <= this.#next && complete)
      this.#next = reached
      // It stands still while a user is being erased.
      if (changes.length === 0 && !this.#complete) await sleep(PAUSE_MS)
    }
  }

  /** The feed is of all partitions: of the others only what has come since is in the way. */
  #withoutOurs(stored: readonly PartitionCursor[]): PartitionCursor[] {
    const { topic, partition } = this.#range
    return stored.filter((cursor) => cursor.topic !== topic || cursor.partition !== partition)
  }
}
