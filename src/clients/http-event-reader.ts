import { Failure, isFailure } from '../errors.ts'
import { CANARY, CATALOGUE, EVENT_TYPES, type EventType, typeOfTopic } from '../events/catalogue.ts'
import { fromWire, NEWER_EVENTS } from '../events/codec.ts'
import { type EpochMs, formatInstant, parseInstant } from '../events/instant.ts'
import { type Cursors, formatCursors, type PartitionCursor, parseCursors, withLogs } from '../log/position.ts'
import { FORGOTTEN_TOPIC } from '../log/tombstone.ts'
import type { ChangePage, ErasedEvent, Erasure, EventReader, StoredEvent } from '../store/event-store.ts'
import { encodeErasedPlace, encodeUserPlace } from '../store/user-place.ts'
import { bearer, serviceUrl } from './service-request.ts'

/** Of what is stored beside events. */
const BESIDE: readonly string[] = [CANARY.topic, FORGOTTEN_TOPIC]
/** How the names of all topics of Runify begin, those of later versions too. */
const OUR_TOPICS = 'runify.'

export type HttpEventReaderOptions = {
  /** Where Storage answers, as `http://storage:8090`. */
  url: string
  /** A key with the scope `read`, where Storage asks for one. */
  apiKey?: string | undefined
}

const ANSWER_MS_MAX = 15_000
/** What Storage gives a page at most. */
const LIMIT_MAX = 10_000

type WireChange = { type: EventType; partition: number; offset: number; event: unknown }
type WireErasure = Omit<Erasure, 'forgotten_at' | 'erased'> & { forgotten_at: string; erased: Record<string, number> }
type WirePage = {
  changes: WireChange[]
  erasures?: WireErasure[]
  next: string
  complete: boolean
  stored: string
  logs?: string
}
type WireList<T> = { events: T[]; next: string | null }

/** An event's id, and when it was received. */
export type ReceivedEvent = { trace_id: string; date_created: EpochMs }

/**
 * Storage by HTTP: its `GET /changes` as an `EventReader`, which is what Processing reads where the two do not share a
 * process, and what else others ask of it. Throws `store_unavailable` (retryable) when Storage does not answer, or answers
 * something else.
 */
export class HttpEventReader implements EventReader {
  readonly #url: string
  readonly #headers: Record<string, string>

  constructor({ url, apiKey }: HttpEventReaderOptions) {
    this.#url = url
    this.#headers = bearer(apiKey)
  }

  async changes({ after, limit }: { after: Cursors; limit: number }): Promise<ChangePage> {
    const query = { after: formatCursors(after), limit: String(Math.min(limit, LIMIT_MAX)) }
    return this.#ask('its changes', `changes?${new URLSearchParams(query)}`, async (response) => {
      if (response.status === 400) throw await refusal(response)
      return readPage((await response.json()) as WirePage)
    })
  }

  async userEvents({ user_id, after, limit }: Parameters<EventReader['userEvents']>[0]): Promise<StoredEvent[]> {
    const found: StoredEvent[] = []
    let cursor = after && encodeUserPlace(after)
    for (;;) {
      const path = `users/${user_id}/events?${listQuery({ cursor, limit: limit - found.length })}`
      const { events, next } = await this.#ask("a user's events", path, async (response) => {
        const page = (await response.json()) as WireList<WireChange>
        return { events: page.events.map(readChange), next: page.next }
      })
      for (const event of events) found.push(event)
      // A page may end before its limit, where events are long.
      if (next === null || found.length >= limit) return found
      cursor = next
    }
  }

  async erasedEvents({ request_id, after, limit }: Parameters<EventReader['erasedEvents']>[0]): Promise<ErasedEvent[]> {
    const cursor = after && encodeErasedPlace(after)
    const path = `erasures/${request_id}/events?${listQuery({ cursor, limit })}`
    return this.#ask('what was erased', path, async (response) => {
      return ((await response.json()) as WireList<ErasedEvent>).events
    })
  }

  /** As `EventStore.event`. */
  async event(traceId: string): Promise<StoredEvent | undefined> {
    return this.#ask('an event', `events/${traceId}`, async (response) => {
      if (response.status === 404) {
        const { code } = (await response.json()) as { code?: unknown }
        if (code === 'not_found') return undefined
        throw new Error(`there is no Storage: ${code}`)
      }
      const { type, partition, offset, ...event } = (await response.json()) as WireChange & Record<string, unknown>
      return readChange({ type, partition, offset, event })
    })
  }

  /** The events of a type that were received from `from` on and before `to`, in that order, some at a time. */
  async *received(of: { type: EventType; from: EpochMs; to: EpochMs }): AsyncGenerator<ReceivedEvent[]> {
    const range = { start_timestamp: formatInstant(of.from), end_timestamp: formatInstant(of.to), by: 'date_created' }
    const path = `${CATALOGUE[of.type].path.slice(1)}?${new URLSearchParams(range)}`
    const leave = new AbortController()
    const what = 'its events'
    try {
      const response = await this.#ask(what, path, async (it) => it, { accept: 'application/x-ndjson', leave })
      let rest = ''
      const decoder = new TextDecoder()
      for await (const chunk of response.body ?? []) {
        const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n')
        rest = lines.pop() as string
        if (lines.length > 0) yield lines.map(readReceived)
      }
      if (rest !== '') throw new Error('the last line has no end')
    } catch (cause) {
      if (isFailure(cause)) throw cause
      throw unanswered(what, cause)
    } finally {
      // Whoever has enough of them need not wait for the others.
      leave.abort()
    }
  }

  async #ask<T>(
    what: string,
    path: string,
    read: (response: Response) => Promise<T>,
    { accept, leave }: { accept?: string; leave?: AbortController } = {},
  ): Promise<T> {
    const signal = leave?.signal ?? AbortSignal.timeout(ANSWER_MS_MAX)
    const headers = { ...this.#headers, ...(accept && { accept }) }
    try {
      const response = await fetch(serviceUrl(this.#url, `/${path}`), { headers, signal })
      const own =
        (response.status === 404 && path.startsWith('events/')) ||
        (response.status === 400 && path.startsWith('changes?'))
      if (response.status === 200 || own) return await read(response)
      throw new Error(`Storage answered ${response.status}: ${await response.text()}`)
    } catch (cause) {
      if (isFailure(cause)) throw cause
      throw unanswered(what, cause)
    }
  }
}

/** Storage does not have as much as its reader has read of it. */
async function refusal(response: Response): Promise<Failure> {
  const { detail } = Object(await response.json()) as { detail?: unknown }
  return new Failure('position_conflict', `Storage refuses the position: ${detail}`, { retryable: true })
}

function unanswered(what: string, cause: unknown): Failure {
  return new Failure('store_unavailable', `Storage did not give ${what}`, { retryable: true, cause })
}

/** Storage is of a later version: what it has must be waited for, not passed over. */
function newerThan(what: string): Failure {
  return new Failure('newer_events', `${NEWER_EVENTS} (Storage has ${what})`, { retryable: false })
}

function readReceived(line: string): ReceivedEvent {
  const { trace_id, date_created } = Object(JSON.parse(line)) as Record<string, unknown>
  const time = typeof date_created === 'string' ? parseInstant(date_created) : undefined
  if (typeof trace_id !== 'string' || time === undefined) throw new Error('a line is not an event')
  return { trace_id, date_created: time }
}

function readPage({ changes, erasures = [], next, complete, stored, logs = '' }: WirePage): ChangePage {
  // The positions first: they tell of topics that this version does not know.
  const cursors = readCursors(next)
  return {
    changes: changes.map(readChange),
    erasures: erasures.map(readErasure),
    next: cursors,
    complete,
    // A Storage of the version before does not tell.
    stored: withLogs(readCursors(stored), logs),
  }
}

function readErasure({ partition, offset, request_id, user_id, forgotten_at, erased }: WireErasure): Erasure {
  const time = parseInstant(forgotten_at)
  if (time === undefined) throw new Error('an erasure has no time')
  const counts = EVENT_TYPES.map((type) => [type, erased[CATALOGUE[type].countName] ?? 0])
  return { partition, offset, request_id, user_id, forgotten_at: time, erased: Object.fromEntries(counts) }
}

function listQuery({ cursor, limit }: { cursor: string | undefined; limit: number }): URLSearchParams {
  const query = { limit: String(Math.min(limit, LIMIT_MAX)), ...(cursor !== undefined && { cursor }) }
  return new URLSearchParams(query)
}

function readChange({ type, partition, offset, event }: WireChange): StoredEvent {
  const decoded = fromWire(type, event)
  if (!decoded.ok && decoded.newer) throw newerThan(`${type} ${partition}:${offset}`)
  if (!decoded.ok) throw new Error(`${type} ${partition}:${offset}: ${decoded.detail}`)
  return { partition, offset, event: decoded.event }
}

function readCursors(text: string): PartitionCursor[] {
  const cursors = parseCursors(text)
  const other = cursors?.find(({ topic }) => !BESIDE.includes(topic) && typeOfTopic(topic) === undefined)
  if (other?.topic.startsWith(OUR_TOPICS)) throw newerThan(other.topic)
  if (cursors === undefined || other !== undefined) throw new Error(`not positions of events: ${text}`)
  return cursors
}
