import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CATALOGUE, type RunifyEvent } from '../../../events/catalogue.ts'
import { anyEvent } from '../../../events/testing/event.arbitrary.ts'
import { nextOf } from '../../../log/position.ts'
import type { EventReader } from '../../../store/event-store.ts'
import { createTelemetry } from '../../../telemetry.ts'
import { foldEvents } from '../fold.ts'
import { backfill } from '../rebuild/backfill.ts'
import { toStatistics } from '../rollup/rollup.ts'
import { StatisticsUpdater } from '../statistics-updater.ts'
import type { StatisticsStore } from '../store/statistics-store.ts'
import { processingTelemetry } from '../telemetry.ts'
import type { StatisticsAdapter } from './statistics-store.contract.ts'

const telemetry = processingTelemetry(createTelemetry('processing', 'silent'))
const TOPICS = [CATALOGUE.running_stats.topic, CATALOGUE.music_info.topic]
const PARTITIONS = [0, 1, 2]
const few = {
  user_id: fc.constantFrom(...[1, 2, 3].map((digit) => `0000000${digit}-6c54-4b01-90e6-d701748f0851`)),
  timestamp: fc.nat(90 * 86_400_000),
  song_name: fc.constantFrom('play_times', 'only my railgun', '🎧', "it's counted_hours"),
  artist: fc.constantFrom('fripSide', 'play_names'),
}
const anyCounted = fc.oneof(anyEvent('running_stats', few), anyEvent('music_info', few))

/** What every store does with statistics that are counted anew beside the live ones. */
export function shadowContract({ open }: StatisticsAdapter): void {
  test('are found the same as the live ones, and take their place while others count', async () => {
    await using place = await open()
    const feed = new Feed(fc.sample(anyCounted, { numRuns: 400, seed: 3 }))
    const others = [place.statistics, await place.openAgain()].map((statistics, index) =>
      count(statistics, feed, 9 + index),
    )
    feed.show(200)
    while ((await Promise.all(others.map((updater) => updater.countNext()))).includes(true));

    const live = await place.openAgain()
    {
      await using shadow = await live.shadow()
      await backfillFrom(feed, shadow.statistics, await live.cursors())
      feed.show(300)
      await others[0]?.countNext()
      const compared = shadow.compare(async (cursors) => {
        // Counted while the moment that is compared stays.
        await others[1]?.countNext()
        await backfillFrom(feed, shadow.statistics, cursors)
      })
      const { rows, different, differences } = await compared
      assert.deepEqual([different, differences], [0, []])
      assert.ok(rows > 200)
      await backfillFrom(feed, shadow.statistics, undefined)

      feed.show(350)
      const racing = others.map((updater) => updater.countNext())
      await shadow.swapIn()
      await Promise.all(racing)
    }
    feed.show(400)
    while ((await Promise.all(others.map((updater) => updater.countNext()))).includes(true));
    assert.deepEqual(await statisticsOf(place.statistics), await recountOf(feed, open))
  })

  test('are told apart from live ones that say something else, and mend them', async () => {
    await using place = await open()
    const { statistics } = place
    const events = fc.sample(anyCounted, { numRuns: 60, seed: 4 })
    const feed = new Feed(events)
    feed.show(60)
    while (await count(statistics, feed, 1000).countNext());
    const fields = { user_id: userOf(9), song_name: 'x', artist: 'y', song_duration: 1, timestamp: 0 }
    const trace_id = '00000000-0000-8000-8000-000000000000'
    const wrong: RunifyEvent = { type: 'music_info', trace_id, date_created: 0, fields }
    const from = await statistics.cursors()
    const at = { topic: TOPICS[0] as string, partition: 0 }
    const to = [{ ...at, next: nextOf(from, at) + 1 }]
    await statistics.fold({ from, to, parts: foldEvents([wrong]), now: 1 })
    feed.pass(at)

    await using shadow = await statistics.shadow()
    const { different, differences } = await shadow.compare((cursors) => backfillFrom(feed, shadow.statistics, cursors))
    assert.ok(different > 0)
    const user = differences.find(({ table, key }) => table === 'play_users' && key.user_id === '9'.repeat(32))
    assert.deepEqual([user?.counted, user?.recounted], [{ plays: 1, seconds: 1 }, undefined])
    await shadow.swapIn()
    assert.deepEqual(await statisticsOf(statistics), await recountOf(feed, open))
  })

  test('that are thrown away leave the live ones as they were, and a fold of before a swap adds nothing', async () => {
    await using place = await open()
    const { statistics } = place
    const feed = new Feed(fc.sample(anyCounted, { numRuns: 30, seed: 5 }))
    feed.show(30)
    while (await count(statistics, feed, 1000).countNext());
    const before = await statisticsOf(statistics)
    const from = await statistics.cursors()
    {
      await using shadow = await statistics.shadow()
      await backfillFrom(feed, shadow.statistics, from)
    }
    assert.deepEqual(await statisticsOf(statistics), before)
    {
      await using shadow = await statistics.shadow()
      await shadow.swapIn()
    }
    assert.deepEqual(await statistics.cursors(), [])
    const to = from.map((cursor) => ({ ...cursor, next: cursor.next + 1 }))
    assert.equal((await statistics.fold({ from, to, parts: foldEvents([]), now: 1 })).kind, 'overtaken')
  })
}

/** Events as a store would give them, in three partitions of each topic; so many of them as are shown. */
export class Feed implements EventReader {
  readonly #all: { topic: string; partition: number; offset: number; event: RunifyEvent }[] = []
  #shown = 0
  #passed = new Map<string, number>()

  constructor(events: readonly RunifyEvent[]) {
    const ends = new Map<string, number>()
    for (const [index, event] of events.entries()) {
      const { topic } = CATALOGUE[event.type]
      const partition = index % PARTITIONS.length
      const offset = ends.get(`${topic} ${partition}`) ?? 0
      ends.set(`${topic} ${partition}`, offset + 1)
      this.#all.push({ topic, partition, offset, event })
    }
  }

  show(events: number): void {
    this.#shown = events
  }

  /** An offset that holds nothing any more. */
  pass({ topic, partition }: { topic: string; partition: number }): void {
    this.#passed.set(`${topic} ${partition}`, 1)
  }

  async changes({ after, limit }: Parameters<EventReader['changes']>[0]): ReturnType<EventReader['changes']> {
    const shown = this.#all.slice(0, this.#shown)
    const stored = TOPICS.flatMap((topic) =>
      PARTITIONS.map((partition) => {
        const own = shown.filter((record) => record.topic === topic && record.partition === partition)
        return { topic, partition, next: own.length + (this.#passed.get(`${topic} ${partition}`) ?? 0) }
      }),
    )
    const all = shown.filter((record) => record.offset >= nextOf(after, record))
    const changes = all.slice(0, limit)
    const complete = changes.length === all.length
    const next = stored.map((end) => {
      const left = all.slice(limit).find(({ topic, partition }) => topic === end.topic && partition === end.partition)
      return { ...end, next: Math.max(nextOf(after, end), left?.offset ?? end.next) }
    })
    return { changes, erasures: [], next, complete, stored }
  }

  async userEvents(): Promise<[]> {
    return []
  }

  async erasedEvents(): Promise<[]> {
    return []
  }
}

const setAside = () => assert.fail('nothing is to be set aside')

function count(statistics: StatisticsStore, reader: EventReader, batchRecordsMax: number): StatisticsUpdater {
  return new StatisticsUpdater({ reader, statistics, telemetry, periodMs: 1, batchRecordsMax, now: () => 7, setAside })
}

function backfillFrom(reader: EventReader, statistics: StatisticsStore, goal: Parameters<typeof backfill>[1]) {
  return backfill({ reader, statistics, telemetry, batchRecordsMax: 70, now: () => 7, setAside }, goal)
}

async function recountOf(feed: Feed, open: StatisticsAdapter['open']): Promise<object> {
  await using place = await open()
  await backfillFrom(feed, place.statistics, undefined)
  return await statisticsOf(place.statistics)
}

async function statisticsOf(statistics: StatisticsStore): Promise<object> {
  const { rollup } = await statistics.totals({})
  const { days } = await statistics.daily({ user_id: userOf(0), limit: 100 })
  const { hours } = await statistics.hours({ from: -1e8, to: 1e8 })
  const { played } = await statistics.played({ list: 'songs', limit: 100 })
  return { totals: toStatistics(rollup), days, hours, played }
}

function userOf(digit: number): string {
  return digit === 9 ? '99999999-9999-9999-9999-999999999999' : '00000001-6c54-4b01-90e6-d701748f0851'
}
