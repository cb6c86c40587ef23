import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { RunifyEvent } from '../../events/catalogue.ts'
import { toWire } from '../../events/codec.ts'
import { encodeTombstone, FORGOTTEN_TOPIC } from '../../log/tombstone.ts'
import { append, BEGIN, openFilledStorage, openStorage, USERS, WAIT } from './testing/storage.fixture.ts'

type Json = Record<string, unknown>

describe('A user', () => {
  let system: Awaited<ReturnType<typeof openFilledStorage>>
  before(async () => {
    system = await openFilledStorage()
  })
  after(() => system[Symbol.asyncDispose]())

  const ask = async (path: string, method = 'GET') => {
    const response = await fetch(`${system.address}${path}`, { method })
    return { status: response.status, body: (await response.json()) as Json }
  }

  test('has all events in one list, page by page', async () => {
    const [user] = USERS as [string]
    const mine = system.events.filter(({ fields }) => fields.user_id === user)
    const found: Json[] = []
    for (let cursor = ''; ; ) {
      const { status, body } = await ask(`/users/${user}/events?limit=7${cursor}`)
      assert.equal(status, 200)
      found.push(...(body.events as Json[]))
      if (body.next === null) break
      cursor = `&cursor=${body.next}`
    }
    const idOf = ({ event }: Json) => (event as Json).trace_id as string
    const byId = new Map(mine.map((event) => [event.trace_id, event]))
    assert.deepEqual(found.map(idOf).sort(), [...byId.keys()].sort())
    for (const one of found) {
      const event = byId.get(idOf(one)) as RunifyEvent
      assert.deepEqual([one.type, one.event], [event.type, toWire(event)])
      const { partition, offset } = (await ask(`/events/${event.trace_id}`)).body
      assert.deepEqual([one.partition, one.offset], [partition, offset])
    }
  })

  test('is not asked for by a cursor of another path, or an id that is none', async () => {
    for (const path of [`/users/${USERS[0]}/events?cursor=x`, `/erasures/${randomUUID()}/events?cursor=x`]) {
      const { status, body } = await ask(path)
      assert.deepEqual([status, body.code], [400, 'invalid_parameter'])
    }
    assert.equal((await ask('/users/me', 'DELETE')).status, 400)
    assert.equal((await ask(`/users/${USERS[0]}`)).status, 405)
    assert.equal((await ask(`/erasures/${randomUUID()}`)).status, 404)
  })

  test('is forgotten: nothing of the user is given any more, and all of the others', async () => {
    const user = USERS[1] as string
    const left = system.events.filter(({ fields }) => fields.user_id !== user)
    const gone = system.events.length - left.length
    const before = (await ask('/changes?limit=10000')).body
    const { status, body } = await ask(`/users/${user}`, 'DELETE')
    assert.equal(status, 200)
    const { num_running_stats, num_music_info } = body.erased as Record<string, number>
    assert.equal((num_running_stats ?? 0) + (num_music_info ?? 0), gone)
    assert.deepEqual(
      (body.in_log as Json[]).map(({ topic, events, kept_until }) => [topic, events, kept_until]),
      [
        ['runify.running_stats', num_running_stats, null],
        ['runify.music_info', num_music_info, null],
      ],
    )

    assert.deepEqual((await ask(`/users/${user}/events`)).body, { events: [], next: null })
    const counts = Object.values((await ask('/stats')).body) as number[]
    assert.equal(
      counts.reduce((sum, count) => sum + count),
      left.length,
    )
    const page = (await ask('/changes?limit=10000')).body
    const { in_log: _, ...erasure } = body
    assert.deepEqual(page.erasures, [erasure])
    assert.equal((page.changes as Json[]).length, left.length)
    assert.deepEqual((await ask(`/erasures/${body.request_id}`)).body, erasure)
    assert.deepEqual((await ask(`/changes?after=${before.next}`)).body.erasures, [erasure], 'for who has read all')
    const { events } = (await ask(`/erasures/${body.request_id}/events?limit=10000`)).body as { events: Json[] }
    assert.equal(events.length, gone)
  })
})

test('A user who was forgotten is not stored from what is still in the log, and is stored anew later', async (t) => {
  await using system = await openStorage()
  const user_id = USERS[0] as string
  const runAt = (date_created: number): RunifyEvent => ({
    type: 'running_stats',
    trace_id: randomUUID(),
    date_created,
    fields: { user_id, duration: 1, distance: 1, timestamp: BEGIN },
  })
  // As an earlier version wrote it, and as what goes by age is still written.
  const time = Date.now()
  const request_id = randomUUID()
  await system.log.append([encodeTombstone({ request_id, user_id, forgotten_at: time })])
  const erasure = () => fetch(`${system.address}/erasures/${request_id}`)
  await t.waitFor(async () => assert.equal((await erasure()).status, 200), WAIT)
  const later = runAt(time + 1)
  await append(system.log, [runAt(time - 1000), runAt(time), later])
  const read = async () => (await fetch(`${system.address}/stats/running`)).json()
  await t.waitFor(async () => assert.deepEqual(await read(), [toWire(later)]), WAIT)
  const metrics = await (await fetch(`${system.address}/metrics`)).text()
  assert.match(metrics, /^runify_events_forgotten_total\{type="running_stats",service="storage"\} 2$/m)
})

test('A user is forgotten by what lies in the log, whatever the clocks say, and what comes later is stored', async (t) => {
  await using system = await openStorage()
  const [user_id, other] = USERS as [string, string]
  const day = 86_400_000
  const runAt = (date_created: number, user = user_id): RunifyEvent => ({
    type: 'running_stats',
    trace_id: randomUUID(),
    date_created,
    fields: { user_id: user, duration: 1, distance: 1, timestamp: BEGIN },
  })
  const now = Date.now()
  const times = [now + day, now - day, now + 2 * day, now, now + 1000, now - 1]
  const kept = runAt(now - day, other)
  await append(system.log, [...times.map((time) => runAt(time)), kept])
  const path = `${system.address}/users/${user_id}`
  await t.waitFor(async () => {
    const { num_running_stats } = (await (await fetch(`${system.address}/stats`)).json()) as Json
    assert.equal(num_running_stats, 7)
  }, WAIT)
  const response = await fetch(path, { method: 'DELETE' })
  const { erased, in_log } = (await response.json()) as { erased: Json; in_log: Json[] }
  assert.deepEqual([response.status, erased], [200, { num_running_stats: 6, num_music_info: 0 }])
  assert.deepEqual(
    in_log.map(({ events, last }) => [events, last]),
    [[6, new Date(now + 2 * day).toISOString()]],
  )
  const later = [now - 2 * day, now + day].map((time) => runAt(time))
  await append(system.log, later)
  const read = async () => (await fetch(`${system.address}/stats/running?by=date_created`)).json()
  const left = [later[0], kept, later[1]].map((event) => toWire(event as RunifyEvent))
  await t.waitFor(async () => assert.deepEqual(await read(), left), WAIT)
})

test('A tombstone that another instance wrote is carried out, and what is none is passed over', async (t) => {
  await using system = await openFilledStorage()
  const [user_id, other] = USERS as [string, string]
  const tombstone = { request_id: randomUUID(), user_id, forgotten_at: Date.now() }
  await system.log.append([{ topic: FORGOTTEN_TOPIC, key: other, value: Buffer.from('{"user_id": 5}') }])
  await system.log.append([encodeTombstone(tombstone)])
  const erased = () => fetch(`${system.address}/erasures/${tombstone.request_id}`)
  await t.waitFor(async () => assert.equal((await erased()).status, 200), WAIT)
  const { events } = (await (await fetch(`${system.address}/users/${user_id}/events`)).json()) as { events: Json[] }
  assert.deepEqual(events, [])
  assert.ok((await system.store.held({ user_id: other, until: Date.now() })).length > 0)
})
