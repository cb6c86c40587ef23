import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempDisposable } from 'node:fs/promises'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { readConfig } from '../../config.ts'
import { CATALOGUE, EVENT_TYPES, type EventType, fieldsOf, type RunifyEvent, TOPICS } from '../../events/catalogue.ts'
import { encodeEvent, fromWire, toWire } from '../../events/codec.ts'
import { anyEvent } from '../../events/event.arbitrary.ts'
import { formatInstant } from '../../events/instant.ts'
import { EmbeddedLog } from '../../log/embedded-log.ts'
import { nextOf } from '../../log/position.ts'
import type { EventStore, PageQuery } from '../../store/event-store.ts'
import { openSqliteStore } from '../../store/sqlite-store.ts'
import { createTelemetry } from '../../telemetry.ts'
import { createStorage } from './storage.ts'

const telemetry = createTelemetry('storage', 'silent')
const config = readConfig({})
const WAIT = { interval: 5, timeout: 20_000 }

type Wire = Record<string, string | number>
type Query = Record<string, string | number>

const USERS = [1, 2, 3].map((digit) => `0000000${digit}-6c54-4b01-90e6-d701748f0851`)
const BEGIN = Date.UTC(2024, 0, 1)
/** Few instants, so that many events share one and `trace_id` has to decide. */
const anyTime = fc.integer({ min: 0, max: 5 }).map((second) => BEGIN + second * 1000)
/** What CSV must quote, and what it need not. */
const anyName = fc.string({
  unit: fc.constantFrom('a', ' ', ',', '"', '\n', '\r', '\t', ';', "'", '𝄞', '\u2028', '\0'),
  minLength: 1,
  maxLength: 20,
})
const ours = { user_id: fc.constantFrom(...USERS), timestamp: anyTime, date_created: anyTime }
const anyRun = anyEvent('running_stats', { ...ours, event_id: anyName })
const anyPlay = anyEvent('music_info', { ...ours, song_name: anyName, artist: anyName, event_id: anyName })

describe('Storage', () => {
  let system: Awaited<ReturnType<typeof openStorage>>
  let events: RunifyEvent[]

  before(async () => {
    system = await openStorage()
    const [runs, plays] = fc.sample(fc.tuple(manyOf(anyRun), manyOf(anyPlay)), { numRuns: 1, seed: 42 })[0] ?? [[], []]
    events = [...runs, ...plays]
    await append(system.log, events)
    await untilStored(system.log, system.store)
  })
  after(() => system[Symbol.asyncDispose]())

  const get = (path: string, headers: Record<string, string> = {}) => fetch(`${system.address}${path}`, { headers })
  const ofType = (type: EventType) => events.filter((event) => event.type === type)

  describe('pages of a range', () => {
    const anyQuery = fc.record({
      type: fc.constantFrom(...EVENT_TYPES),
      by: fc.constantFrom('timestamp' as const, 'date_created' as const),
      order: fc.constantFrom('asc' as const, 'desc' as const),
      from: fc.option(anyTime, { nil: undefined }),
      to: fc.option(anyTime, { nil: undefined }),
      user_id: fc.option(fc.constantFrom(...USERS), { nil: undefined }),
    })

    test('follow each other by their links through the whole range, in order, each event once', async () => {
      const property = fc.asyncProperty(anyQuery, fc.integer({ min: 1, max: 150 }), async (query, limit) => {
        const pages = await followLinks(
          `${system.address}${CATALOGUE[query.type].path}?${toSearch({ ...query, limit })}`,
        )
        assert.deepEqual(pages.flat(), filterAndSort(events, query).map(toWire))
        assert.ok(pages.slice(0, -1).every((page) => page.length === limit))
      })
      await fc.assert(property, { numRuns: 40 })
    })

    for (const by of ['timestamp', 'date_created'] as const) {
      for (const order of ['asc', 'desc'] as const) {
        for (const limit of [1, 7, 120, 10_000]) {
          test(`are complete by ${by}, ${order}, ${limit} at a time`, async () => {
            const pages = await followLinks(`${system.address}/stats/running?${toSearch({ by, order, limit })}`)
            assert.deepEqual(pages.flat(), filterAndSort(events, { type: 'running_stats', by, order }).map(toWire))
          })
        }
      }
    }

    test('have no link behind the last one, also where it is full', async () => {
      const count = ofType('running_stats').length
      assert.equal((await get(`/stats/running?limit=${count}`)).headers.get('link'), null)
      assert.match((await get(`/stats/running?limit=${count - 1}`)).headers.get('link') ?? '', /rel="next"$/)
      const none = await get('/stats/running?start_timestamp=2025-01-01T00:00:00Z')
      assert.deepEqual([none.status, none.headers.get('link'), await none.json()], [200, null, []])
    })

    test('take their cursor for the order only that it was made for', async () => {
      const [, cursor] = /cursor=([^&>]+)/.exec((await get('/stats/running?limit=1')).headers.get('link') ?? '') ?? []
      assert.ok(cursor !== undefined)
      assert.equal((await get(`/stats/running?limit=1&cursor=${cursor}`)).status, 200)
      for (const query of [`order=desc&cursor=${cursor}`, `by=date_created&cursor=${cursor}`, 'cursor=nonsense']) {
        const response = await get(`/stats/running?${query}`)
        const problem = (await response.json()) as { code: string; errors: { pointer: string }[] }
        const got = [response.status, problem.code, problem.errors[0]?.pointer]
        assert.deepEqual(got, [400, 'invalid_parameter', '/cursor'], query)
      }
    })

    test('refuse parameters that are wrong, unknown or given twice, and name them', async () => {
      const queries = {
        '/limit': ['limit=0', 'limit=10001', 'limit=1.5', 'limit=', 'limit=1e3', 'limit=1&limit=2'],
        '/by': ['by=trace_id', 'by=TIMESTAMP'],
        '/order': ['order=up'],
        '/start_timestamp': ['start_timestamp=2024-01-01', 'start_timestamp=2024-02-30T00:00:00Z', 'start_timestamp=0'],
        '/end_timestamp': ['end_timestamp=2024-01-01T00:00:00', 'end_timestamp=2024-01-01T00:00:00+02:00'],
        '/user_id': ['user_id=1'],
        '/sort': ['sort=asc'],
      }
      for (const [pointer, wrong] of Object.entries(queries)) {
        for (const query of wrong) {
          const response = await get(`/stats/running?${query}`)
          const problem = (await response.json()) as { code: string; errors: { pointer: string }[] }
          const got = [response.status, problem.code, problem.errors[0]?.pointer]
          assert.deepEqual(got, [400, 'invalid_parameter', pointer], query)
        }
      }
    })
  })

  describe('streams of a range', () => {
    const anyFilter = fc.record({
      by: fc.constantFrom('timestamp' as const, 'date_created' as const),
      order: fc.constantFrom('asc' as const, 'desc' as const),
      user_id: fc.option(fc.constantFrom(...USERS), { nil: undefined }),
    })

    test('as NDJSON have the events of the pages, a line each', async () => {
      const property = fc.asyncProperty(fc.constantFrom(...EVENT_TYPES), anyFilter, async (type, query) => {
        const response = await get(`${CATALOGUE[type].path}?${toSearch(query)}`, { accept: 'application/x-ndjson' })
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

    test('as CSV have the events of the pages, whatever commas, quotes and line ends are in the names', async () => {
      const property = fc.asyncProperty(fc.constantFrom(...EVENT_TYPES), anyFilter, async (type, query) => {
        const response = await get(`${CATALOGUE[type].path}?${toSearch(query)}`, { accept: 'text/csv' })
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

    test('of nothing are no line, and the line of names in CSV', async () => {
      const none = '/stats/running?start_timestamp=2025-01-01T00:00:00Z'
      assert.equal(await (await get(none, { accept: 'application/x-ndjson' })).text(), '')
      const csv = await (await get(none, { accept: 'text/csv' })).text()
      assert.equal(csv, 'user_id,duration,distance,timestamp,event_id,trace_id,date_created\r\n')
    })
  })

  describe('Accept', () => {
    const chosen: Record<string, string> = {
      '*/*': 'application/json',
      'application/json': 'application/json',
      'application/*': 'application/json',
      'text/csv, application/json': 'text/csv',
      'text/*': 'text/csv',
      'application/json;q=0.1, application/x-ndjson': 'application/x-ndjson',
      'text/html, */*;q=0.1': 'application/json',
      'TEXT/CSV': 'text/csv',
    }
    for (const [accept, type] of Object.entries(chosen)) {
      test(`${accept} is answered with ${type}`, async () => {
        const response = await get('/stats/running?limit=1', { accept })
        await response.arrayBuffer()
        assert.deepEqual([response.status, response.headers.get('content-type')], [200, `${type}; charset=utf-8`])
      })
    }

    test('of something else is 406 and names what there is', async () => {
      for (const accept of ['image/png', 'text/html', 'application/json;q=0', 'application/xml;q=0.9']) {
        const response = await get('/stats/running', { accept })
        const problem = (await response.json()) as { code: string; detail: string }
        assert.deepEqual([response.status, problem.code], [406, 'not_acceptable'], accept)
        assert.match(problem.detail, /application\/json, application\/x-ndjson, text\/csv/)
      }
    })
  })

  describe('HEAD', () => {
    test('has the headers of GET and no body', async () => {
      for (const path of ['/stats', '/stats/running?limit=3', `/events/${events[0]?.trace_id}`, '/changes?limit=3']) {
        const [head, whole] = await Promise.all([fetch(`${system.address}${path}`, { method: 'HEAD' }), get(path)])
        const names = ['content-type', 'content-length', 'link']
        assert.equal(head.status, 200, path)
        for (const name of names) assert.equal(head.headers.get(name), whole.headers.get(name), `${name} of ${path}`)
        assert.equal(await head.text(), '')
      }
    })

    test('of what is not there has its status', async () => {
      const response = await fetch(`${system.address}/events/${USERS[0]}`, { method: 'HEAD' })
      assert.equal(response.status, 404)
    })
  })

  describe('GET /events/{trace_id}', () => {
    test('gives each event with its type', async () => {
      for (const event of [...ofType('running_stats').slice(0, 10), ...ofType('music_info').slice(0, 10)]) {
        const response = await get(`/events/${event.trace_id}`)
        assert.deepEqual(await response.json(), { type: event.type, ...toWire(event) })
      }
    })

    test('takes the id in capitals too', async () => {
      const { trace_id } = events[0] as RunifyEvent
      assert.equal((await get(`/events/${trace_id.toUpperCase()}`)).status, 200)
    })

    test('is 404 for an id that is not stored, and 400 for what is no id', async () => {
      const answers = { [USERS[0] as string]: [404, 'not_found'], 'not-an-id': [400, 'invalid_parameter'] }
      for (const [id, expected] of Object.entries(answers)) {
        const response = await get(`/events/${id}`)
        assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], expected)
      }
    })
  })

  test('GET /stats counts what is stored', async () => {
    const counts = { num_running_stats: ofType('running_stats').length, num_music_info: ofType('music_info').length }
    assert.deepEqual(await (await get('/stats')).json(), counts)
  })

  test('GET /changes refuses what is not a position', async () => {
    for (const after of ['nonsense', 'runify.running_stats:0', 'runify.running_stats:0:-1', 'a:0:1,a:0:2']) {
      const response = await get(`/changes?after=${after}`)
      const problem = (await response.json()) as { code: string; errors: { pointer: string }[] }
      assert.deepEqual([response.status, problem.errors[0]?.pointer], [400, '/after'], after)
    }
  })
})

describe('The feed of changes', () => {
  test('is complete, without repeats and in order for a reader that keeps its position while others write', async () => {
    await using system = await openStorage({ partitions: 3, batchRecordsMax: 7 })
    const all = fc.sample(manyOf(anyTypeOfOurs, 300), { numRuns: 1, seed: 7 })[0] as RunifyEvent[]
    const writing = (async () => {
      for (let at = 0; at < all.length; at += 10) await append(system.log, all.slice(at, at + 10))
    })()
    const deadline = AbortSignal.timeout(WAIT.timeout)

    const seen: Change[] = []
    let position = ''
    let asked = 0
    while (seen.length < all.length) {
      deadline.throwIfAborted()
      // A position that the reader has written down is all that it needs, so each page may be another reader's.
      const page = await readChanges(system.address, position, 1 + (asked++ % 13))
      assert.ok(page.changes.length <= 13)
      seen.push(...page.changes)
      position = page.next
    }
    await writing

    const end = await readChanges(system.address, position, 10)
    assert.deepEqual(end, { changes: [], next: position, complete: true })
    const byId = (a: RunifyEvent, b: RunifyEvent) => (a.trace_id < b.trace_id ? -1 : 1)
    assert.deepEqual(seen.map(toEvent).sort(byId), all.toSorted(byId))
    for (const [place, changes] of Object.entries(
      Object.groupBy(seen, ({ type, partition }) => `${type} ${partition}`),
    )) {
      const offsets = (changes as Change[]).map(({ offset }) => offset)
      assert.deepEqual(
        offsets,
        offsets.toSorted((a, b) => a - b),
        `offsets of ${place}`,
      )
    }
  })
})

describe('A stream of a range that has no end', () => {
  test('is read no further when its client has gone away', async (t) => {
    await using system = await openStorage()
    const endless = new EndlessStore(system.store)
    await using server = await createStorage({ log: system.log, store: endless.store, config, telemetry })
    const address = await server.listen(0, 'STORAGE_PORT')
    for (const accept of ['application/x-ndjson', 'text/csv']) {
      const response = await open(`${address}/stats/running`, accept)
      response.resume()
      await t.waitFor(() => assert.ok(endless.pagesRead >= 5), WAIT)
      response.destroy()
      await assertReadNoFurther(t, endless)
    }
  })

  test('is read no faster than its client reads', async (t) => {
    await using system = await openStorage()
    const endless = new EndlessStore(system.store)
    await using server = await createStorage({ log: system.log, store: endless.store, config, telemetry })
    const response = await open(`${await server.listen(0, 'STORAGE_PORT')}/stats/running`, 'application/x-ndjson')
    // Nobody reads the answer: what the connection buffers is all that is read from the store.
    await assertReadNoFurther(t, endless)
    response.destroy()
  })

  test('is not read for HEAD', async (t) => {
    await using system = await openStorage()
    const endless = new EndlessStore(system.store)
    await using server = await createStorage({ log: system.log, store: endless.store, config, telemetry })
    const address = await server.listen(0, 'STORAGE_PORT')
    const headers = { accept: 'application/x-ndjson' }
    const response = await fetch(`${address}/stats/running`, { method: 'HEAD', headers })
    assert.deepEqual(
      [response.status, response.headers.get('content-type')],
      [200, 'application/x-ndjson; charset=utf-8'],
    )
    await assertReadNoFurther(t, endless)
    assert.ok(endless.pagesRead <= 1, `${endless.pagesRead} pages were read`)
  })
})

const anyTypeOfOurs = fc.oneof(anyRun, anyPlay)

type Change = { type: EventType; partition: number; offset: number; event: Wire }

/** The store, but with runs without end: each page is full, whatever page it is. */
class EndlessStore {
  pagesRead = 0
  readonly store: EventStore

  constructor(store: EventStore) {
    const page = async ({ limit, after }: PageQuery): Promise<RunifyEvent[]> => {
      this.pagesRead++
      const begin = (after?.time ?? BEGIN) + 1
      return Array.from({ length: limit }, (_, index) => runAt(begin + index))
    }
    this.store = new Proxy(store, {
      get: (target, name) => {
        if (name === 'page') return page
        const member = Reflect.get(target, name) as unknown
        return typeof member === 'function' ? member.bind(target) : member
      },
    })
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

async function openStorage({ partitions = 1, batchRecordsMax = config.batchRecordsMax } = {}) {
  await using opened = new AsyncDisposableStack()
  const { path: dir } = opened.use(await mkdtempDisposable(join(tmpdir(), 'runify-')))
  const log = opened.use(new EmbeddedLog({ dir, partitions }))
  const store = opened.use(await openSqliteStore({ dir }))
  const server = opened.use(await createStorage({ log, store, config: { ...config, batchRecordsMax }, telemetry }))
  const address = await server.listen(0, 'STORAGE_PORT')
  const all = opened.move()
  return { log, store, address, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

function manyOf<T extends RunifyEvent>(event: fc.Arbitrary<T>, count = 120): fc.Arbitrary<T[]> {
  return fc.uniqueArray(event, { selector: ({ trace_id }) => trace_id, minLength: count, maxLength: count })
}

function append(log: EmbeddedLog, events: readonly RunifyEvent[]): Promise<void> {
  return log.append(
    events.map((event) => ({
      topic: CATALOGUE[event.type].topic,
      key: event.fields.user_id,
      value: encodeEvent(event),
    })),
  )
}

async function untilStored(log: EmbeddedLog, store: EventStore): Promise<void> {
  const deadline = AbortSignal.timeout(WAIT.timeout)
  const isStored = async () => {
    const cursors = await store.cursors()
    const ranges = await Promise.all(TOPICS.map(async (topic) => ({ topic, ranges: await log.partitions(topic) })))
    return ranges.every(({ topic, ranges }) =>
      ranges.every((range) => nextOf(cursors, { topic, ...range }) === range.next),
    )
  }
  while (!(await isStored())) {
    deadline.throwIfAborted()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

type Filter = Pick<PageQuery, 'type' | 'by' | 'order' | 'from' | 'to' | 'user_id'>

/** The naive range: what the pages must be equal to. */
function filterAndSort(events: readonly RunifyEvent[], { type, by, order, from, to, user_id }: Filter): RunifyEvent[] {
  const timeOf = (event: RunifyEvent) => (by === 'timestamp' ? event.fields.timestamp : event.date_created)
  const chosen = events
    .filter((event) => event.type === type)
    .filter((event) => (from === undefined || timeOf(event) >= from) && (to === undefined || timeOf(event) < to))
    .filter(({ fields }) => user_id === undefined || fields.user_id === user_id)
    .sort((a, b) => timeOf(a) - timeOf(b) || (a.trace_id < b.trace_id ? -1 : 1))
  return order === 'asc' ? chosen : chosen.reverse()
}

function toSearch({ from, to, ...query }: Partial<Filter> & { limit?: number }): string {
  const parameters: Query = {}
  if (from !== undefined) parameters.start_timestamp = formatInstant(from)
  if (to !== undefined) parameters.end_timestamp = formatInstant(to)
  const { type: _, ...rest } = query
  for (const [name, value] of Object.entries(rest)) if (value !== undefined) parameters[name] = value
  return new URLSearchParams(Object.entries(parameters).map(([name, value]) => [name, String(value)])).toString()
}

async function followLinks(first: string): Promise<Wire[][]> {
  const pages: Wire[][] = []
  for (let url: string | undefined = first; url !== undefined; ) {
    const response: Response = await fetch(url)
    assert.equal(response.status, 200)
    pages.push((await response.json()) as Wire[])
    const next = /^<([^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
    url = next === undefined ? undefined : new URL(next, url).href
    assert.ok(pages.length <= 1000, 'the links do not come to an end')
  }
  return pages
}

async function readChanges(address: string, after: string, limit: number) {
  const response = await fetch(`${address}/changes?${new URLSearchParams({ after, limit: String(limit) })}`)
  assert.equal(response.status, 200)
  return (await response.json()) as { changes: Change[]; next: string; complete: boolean }
}

function toEvent({ type, event }: Change): RunifyEvent {
  const decoded = fromWire(type, event)
  return decoded.ok ? decoded.event : assert.fail(decoded.detail)
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
