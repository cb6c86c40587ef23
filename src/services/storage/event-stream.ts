import type { EventStore, PageQuery, TextPage } from '../../store/event-store.ts'
import { csvNames, type TextFormat } from '../../store/event-text.ts'

/** Larger pages are hardly quicker, and two of them are in memory for each stream. */
const STREAM_PAGE_ROWS = 1000
const STREAM_PAGE_BYTES = 512 * 1024

export type StreamQuery = Omit<PageQuery, 'limit'>

/** NDJSON, a line an event. */
export function asNdjson(store: EventStore, query: StreamQuery): AsyncGenerator<Buffer> {
  return streamPages(store, query, 'ndjson')
}

/** RFC 4180, with a line of names first. */
export async function* asCsv(store: EventStore, query: StreamQuery): AsyncGenerator<Buffer> {
  // With the first page, not before it: when the store is unavailable, nothing has been answered yet.
  let names: Buffer | undefined = Buffer.from(`${csvNames(query.type)}\r\n`)
  for await (const text of streamPages(store, query, 'csv')) {
    yield names === undefined ? text : Buffer.concat([names, text])
    names = undefined
  }
  if (names !== undefined) yield names
}

/**
 * A whole range, page after page, without the pages that hold nothing. One page is read ahead while another is sent, and
 * no further; nothing in the store is held meanwhile, so a slow client keeps nobody waiting.
 */
async function* streamPages(store: EventStore, query: StreamQuery, format: TextFormat): AsyncGenerator<Buffer> {
  const read = (after: PageQuery['after']) =>
    store.textPage({ ...query, after, format, limit: STREAM_PAGE_ROWS, bytesMax: STREAM_PAGE_BYTES })
  let page: TextPage | undefined = await read(query.after)
  while (page !== undefined) {
    const following: Promise<TextPage> | undefined = page.next && read(page.next)
    // If nobody waits for it any more, its failure is nobody's.
    following?.catch(() => {})
    if (page.events > 0) yield page.text
    page = await following
  }
}
