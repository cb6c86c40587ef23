import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { isFailure } from '../errors.ts'
import { EVENT_TYPES, TOPICS } from '../events/catalogue.ts'
import { nextOf, type PartitionCursor } from '../log/position.ts'
import { anyTime, filterAndSort, openFilledStorage } from '../services/storage/testing/storage.fixture.ts'
import { HttpEventReader, type ReceivedEvent } from './http-event-reader.ts'

describe('The event reader over HTTP', () => {
  let storage: Awaited<ReturnType<typeof openFilledStorage>>
  before(async () => {
    storage = await openFilledStorage()
  })
  after(() => storage[Symbol.asyncDispose]())

  test('gives what the store itself gives, from any position and any number at a time', async () => {
    const reader = new HttpEventReader({ url: storage.address })
    const anyCursors: fc.Arbitrary<PartitionCursor[]> = fc
      .record(Object.fromEntries(TOPICS.map((topic) => [topic, fc.nat({ max: 130 })])), { requiredKeys: [] })
      .map((nexts) => Object.entries(nexts).map(([topic, next]) => ({ topic, partition: 0, next: next as number })))
    const property = fc.asyncProperty(anyCursors, fc.integer({ min: 1, max: 300 }), async (after, limit) => {
      const page = await storage.store.changes({ after, limit })
      if (after.some((cursor) => cursor.next > nextOf(page.stored, cursor))) {
        // What comes up to there later would be left out.
        await assert.rejects(reader.changes({ after, limit }), (error) => {
          return isFailure(error, 'position_conflict') && /only what lies before 120 is stored/.test(error.message)
        })
        return
      }
      const stored = page.stored.map(({ mark, ...cursor }) => ({ ...cursor, mark: { logId: mark?.logId } }))
      assert.deepEqual(await reader.changes({ after, limit }), { ...page, stored })
    })
    await fc.assert(property, { numRuns: 40 })
  })

  test('asks for no more than Storage gives at a time', async () => {
    const { changes, complete } = await new HttpEventReader({ url: `${storage.address}/` }).changes({
      after: [],
      limit: 100_000,
    })
    assert.deepEqual([changes.length, complete], [240, true])
  })

  test('gives one event with its place, or nothing where there is none', async () => {
    const reader = new HttpEventReader({ url: storage.address })
    for (const { trace_id } of storage.events.slice(0, 20)) {
      assert.deepEqual(await reader.event(trace_id), await storage.store.event(trace_id))
    }
    assert.equal(await reader.event('00000000-0000-4000-8000-000000000000'), undefined)
  })

  test('gives what was received in a range of time, in that order', async () => {
    const reader = new HttpEventReader({ url: storage.address })
    const anyRange = fc.tuple(fc.constantFrom(...EVENT_TYPES), anyTime, anyTime)
    const property = fc.asyncProperty(anyRange, async ([type, from, to]) => {
      const found: ReceivedEvent[] = []
      for await (const some of reader.received({ type, from, to })) found.push(...some)
      const expected = filterAndSort(storage.events, { type, by: 'date_created', order: 'asc', from, to })
      assert.deepEqual(
        found,
        expected.map(({ trace_id, date_created }) => ({ trace_id, date_created })),
      )
    })
    await fc.assert(property, { numRuns: 10 })
  })
})

describe('The event reader over HTTP fails with store_unavailable, to be tried again,', () => {
  const page = { changes: [], next: '', complete: true, stored: '' }
  const answers: Record<string, RequestListener> = {
    'when Storage answers an error': (_, response) => response.writeHead(503).end('{}'),
    'when it answers no JSON': (_, response) => response.end('<html>'),
    'when it breaks off': (_, response) =>
      response.writeHead(200, { 'content-length': 99 }).write('{', () => response.destroy()),
    'when it answers no event': (_, response) =>
      response.end(
        JSON.stringify({ ...page, changes: [{ type: 'running_stats', partition: 0, offset: 0, event: {} }] }),
      ),
    'when it answers no position': (_, response) => response.end(JSON.stringify({ ...page, next: 'x' })),
    'when it speaks of other topics': (_, response) => response.end(JSON.stringify({ ...page, stored: 'others:0:1' })),
  }
  for (const [what, answer] of Object.entries(answers)) {
    test(what, async () => {
      await using server = await serve(answer)
      const reader = new HttpEventReader({ url: server.url })
      await assert.rejects(reader.changes({ after: [], limit: 10 }), isUnavailable)
      if (what.startsWith('when it answers no position') || what.startsWith('when it speaks')) return
      await assert.rejects(reader.event('00000000-0000-4000-8000-000000000000'), isUnavailable)
      await assert.rejects(Array.fromAsync(reader.received({ type: 'running_stats', from: 0, to: 1 })), isUnavailable)
    })
  }

  test('when nobody is there', async () => {
    const { url, [Symbol.asyncDispose]: close } = await serve(() => {})
    await close()
    await assert.rejects(new HttpEventReader({ url }).changes({ after: [], limit: 10 }), isUnavailable)
  })
})

test('The event reader over HTTP says that it is to be upgraded where Storage has newer events or topics', async () => {
  const page = { changes: [], next: '', complete: true, stored: '' }
  const event = { catalogue: 1_000_000, later: 'field' }
  const newer = { type: 'running_stats', partition: 0, offset: 7, event }
  for (const [answer, what] of [
    [{ ...page, changes: [newer] }, /running_stats 0:7/],
    [{ ...page, changes: [{ ...newer, type: 'later_type' }], next: 'runify.later_type:0:1' }, /runify\.later_type/],
  ] as const) {
    await using server = await serve((_, response) => response.end(JSON.stringify(answer)))
    const asked = new HttpEventReader({ url: server.url }).changes({ after: [], limit: 10 })
    await assert.rejects(asked, (error) => {
      return (
        isFailure(error, 'newer_events') &&
        /^newer events in the log: upgrade this service/.test(error.message) &&
        what.test(error.message)
      )
    })
  }
})

test('The event reader over HTTP shows its key', async () => {
  let shown: string | undefined
  await using server = await serve((request, response) => {
    shown = request.headers.authorization
    response.end(JSON.stringify({ changes: [], next: '', complete: true, stored: '' }))
  })
  await new HttpEventReader({ url: server.url, apiKey: 'secret' }).changes({ after: [], limit: 10 })
  assert.equal(shown, 'Bearer secret')
})

function isUnavailable(error: unknown): boolean {
  return isFailure(error, 'store_unavailable') && error.retryable
}

async function serve(answer: RequestListener): Promise<AsyncDisposable & { url: string }> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
