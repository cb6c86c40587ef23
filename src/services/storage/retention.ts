import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { EVENT_TYPES, type EventType } from '../../events/catalogue.ts'
import { type EpochMs, MS_PER_DAY } from '../../events/instant.ts'
import type { EventLog } from '../../log/event-log.ts'
import { encodeTombstone } from '../../log/tombstone.ts'
import type { EventStore } from '../../store/event-store.ts'
import type { Forgetter } from './forgetter.ts'
import type { StorageTelemetry } from './telemetry.ts'

export type RetentionDeps = {
  log: EventLog
  store: EventStore
  forgetter: Forgetter
  telemetry: StorageTelemetry
  /** How long events are kept after they were received. */
  days: number
  now: () => EpochMs
  pause?: (ms: number, signal: AbortSignal) => Promise<unknown>
}

const POLL_INTERVAL_MS = 3_600_000
/** When the last look failed, as when the database was unavailable. */
const RETRY_INTERVAL_MS = 60_000
const PAGE_EVENTS = 1000

/**
 * Removes what was received too long ago: each user who has such events is forgotten up to that time. So what holds of
 * forgetting holds here too: nothing comes back from the log, and statistics go on being a recount of what is stored.
 * Whole UTC days go at a time, so that a user is not forgotten more than once a day.
 */
export class Retention {
  readonly #deps: Required<RetentionDeps>

  constructor(deps: RetentionDeps) {
    this.#deps = { pause: (ms, signal) => sleep(ms, undefined, { signal }).catch(() => {}), ...deps }
  }

  /** Looks every hour, and sooner where that failed, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const failed = await this.removeOld(signal).then(
        () => false,
        (error) => {
          this.#deps.telemetry.workFailed('retention', error)
          return true
        },
      )
      await this.#deps.pause(failed ? RETRY_INTERVAL_MS : POLL_INTERVAL_MS, signal)
    }
  }

  /** May be done by several instances at once: what one has removed, the other does not find. */
  async removeOld(signal?: AbortSignal): Promise<void> {
    const { days, now } = this.#deps
    const end = (Math.floor(now() / MS_PER_DAY) - days) * MS_PER_DAY
    for (const type of EVENT_TYPES) {
      while (!signal?.aborted && (await this.#removeSome(type, end)));
    }
  }

  /** Whether there was something that was received before `end`. */
  async #removeSome(type: EventType, end: EpochMs): Promise<boolean> {
    const { log, store, forgetter } = this.#deps
    const oldest = await store.page({ type, by: 'date_created', order: 'asc', to: end, limit: PAGE_EVENTS })
    const users = new Set(oldest.map(({ fields }) => fields.user_id))
    if (users.size === 0) return false
    const forgotten_at = end - 1
    await log.append([...users].map((user_id) => encodeTombstone({ request_id: randomUUID(), user_id, forgotten_at })))
    await forgetter.catchUp()
    return true
  }
}
