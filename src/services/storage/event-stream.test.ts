import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { after, before, describe, type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { Failure } from '../../errors.ts'
import { CATALOGUE, EVENT_TYPES, fieldsOf, type RunifyEvent } from '../../events/catalogue.ts'
import { toWire } from '../../events/codec.ts'
import type { EventStore, PageQuery, TextPage } from '../../store/event-store.ts'
import {
  BEGIN,
  filterAndSort,
  openFilledStorage,
  openStorage,
  toSearch,
  turn,
  USERS,
  WAIT,
} from './testing/storage.fixture.ts'

describe('A stream of a range', () => {
  let system: Awaited<ReturnType<typeof openFilledStorage>>
  let events: RunifyEvent[]
  before(async () => {
    system = await openFilledStorage()
    events = system.events
  })
  after(() => system[Symbol.asyncDispose]())

  const get = (path: string, accept: string) => fetch(`${system.address}${path}`, { headers: { accept } })

  const anyFilter = fc.record({
    by: fc.constantFrom('timestamp' as const, 'date_created' as const),
    order: fc.constantFrom('asc' as const, 'desc' as const),
    user_id: fc.option(fc.constantFrom(...USERS), { nil: undefined }),
  })

  test('as NDJSON has the events of the pages, a line each', async () => {
    const property = fc.asyncProperty(fc.constantFrom(...EVENT_TYPES), anyFilter, async (type, query) => {
      const response = await get(`${CATALOGUE[type].path}?${toSearch(query)}`, 'application/x-ndjson')
      assert.equal(response.headers.get('content-type'), 'application/x-ndjson; charset=utf-8')
      const text = await response.text()
      assert.ok(text.endsWith('\n'))
      const lines = text.slice(0, -1).split('\n')
      assert.deepEqual(
        lines.map((line) => JSON.parse(line)),
        filterAndSort(events, { type, ...query }).map(toWire),
      )
    })
    await fc.assert(property, { numRuns: 10 })
  })

  test('as CSV has the events of the pages, whatever commas, quotes and line ends are in the names', async () => {
    const property = fc.asyncProperty(fc.constantFrom(...EVENT_TYPES), anyFilter, async (type, query) => {
      const response = await get(`${CATALOGUE[type].path}?${toSearch(query)}`, 'text/csv')
      assert.equal(response.headers.get('content-type'), 'text/csv; charset=utf-8')
      const [names, ...rows] = parseCsv(await response.text())
      assert.deepEqual(names, [...fieldsOf(type).map(([name]) => name), 'trace_id', 'date_created'])
      const expected = filterAndSort(events, { type, ...query }).map(toWire)
      assert.deepEqual(
        rows,
        expected.map((wire) => (names as string[]).map((name) => String(wire[name] ?? ''))),
      )
    })
    await fc.assert(property, { numRuns: 10 })
  })

  test('of nothing is no line, and the line of names in CSV', async () => {
    const none = '/stats/running?start_timestamp=2025-01-01T00:00:00Z'
    assert.equal(await (await get(none, 'application/x-ndjson')).text(), '')
    const csv = await (await get(none, 'text/csv')).text()
    assert.equal(csv, 'user_id,duration,distance,timestamp,event_id,trace_id,date_created\r\n')
  })
})
describe('A stream of a range that has no end', () => {
  test('is read no further when its client has gone away', async (t) => {
    const endless = new EndlessStore()
    await using system = await openStorage({ wrap: endless.wrap })
    for (const accept of ['application/x-ndjson', 'text/csv']) {
      const response = await open(`${system.address}/stats/running`, accept)
      response.resume()
      await t.waitFor(() => assert.ok(endless.pagesRead >= 5), WAIT)
      response.destroy()
      await assertReadNoFurther(t, endless)
    }
  })

  test('is read no faster than its client reads', async (t) => {
    const endless = new EndlessStore()
    await using system = await openStorage({ wrap: endless.wrap })
    const response = await open(`${system.address}/stats/running`, 'application/x-ndjson')
    // Nobody reads the answer: what the connection buffers is all that is read from the store.
    await assertReadNoFurther(t, endless)
    response.destroy()
  })

  test('is cut off, not ended as if it were whole, when the store goes away in the midst of it', async () => {
    const endless = new EndlessStore({ pagesMax: 3 })
    await using system = await openStorage({ wrap: endless.wrap })
    for (const accept of ['application/x-ndjson', 'text/csv']) {
      endless.pagesRead = 0
      const response = await fetch(`${system.address}/stats/running`, { headers: { accept } })
      assert.equal(response.status, 200)
      await assert.rejects(response.text(), TypeError)
    }
  })

  test('is 503 when the store is unavailable from the beginning', async () => {
    const endless = new EndlessStore({ pagesMax: 0 })
    await using system = await openStorage({ wrap: endless.wrap })
    for (const accept of ['application/json', 'application/x-ndjson', 'text/csv']) {
      const response = await fetch(`${system.address}/stats/running`, { headers: { accept } })
      assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '1'])
      assert.equal(response.headers.get('content-type'), 'application/problem+json; charset=utf-8')
      assert.equal(((await response.json()) as { code: string }).code, 'store_unavailable')
    }
  })

  test('is not read for HEAD', async (t) => {
    const endless = new EndlessStore()
    await using system = await openStorage({ wrap: endless.wrap })
    const headers = { accept: 'application/x-ndjson' }
    const response = await fetch(`${system.address}/stats/running`, { method: 'HEAD', headers })
    assert.deepEqual(
      [response.status, response.headers.get('content-type')],
      [200, 'application/x-ndjson; charset=utf-8'],
    )
    await assertReadNoFurther(t, endless)
    assert.ok(endless.pagesRead <= 1, `${endless.pagesRead} pages were read`)
  })
})
/** The store, but with runs without end: each page is full, whatever page it is; after `pagesMax` it is unavailable. */
class EndlessStore {
  pagesRead = 0
  readonly #pagesMax: number

  constructor({ pagesMax = Number.POSITIVE_INFINITY } = {}) {
    this.#pagesMax = pagesMax
  }

  wrap = (store: EventStore): EventStore => {
    return new Proxy(store, {
      get: (target, name) => {
        if (name === 'textPage') return (query: PageQuery) => this.#page(query)
        const member = Reflect.get(target, name) as unknown
        return typeof member === 'function' ? member.bind(target) : member
      },
    })
  }

  async #page({ limit, after }: PageQuery): Promise<TextPage> {
    if (this.pagesRead === this.#pagesMax)
      throw new Failure('store_unavailable', 'the store is unavailable', { retryable: true })
    this.pagesRead++
    await turn()
    const begin = (after?.time ?? BEGIN) + 1
    const events = Array.from({ length: limit }, (_, index) => runAt(begin + index))
    const { trace_id, date_created } = events.at(-1) as RunifyEvent
    const text = Buffer.from(`${events.map((event) => JSON.stringify(toWire(event))).join('\n')}\n`)
    return { text, events: limit, next: { time: date_created, trace_id } }
  }
}

/** Waits until so many looks in a row find no page read in between. */
async function assertReadNoFurther(t: TestContext, endless: EndlessStore): Promise<void> {
  let before = -1
  let same = 0
  await t.waitFor(() => {
    same = endless.pagesRead === before ? same + 1 : 0
    before = endless.pagesRead
    assert.ok(same >= 20, `${endless.pagesRead} pages were read, and it goes on`)
  }, WAIT)
}
function runAt(timestamp: number): RunifyEvent {
  const user_id = USERS[0] as string
  const fields = { user_id, duration: 1, distance: 1, timestamp, event_id: 'x'.repeat(100) }
  return { type: 'running_stats', trace_id: user_id, date_created: timestamp, fields }
}
async function open(url: string, accept: string): Promise<IncomingMessage> {
  const request = httpGet(url, { headers: { accept } })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  assert.equal(response.statusCode, 200)
  // Destroying an answer half way is an error of its request.
  request.on('error', () => {})
  return response.on('error', () => {})
}
/** RFC 4180, strictly: records end with CRLF, and a quote stands only around a whole field or doubled within one. */
function parseCsv(text: string): string[][] {
  const records: string[][] = []
  let at = 0
  while (at < text.length) {
    const record: string[] = []
    while (true) {
      const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y
      field.lastIndex = at
      const [whole, quoted, plain, ending] =
        field.exec(text) ?? assert.fail(`no field at ${at} of ${JSON.stringify(text)}`)
      at += whole.length
      record.push(quoted?.replaceAll('""', '"') ?? plain ?? '')
      if (ending === '\r\n') break
    }
    records.push(record)
  }
  return records
}
