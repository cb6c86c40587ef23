import { setTimeout as sleep } from 'node:timers/promises'
import type { EpochMs } from '../../events/instant.ts'
import { HISTORY_MINUTES, History } from './history.ts'
import { readDay, writeDay } from './history-file.ts'
import type { HealthTelemetry } from './telemetry.ts'

export type HistoryKeeperDeps = {
  /** Undefined where this process has no data folder: then the histories are in memory only. */
  path: string | undefined
  telemetry: HealthTelemetry
  now: () => EpochMs
}

const DAY_MS = HISTORY_MINUTES * 60_000
/** So much of what was seen is lost at most when the process is killed. */
const SAVE_PERIOD_MS = 15_000

/** The histories of the last day, which survive a restart where there is a data folder. */
export class HistoryKeeper {
  readonly #deps: HistoryKeeperDeps
  readonly #histories = new Map<string, History>()
  #since: EpochMs
  /** Up to when the process before this one has looked. */
  #until: EpochMs | undefined

  private constructor(deps: HistoryKeeperDeps) {
    this.#deps = deps
    this.#since = deps.now()
  }

  /** A file that cannot be read is begun anew: nothing but a day of figures is in it. */
  static async open(deps: HistoryKeeperDeps): Promise<HistoryKeeper> {
    const keeper = new HistoryKeeper(deps)
    try {
      await keeper.#read()
    } catch (error) {
      deps.telemetry.workFailed('health-history', error)
      keeper.#histories.clear()
    }
    return keeper
  }

  /** Since when what is known of the last day goes back; later than a day ago where nobody looked before. */
  get since(): EpochMs {
    return Math.max(this.#since, this.#deps.now() - DAY_MS)
  }

  of(name: string): History {
    const history = this.#histories.get(name) ?? new History()
    this.#histories.set(name, history)
    return history
  }

  /**
   * Counts the time from the end of the process before to now as time in which these were unavailable, as if they had been asked
   * every period. For services of this process only: of others nobody knows.
   */
  addDowntime(names: readonly string[], periodMs: number): void {
    const now = this.#deps.now()
    if (this.#until === undefined) return
    const from = Math.max(this.#until, now - DAY_MS)
    for (const name of names) {
      const history = this.of(name)
      for (let time = from + periodMs; time < now; time += periodMs) history.add({ time, healthy: false })
    }
  }

  /** Until the signal aborts; then once more. */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#deps.path === undefined) return
    while (!signal.aborted) {
      await this.#save()
      await sleep(SAVE_PERIOD_MS, undefined, { signal }).catch(() => {})
    }
    await this.#save()
  }

  async #read(): Promise<void> {
    const { path } = this.#deps
    const day = path === undefined ? undefined : await readDay(path)
    if (day === undefined) return
    for (const [name, minutes] of Object.entries(day.histories)) {
      this.#histories.set(name, History.fromMinutes(minutes))
    }
    this.#since = day.since
    this.#until = day.until
  }

  async #save(): Promise<void> {
    const { path, now, telemetry } = this.#deps
    const until = now()
    const histories = [...this.#histories].map(([name, history]) => [name, history.toMinutes(until)])
    const day = { version: 1, since: this.since, until, histories: Object.fromEntries(histories) } as const
    await writeDay(path as string, day).catch((error) => telemetry.workFailed('health-history', error))
  }
}
