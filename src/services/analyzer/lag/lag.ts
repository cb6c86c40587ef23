import { isFailure } from '../../../errors.ts'
import { TOPICS } from '../../../events/catalogue.ts'
import type { EpochMs } from '../../../events/instant.ts'
import type { EventLog, GroupCursor, PartitionRange } from '../../../log/event-log.ts'
import { type GroupLag, type LagSample, lagTrend } from './trend.ts'

export type LagWatchOptions = {
  log: EventLog
  now?: () => EpochMs
  /** How often it looks by itself, and how old an answer may be, milliseconds. */
  periodMs?: number
  ageMsMax?: number
  seen?: (topic: string, lag: GroupLag) => void
  failed?: (error: unknown) => void
}

const PERIOD_MS = 5000
const AGE_MS_MAX = 1000
/** How long samples are kept: what trends are made of. */
const HISTORY_MS = 120_000

type Watched = { samples: LagSample[]; underWay?: Promise<LagSample>; times: Map<string, EpochMs>; logId?: string }

/**
 * How far the groups are behind the log, in records and seconds, and where that leads. It looks every few seconds, and when
 * it is asked, at most once a second, and keeps what it saw in the last two minutes.
 */
export class LagWatch implements Disposable {
  readonly #options: Required<LagWatchOptions>
  readonly #watched = new Map<string, Watched>()
  readonly #timer: NodeJS.Timeout

  constructor(options: LagWatchOptions) {
    const defaults = { now: Date.now, periodMs: PERIOD_MS, ageMsMax: AGE_MS_MAX, seen: () => {}, failed: () => {} }
    this.#options = { ...defaults, ...options }
    this.#timer = setInterval(() => void this.#lookAtAll(), this.#options.periodMs)
  }

  async of(topic: string): Promise<(GroupLag & ReturnType<typeof lagTrend>)[]> {
    const watched = this.#watchedOf(topic)
    const last = watched.samples.at(-1)
    const isFresh = last !== undefined && this.#options.now() - last.at < this.#options.ageMsMax
    const { groups } = isFresh ? last : await this.#look(topic)
    return groups.map((lag) => ({ ...lag, ...lagTrend(watched.samples, lag.group) }))
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  async #lookAtAll(): Promise<void> {
    for (const topic of TOPICS) {
      try {
        const { groups } = await this.#look(topic)
        for (const lag of groups) this.#options.seen(topic, lag)
      } catch (error) {
        if (!isFailure(error, 'closed')) this.#options.failed(error)
      }
    }
  }

  /** Once for all who ask at the same time. */
  #look(topic: string): Promise<LagSample> {
    const watched = this.#watchedOf(topic)
    watched.underWay ??= this.#sample(topic, watched).finally(() => delete watched.underWay)
    return watched.underWay
  }

  async #sample(topic: string, watched: Watched): Promise<LagSample> {
    const { log, now } = this.#options
    // Groups first: a group can then only seem behind, never ahead of the log.
    const cursors = await log.groups(topic)
    const [partitions, logId] = await Promise.all([log.partitions(topic), log.logId(topic)])
    // Made anew: what was seen tells nothing of it.
    if (logId !== watched.logId) Object.assign(watched, { logId, samples: [], times: new Map() })
    const at = now()
    const times = new Map<string, EpochMs>()
    const byGroup = [...Map.groupBy(cursors, ({ group }) => group)]
    const groups = await Promise.all(
      byGroup.map(([group, some]) => this.#lagOf({ topic, group, partitions, some }, times)),
    )
    watched.times = times
    const appended = partitions.reduce((sum, { next }) => sum + next, 0)
    const sample = { at, appended, groups }
    watched.samples = [...watched.samples.filter((old) => at - old.at <= HISTORY_MS), sample]
    return sample
  }

  async #lagOf(
    of: { topic: string; group: string; partitions: readonly PartitionRange[]; some: readonly GroupCursor[] },
    times: Map<string, EpochMs>,
  ): Promise<GroupLag> {
    const { topic, group, partitions, some } = of
    const unread = partitions.flatMap(({ partition, first, next }) => {
      const from = Math.max(first, some.find((cursor) => cursor.partition === partition)?.next ?? 0)
      return from < next ? [{ topic, partition, from, records: next - from }] : []
    })
    const oldest = await Promise.all(unread.map((one) => this.#timeOf(one, times)))
    const lag = unread.reduce((sum, { records }) => sum + records, 0)
    const seconds = oldest.map((time) => (time === undefined ? 0 : (this.#options.now() - time) / 1000))
    return { group, lag, lag_seconds: Math.max(0, ...seconds) }
  }

  /** When the log took it. A group that stands still is asked about one record again and again: it is read once. */
  async #timeOf(
    { topic, partition, from }: { topic: string; partition: number; from: number },
    times: Map<string, EpochMs>,
  ): Promise<EpochMs | undefined> {
    const place = `${partition}:${from}`
    let time = times.get(place) ?? this.#watchedOf(topic).times.get(place)
    if (time === undefined) {
      const [record] = await this.#options.log.read({ topic, partition, from, limit: 1 }).catch((error) => {
        if (isFailure(error, 'offset_removed')) return []
        throw error
      })
      time = record?.appendTime
    }
    if (time !== undefined) times.set(place, time)
    return time
  }

  #watchedOf(topic: string): Watched {
    let watched = this.#watched.get(topic)
    if (watched === undefined) {
      watched = { samples: [], times: new Map() }
      this.#watched.set(topic, watched)
    }
    return watched
  }
}
