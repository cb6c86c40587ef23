import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { makeRun, makeSong } from '../test-support/events.ts'
import {
  getJson,
  type Json,
  post,
  type Runify,
  settled,
  startInProcess,
  waitFor,
  within,
} from '../test-support/harness.ts'

/** What the Analyzer tells of the log, in a whole system. */

const NO_EVENT = '00000000-0000-4000-8000-000000000000'
const ENDED_MS_MAX = 3000

describe('The Analyzer', () => {
  let runify: Runify
  let sent: { kind: 'running' | 'music'; traceId: string; at: number }[]
  const analyzer = () => runify.addresses.analyzer

  before(async () => {
    runify = await startInProcess()
    sent = []
    for (let n = 0; n < 6; n++) {
      const kind = n % 3 === 2 ? 'music' : 'running'
      // The last has an id of its own, from which no time can be told.
      const event = { ...(kind === 'music' ? makeSong(n) : makeRun(n)), ...(n === 5 && { event_id: 'mine' }) }
      const { body } = await post(`${runify.addresses.receiver}/stats/${kind}`, event)
      sent.push({ kind, traceId: body.trace_id as string, at: Date.now() })
    }
    await settled(runify)
  })
  after(() => runify?.[Symbol.asyncDispose]())

  test('finds an event by its id, and tells how late it was', async () => {
    const counts = { running: 0, music: 0 }
    for (const { kind, traceId } of sent) {
      const found = await getJson(`${analyzer()}/events/${traceId}`)
      const nth = await getJson(`${analyzer()}/${kind}?index=${counts[kind]}`)
      const { type, topic, stored, append_seconds, late_seconds, ...rest } = found
      const name = kind === 'music' ? 'music_info' : 'running_stats'
      assert.deepEqual([type, topic, stored], [name, `runify.${name}`, true])
      assert.deepEqual(rest, { ...nth, index: counts[kind]++ })
      const late = (Date.parse(found.append_time as string) - Date.parse(found.timestamp as string)) / 1000
      assert.equal(late_seconds, late)
      assert.ok((append_seconds as number) >= 0 && (append_seconds as number) < 10)
    }
  })

  test('says of an id that nobody has where it has looked', async () => {
    const detailOf = async (path: string) => {
      const response = await fetch(`${analyzer()}${path}`)
      assert.equal(response.status, 404)
      return ((await response.json()) as Json).detail
    }
    assert.match(String(await detailOf(`/events/${NO_EVENT}`)), /^it is not stored, and its id tells no time: near=/)
    const looked =
      /^it is not stored, and it is not in what the log took from 20.* to 20.*Z: near=<time> looks elsewhere$/
    assert.match(String(await detailOf(`/events/${NO_EVENT}?near=2024-05-01T00:00:00Z`)), looked)
    const [first] = sent
    const other = first?.traceId.replace(/.{12}$/, '000000000000')
    assert.match(String(await detailOf(`/events/${other}`)), /, and from 20/)
  })

  test('gives the first event from a time on', async () => {
    const first = await getJson(`${analyzer()}/running?index=0`)
    const last = await getJson(`${analyzer()}/running?index=3`)
    assert.deepEqual(await getJson(`${analyzer()}/running?at=2001-01-01T00:00:00Z`), first)
    assert.deepEqual(await getJson(`${analyzer()}/running?at=${first.append_time}`), first)
    assert.equal((await getJson(`${analyzer()}/running?at=${last.append_time}`)).append_time, last.append_time)
    assert.equal((await fetch(`${analyzer()}/running?at=2999-01-01T00:00:00Z`)).status, 404)
    for (const query of ['', '?index=0&at=2001-01-01T00:00:00Z']) {
      const response = await fetch(`${analyzer()}/running${query}`)
      assert.deepEqual([response.status, ((await response.json()) as Json).code], [400, 'invalid_parameter'])
    }
  })

  test('tells that Storage is not behind', async () => {
    await waitFor(async () => {
      const { topics } = (await getJson(`${analyzer()}/stats`)) as { topics: { groups: Json[] }[] }
      const groups = topics.map((topic) => topic.groups.find(({ group }) => group === 'runify-storage'))
      return groups.every(
        (group) => group?.lag === 0 && group.lag_seconds === 0 && group.catch_up_seconds !== undefined,
      )
    })
  })

  test('refuses positions of another log, and more tails than it serves', async () => {
    const codeOf = async (response: Response) => [response.status, ((await response.json()) as Json).code]
    const url = `${analyzer()}/tail`
    for (const after of [
      '7',
      'running_stats',
      'running_stats:1,running_stats:1',
      'running_stats:99',
      'music_info:0.0',
    ]) {
      assert.deepEqual(await codeOf(await fetch(`${url}?after=${after}`)), [400, 'invalid_parameter'], after)
    }
    const clients = new AbortController()
    const { signal } = clients
    // Kept, because an answer that nobody has any more is given up.
    const tails: Response[] = []
    for (let i = 0; i < 64; i++) tails.push(await fetch(url, { signal }))
    assert.ok(tails.every(({ status }) => status === 200))
    assert.deepEqual(await codeOf(await fetch(url)), [503, 'overloaded'])
    clients.abort()
    // Those that have gone make room.
    await waitFor(async () => (await fetch(`${url}?after=running_stats:0&limit=1`)).status === 200)
  })

  test('goes on with a browser that has an id of another log, and tells it that it has missed something', async () => {
    for (const id of ['7', 'running_stats', 'running_stats:99', 'music_info:0.0']) {
      const response = await fetch(`${analyzer()}/tail?type=music_info`, { headers: { 'last-event-id': id } })
      assert.equal(response.status, 200, id)
      const [piece = ''] = await Array.fromAsync(firstOf(response, 1))
      const missed = '{"why":"unknown_id","records":null,"partitions":[]}'
      const [, begin, end] = /^retry: 1000\nid: (.*)\n\nevent: missed\ndata: .*\nid: (.*)\n\n/.exec(piece) ?? []
      assert.ok(begin !== undefined && begin === end && begin.startsWith('music_info:'), piece)
      assert.ok(piece.includes(missed), piece)
    }
  })

  test('tells a browser by an event that there is no place for another tail, and when to come back', async () => {
    const clients = new AbortController()
    const { signal } = clients
    const url = `${analyzer()}/tail`
    const tails = await Promise.all(Array.from({ length: 64 }, () => fetch(url, { signal })))
    assert.ok(tails.every(({ status }) => status === 200))
    const response = await fetch(url, { headers: { accept: 'text/event-stream' } })
    assert.deepEqual([response.status, response.headers.get('content-type')], [200, 'text/event-stream; charset=utf-8'])
    assert.match(await response.text(), /^retry: \d+\nevent: unavailable\ndata: \{.*"code":"overloaded".*\}\n\n$/)
    clients.abort()
  })

  test('gives a tail as server-sent events, and ends it when the service stops', async () => {
    const response = await fetch(`${analyzer()}/tail?type=music_info&after=music_info:0`)
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    const body = response.text()
    await within(ENDED_MS_MAX, Promise.resolve(runify[Symbol.asyncDispose]()), 'Runify to stop')
    const text = await body
    assert.match(text, /^retry: \d+\nid: music_info:0\n\nevent: music_info\ndata: {.*}\nid: music_info:1\n\n/)
  })
})

/** The first pieces of an answer that may have no end. */
async function* firstOf({ body }: Response, count: number): AsyncGenerator<string> {
  let left = count
  for await (const piece of body ?? []) {
    yield new TextDecoder().decode(piece)
    left--
    if (left === 0) return
  }
}
