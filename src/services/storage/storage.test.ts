import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { CATALOGUE, EVENT_TYPES, type EventType, type RunifyEvent } from '../../events/catalogue.ts'
import { fromWire, toWire } from '../../events/codec.ts'
import {
  anyPlay,
  anyRun,
  anyTime,
  append,
  filterAndSort,
  manyOf,
  openFilledStorage,
  openStorage,
  toSearch,
  USERS,
  WAIT,
} from './testing/storage.fixture.ts'

type Wire = Record<string, string | number>
type Change = { type: EventType; partition: number; offset: number; event: Wire }

describe('Storage', () => {
  let system: Awaited<ReturnType<typeof openFilledStorage>>
  let events: RunifyEvent[]
  before(async () => {
    system = await openFilledStorage()
    events = system.events
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
    test('gives each event with its type, and its place in the log', async () => {
      for (const event of [...ofType('running_stats').slice(0, 10), ...ofType('music_info').slice(0, 10)]) {
        const response = await get(`/events/${event.trace_id}`)
        const { partition, offset, ...body } = (await response.json()) as Record<string, unknown>
        assert.deepEqual(body, { type: event.type, ...toWire(event) })
        // Each type was appended in its order, to one partition.
        assert.deepEqual([partition, offset], [0, ofType(event.type).indexOf(event)])
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

  test('GET /changes refuses a position that is not stored yet, for what comes up to there would be left out', async () => {
    for (const after of ['runify.running_stats:0:121', 'runify.running_stats:7:1', 'runify.forgotten_users:0:1']) {
      const response = await get(`/changes?after=${after}`)
      const { code, detail } = (await response.json()) as { code: string; detail: string }
      assert.deepEqual([response.status, code], [400, 'invalid_parameter'], after)
      assert.match(detail, /is of another store or of a newer copy. Read from the beginning/)
    }
    assert.equal((await get('/changes?after=runify.running_stats:0:120')).status, 200)
  })

  test('GET /changes tells of which log its positions are', async () => {
    const logId = await system.log.logId(CATALOGUE.running_stats.topic)
    const { logs } = (await (await get('/changes?limit=1')).json()) as { logs: string }
    assert.equal(
      logs,
      EVENT_TYPES.map((type) => `${CATALOGUE[type].topic}=${logId}`)
        .sort()
        .join(','),
    )
  })
})

describe('The feed of changes', () => {
  test('is complete, without repeats and in order for a reader that keeps its position while others write', async () => {
    await using system = await openStorage({ partitions: 3, batchRecordsMax: 7 })
    const all = fc.sample(manyOf(fc.oneof(anyRun, anyPlay), 300), { numRuns: 1, seed: 7 })[0] as RunifyEvent[]
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
    const logId = await system.log.logId(CATALOGUE.running_stats.topic)
    const logs = logsOf(logId)
    assert.deepEqual(end, { changes: [], erasures: [], next: position, complete: true, stored: position, logs })
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
/** As the answer to `GET /changes` has it. */
function logsOf(logId: string): string {
  return EVENT_TYPES.map((type) => `${CATALOGUE[type].topic}=${logId}`)
    .sort()
    .join(',')
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
  return (await response.json()) as { changes: Change[]; next: string; complete: boolean; stored: string }
}

function toEvent({ type, event }: Change): RunifyEvent {
  const decoded = fromWire(type, event)
  return decoded.ok ? decoded.event : assert.fail(decoded.detail)
}
