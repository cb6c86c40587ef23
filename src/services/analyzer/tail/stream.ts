import { setTimeout as sleep } from 'node:timers/promises'
import { isFailure } from '../../../errors.ts'
import { CATALOGUE, type EventType } from '../../../events/catalogue.ts'
import { decodeKnown, toWire } from '../../../events/codec.ts'
import { formatInstant } from '../../../events/instant.ts'
import type { EventLog } from '../../../log/event-log.ts'
import type { LiveLog, LiveRecord } from './live-log.ts'
import { formatTailPosition, type TailPosition } from './position.ts'

export type TailOptions = {
  log: EventLog
  live: LiveLog
  types: readonly EventType[]
  userId?: string | undefined
  /** Where it goes on; without it, at the end of the log. Types that are not in it begin at the end. */
  after?: TailPosition | undefined
  /** The client has come back with an id that is none of this log's. */
  isUnknown?: boolean
  /** It ends behind so many events. */
  limit?: number | undefined
  heartbeatMs: number
  /** The client has gone. */
  signal: AbortSignal
  told: (what: { events?: number; missed?: number }) => void
}

/** What is written at once, about. */
const CHUNK_CHARACTERS = 64 * 1024
const CATCH_UP = { limit: 500, bytesMax: 256 * 1024 }
const RECONNECT_MS = 1000

/**
 * A stream of events as text (https://html.spec.whatwg.org/multipage/server-sent-events.html): first what the log holds
 * behind `after`, then what comes. Every event's id is the position behind it, so that a client that reconnects with it
 * gets all the rest and nothing twice. It holds one chunk, and makes the next when that has been taken: whoever is too
 * slow for what `live` keeps is told what it has missed.
 */
export async function* streamTail(options: TailOptions): AsyncGenerator<string> {
  const { live, signal } = options
  using following = await live.follow()
  const tail = new Tail(options)
  yield `retry: ${RECONNECT_MS}\n${tail.idLine}\n${options.isUnknown ? tail.missedUnknown() : ''}`
  while (!following.hasEnded() && !signal.aborted && !tail.full) {
    const { news } = live
    const text = (await tail.catchUp()) ?? tail.missed() ?? tail.more()
    if (text === undefined && (await isQuiet(news, options))) yield `: nothing new\n${tail.idLine}\n`
    else if (text !== undefined && text !== '') yield text
  }
}

/** Whether nothing comes for as long as the client is to be left alone. */
async function isQuiet(news: Promise<void>, { heartbeatMs, signal }: TailOptions): Promise<boolean> {
  const done = new AbortController()
  const pause = sleep(heartbeatMs, true, { signal: AbortSignal.any([done.signal, signal]) }).catch(() => false)
  const quiet = await Promise.race([news.then(() => false), pause])
  done.abort()
  return quiet
}

class Tail {
  readonly #options: TailOptions
  readonly #position: Partial<Record<EventType, number[]>> = {}
  /** The number of the live record that comes next; undefined while it catches up with them. */
  #next: number | undefined
  #left: number

  constructor(options: TailOptions) {
    const { types, after = {}, live, limit = Number.POSITIVE_INFINITY } = options
    this.#options = options
    this.#left = limit
    for (const type of types) this.#position[type] = [...(after[type] ?? live.end[type])]
  }

  get idLine(): string {
    this.#addPartitions()
    return `id: ${formatTailPosition(this.#position)}\n`
  }

  /** As many events as were asked for have been told. */
  get full(): boolean {
    return this.#left <= 0
  }

  /** What the log holds before the live records; undefined when that is all told. */
  async catchUp(): Promise<string | undefined> {
    if (this.#next !== undefined) return undefined
    const [behind] = this.#behind()
    if (behind === undefined) {
      this.#next = this.#options.live.first
      return undefined
    }
    const { type, partition, from, to } = behind
    const { topic } = CATALOGUE[type]
    try {
      const records = await this.#options.log.read({ topic, partition, from, ...CATCH_UP })
      let text = ''
      for (const record of records) text += this.#tell({ type, partition, record })
      // Nothing is left where retention has removed the rest in the meantime.
      if (records.length === 0) this.#move(type, partition, to)
      return text
    } catch (error) {
      if (!isFailure(error, 'offset_removed')) throw error
      const first = (await this.#options.log.partitions(topic))[partition]?.first ?? to
      return this.#tellMissed('removed', [{ type, partition, from, to: Math.max(first, from + 1) }])
    }
  }

  /** Nobody knows how much came in between. */
  missedUnknown(): string {
    return `event: missed\ndata: ${JSON.stringify({ why: 'unknown_id', records: null, partitions: [] })}\n${this.idLine}\n`
  }

  /** What went by while the client was too slow. */
  missed(): string | undefined {
    const behind = this.#behind()
    return behind.length === 0 ? undefined : this.#tellMissed('slow', behind)
  }

  /** The next live records; undefined when there are none. */
  more(): string | undefined {
    const { live } = this.#options
    let next = Math.max(this.#next ?? 0, live.first)
    if (next === live.next) return undefined
    let text = ''
    for (; next < live.next && text.length < CHUNK_CHARACTERS && !this.full; next++) text += this.#tell(live.at(next))
    this.#next = next
    return text
  }

  #tell(live: LiveRecord): string {
    const { type, partition, record } = live
    const { userId, told } = this.#options
    const nexts = this.#position[type]
    // Another type, or told before; or there are enough.
    if (nexts === undefined || record.offset < (nexts[partition] ?? 0) || this.full) return ''
    this.#move(type, partition, record.offset + 1)
    // A record's key is its user's id.
    if (userId !== undefined && record.key !== userId) return ''
    this.#left--
    told({ events: 1 })
    live.text ??= eventText(live)
    return `${live.text}${this.idLine}\n`
  }

  #tellMissed(why: 'slow' | 'removed', gaps: readonly Gap[]): string {
    const records = gaps.reduce((sum, { from, to }) => sum + to - from, 0)
    for (const { type, partition, to } of gaps) this.#move(type, partition, to)
    this.#options.told({ missed: records })
    return `event: missed\ndata: ${JSON.stringify({ why, records, partitions: gaps })}\n${this.idLine}\n`
  }

  /** What lies before the live records and has not been told. */
  #behind(): Gap[] {
    const { live, types } = this.#options
    return types.flatMap((type) =>
      live.begin[type].flatMap((to, partition) => {
        const from = this.#position[type]?.[partition] ?? 0
        return from < to ? [{ type, partition, from, to }] : []
      }),
    )
  }

  #move(type: EventType, partition: number, next: number): void {
    this.#addPartitions()
    const nexts = this.#position[type] as number[]
    nexts[partition] = next
  }

  /** Those that were added since: they are told from their beginning. */
  #addPartitions(): void {
    const { live, types } = this.#options
    for (const type of types) {
      const nexts = this.#position[type] as number[]
      while (nexts.length < live.end[type].length) nexts.push(0)
    }
  }
}

type Gap = { type: EventType; partition: number; from: number; to: number }

function eventText({ type, partition, record }: LiveRecord): string {
  const { offset, appendTime, value } = record
  const place = { partition, offset, append_time: formatInstant(appendTime) }
  const decoded = decodeKnown(type, value)
  if (decoded.ok) return `event: ${type}\ndata: ${JSON.stringify({ type, ...toWire(decoded.event), ...place })}\n`
  return `event: undecodable\ndata: ${JSON.stringify({ type, ...place, detail: decoded.detail })}\n`
}
