import { Failure } from '../../errors.ts'
import { type EventType, typeOfTopic } from '../../events/catalogue.ts'
import { fromWire } from '../../events/codec.ts'
import { type Cursors, formatCursors, type PartitionCursor, parseCursors } from '../../log/position.ts'
import type { ChangePage, EventReader, StoredEvent } from '../../store/event-store.ts'

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
type WirePage = { changes: WireChange[]; next: string; complete: boolean; stored: string }

/**
 * Storage's `GET /changes` as an `EventReader`: what Processing reads where the two do not share a process. Throws
 * `store_unavailable` (retryable) when Storage does not answer, or answers something else.
 */
export class HttpEventReader implements EventReader {
  readonly #url: URL
  readonly #headers: Record<string, string>

  constructor({ url, apiKey }: HttpEventReaderOptions) {
    this.#url = new URL('changes', url.endsWith('/') ? url : `${url}/`)
    this.#headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }
  }

  async changes({ after, limit }: { after: Cursors; limit: number }): Promise<ChangePage> {
    const url = new URL(this.#url)
    url.searchParams.set('after', formatCursors(after))
    url.searchParams.set('limit', String(Math.min(limit, LIMIT_MAX)))
    try {
      const response = await fetch(url, { headers: this.#headers, signal: AbortSignal.timeout(ANSWER_MS_MAX) })
      if (response.status !== 200) throw new Error(`Storage answered ${response.status}: ${await response.text()}`)
      return readPage((await response.json()) as WirePage)
    } catch (cause) {
      throw new Failure('store_unavailable', 'Storage did not give its changes', { retryable: true, cause })
    }
  }
}

function readPage({ changes, next, complete, stored }: WirePage): ChangePage {
  return { changes: changes.map(readChange), next: readCursors(next), complete, stored: readCursors(stored) }
}

function readChange({ type, partition, offset, event }: WireChange): StoredEvent {
  const decoded = fromWire(type, event)
  if (!decoded.ok) throw new Error(`${type} ${partition}:${offset}: ${decoded.detail}`)
  return { partition, offset, event: decoded.event }
}

function readCursors(text: string): PartitionCursor[] {
  const cursors = parseCursors(text)
  if (cursors === undefined || cursors.some(({ topic }) => typeOfTopic(topic) === undefined)) {
    throw new Error(`not positions of events: ${text}`)
  }
  return cursors
}
