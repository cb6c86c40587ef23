import { setImmediate as others, setTimeout as sleep } from 'node:timers/promises'
import { Failure } from '../../errors.ts'
import { type Cursors, nextOf } from '../../log/position.ts'
import type { EventReader } from '../../store/event-store.ts'
import type { Telemetry } from '../../telemetry.ts'
import { reckonErasure } from './erasing.ts'
import { foldEvents } from './fold.ts'
import type { StatisticsStore } from './statistics-store.ts'

export type CounterDeps = {
  reader: EventReader
  statistics: StatisticsStore
  telemetry: Telemetry
  periodMs: number
  batchRecordsMax: number
  now: () => number
}

/**
 * The change feed → the statistics. The invariant: rollups and the cursors that they cover change in one transaction,
 * so at any moment the statistics are a recount of what lies below the cursors.
 */
export class Counter {
  readonly #deps: CounterDeps
  trouble: unknown

  constructor(deps: CounterDeps) {
    this.#deps = deps
  }

  /** Brings the statistics up to date every period, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { periodMs, telemetry } = this.#deps
    while (!signal.aborted) {
      try {
        for (let more = true; more && !signal.aborted; ) {
          more = await this.countNext()
          this.trouble = undefined
          // An embedded store never waits for anything: without this, catching up would keep requests waiting.
          await others()
        }
      } catch (error) {
        this.trouble = error
        telemetry.workFailed('processing', error)
      }
      await sleep(periodMs, undefined, { signal }).catch(() => {})
    }
  }

  /** Counts one page of changes; false when there was nothing more. */
  async countNext(): Promise<boolean> {
    const { reader, statistics, telemetry, batchRecordsMax, now } = this.#deps
    const after = await statistics.cursors()
    const { changes, erasures, next, complete, stored } = await reader.changes({ after, limit: batchRecordsMax })
    refuseOtherStore(after, stored)
    // Who is forgotten comes first, alone, and is reckoned for just these cursors.
    const [erasure] = erasures
    if (erasure !== undefined) {
      if (await statistics.erase(await reckonErasure(reader, { erasure, from: after, now: now() })))
        telemetry.userErased({ partition: erasure.partition, offset: erasure.offset })
      return true
    }
    const moved = next.filter((cursor) => cursor.next > nextOf(after, cursor))
    if (moved.length === 0) return false
    const parts = foldEvents(changes.map(({ event }) => event))
    // False means that another instance was faster: its cursors are where to go on.
    if (await statistics.fold({ from: after, to: moved, parts, now: now() })) {
      telemetry.eventsCounted(changes.length, moved)
    }
    return !complete
  }
}

/** A store that is behind what was counted from it is another one, or an older copy: counting on would count twice. */
function refuseOtherStore(after: Cursors, cursors: Cursors): void {
  for (const { topic, partition, next: counted } of after) {
    const stored = nextOf(cursors, { topic, partition })
    if (stored >= counted) continue
    const detail = `the statistics have ${topic}:${partition} up to ${counted}, the store only up to ${stored}`
    throw new Failure('position_conflict', detail, { retryable: true })
  }
}
