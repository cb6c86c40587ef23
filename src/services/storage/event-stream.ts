import { type EventType, fieldsOf, type RunifyEvent } from '../../events/catalogue.ts'
import { toWire } from '../../events/codec.ts'
import type { EventStore, PageQuery } from '../../store/event-store.ts'

const STREAM_PAGE_ROWS = 1000

/** A whole range, page after page: holds one page, and reads the next only when the last has been sent. */
export async function* streamPages(store: EventStore, query: Omit<PageQuery, 'limit'>): AsyncGenerator<RunifyEvent[]> {
  let { after } = query
  while (true) {
    const events = await store.page({ ...query, after, limit: STREAM_PAGE_ROWS })
    if (events.length > 0) yield events
    const last = events.at(-1)
    if (last === undefined || events.length < STREAM_PAGE_ROWS) return
    after = placeOf(last, query.by)
  }
}

export function placeOf(event: RunifyEvent, by: PageQuery['by']): NonNullable<PageQuery['after']> {
  return { time: by === 'timestamp' ? event.fields.timestamp : event.date_created, trace_id: event.trace_id }
}

export async function* asNdjson(pages: AsyncIterable<RunifyEvent[]>): AsyncGenerator<string> {
  for await (const events of pages) yield events.map((event) => `${JSON.stringify(toWire(event))}\n`).join('')
}

/** RFC 4180, with a line of names first. A field that an event does not have is empty. */
export async function* asCsv(type: EventType, pages: AsyncIterable<RunifyEvent[]>): AsyncGenerator<string> {
  const names = [...fieldsOf(type).map(([name]) => name), 'trace_id', 'date_created']
  // With the first page, not before it: when the store is away, nothing has been answered yet.
  let text = `${names.join(',')}\r\n`
  for await (const events of pages) {
    for (const event of events) {
      const wire = toWire(event)
      text += `${names.map((name) => csvValue(wire[name])).join(',')}\r\n`
    }
    yield text
    text = ''
  }
  if (text !== '') yield text
}

function csvValue(value: string | number | undefined): string {
  if (typeof value !== 'string') return value === undefined ? '' : String(value)
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value
}
