import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TOPICS } from '../../events/catalogue.ts'
import { encodeEvent } from '../../events/codec.ts'
import type { EventLog } from '../../log/event-log.ts'
import { waitUntil } from '../../log/testing/kafka.fixture.ts'
import { encodeTombstone } from '../../log/tombstone.ts'
import { newRun } from '../../store/testing/event-store.probe.ts'
import {
  type Json,
  letterOf,
  listen,
  openEmbedded,
  readPages,
  redrive,
  writeLetters,
} from './testing/analyzer.fixture.ts'

/** Topics that are deleted and made anew while the Analyzer runs: it answers of those that are there. */

const [RUNS = ''] = TOPICS

describe('After the topics were made anew', () => {
  for (const partitions of [1, 3]) {
    test(`event n is that of the new one, of ${partitions} partitions`, async () => {
      await using place = await openReplaceable(partitions)
      await using analyzer = await listen(place.log)
      const eventAt = async (n: number) => {
        const response = await fetch(`${analyzer.address}/running?index=${n}`)
        return ((await response.json()) as Json).trace_id
      }
      const askAll = async (sent: readonly string[]) => {
        const found: unknown[] = []
        for (const n of sent.keys()) found.push(await eventAt(n))
        return found
      }
      const before = await appendRuns(place.log, 20)
      assert.deepEqual(await askAll(before), before)
      place.makeAnew()
      const after = await appendRuns(place.log, 30)
      // The ends of a topic are taken for what they were a moment ago.
      await waitUntil(async () => (await eventAt(0)) === after[0], 'the new topic is seen')
      assert.deepEqual(await askAll(after), after)
    })
  }

  test('its dead letters are listed and sent again, whatever those before were', async () => {
    await using place = await openReplaceable(1)
    await using analyzer = await listen(place.log)
    const [one, two, three] = [newRun(), newRun(), newRun()]
    await writeLetters(place.log, letterOf(0, { event: one }), letterOf(1, { event: two }))
    assert.deepEqual((await redrive(analyzer.address, { filter: {} })).counts, { redriven: 2 })
    place.makeAnew()
    // As after a rebuild, which comes upon the same records.
    await writeLetters(
      place.log,
      ...[three, two, one].map((event, n) => letterOf(2 - n, { event })),
      letterOf(9, { event: three }),
    )
    const { user_id } = three.fields
    const request_id = '9b6b2a6e-1f0c-4a53-8d53-0f3f1a1f6a11'
    const positions = [{ topic: RUNS, partition: 0, next: 9 }]
    await place.log.append([encodeTombstone({ request_id, user_id, forgotten_at: 0, positions })])
    const [letters = []] = await readPages(analyzer.address, '/dead-letters?order=asc')
    assert.deepEqual(
      letters.map(({ offset, redriven, times }) => [offset, redriven, times]),
      [2, 1, 0, 9].map((offset) => [offset, 'no', 1]),
    )
    const { counts } = await redrive(analyzer.address, { filter: {} })
    assert.deepEqual(counts, { forgotten: 1, redriven: 3 })
  })
})

/** A log in whose place another one comes, under those who have it open. */
async function openReplaceable(partitions: number) {
  await using opened = new AsyncDisposableStack()
  const [first, second] = [await openEmbedded(partitions), await openEmbedded(partitions)]
  for (const one of [first, second]) opened.use(one)
  let current = first.log
  const log = new Proxy(first.log, {
    get: (_, name) => {
      const member = Reflect.get(current, name)
      return typeof member === 'function' ? member.bind(current) : member
    },
  })
  const all = opened.move()
  const makeAnew = () => {
    current = second.log
  }
  return { log, makeAnew, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

/** One after the other, so that their order is known. */
async function appendRuns(log: EventLog, count: number): Promise<string[]> {
  const ids: string[] = []
  for (let n = 0; n < count; n++) {
    const event = newRun()
    await log.append([{ topic: RUNS, key: event.fields.user_id, value: encodeEvent(event) }])
    await untilLater(Date.now())
    ids.push(event.trace_id)
  }
  return ids
}

async function untilLater(time: number): Promise<void> {
  await waitUntil(async () => Date.now() > time, 'the clock has gone on')
}
