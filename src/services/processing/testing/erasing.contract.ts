import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CATALOGUE, type RunifyEvent } from '../../../events/catalogue.ts'
import { FINGERPRINTS } from '../../../events/fingerprint.ts'
import { MS_PER_DAY } from '../../../events/instant.ts'
import { anyEvent } from '../../../events/testing/event.arbitrary.ts'
import type { Cursors, PartitionCursor } from '../../../log/position.ts'
import { FORGOTTEN_TOPIC } from '../../../log/tombstone.ts'
import type { ErasedUser } from '../erasure/erasing.ts'
import { foldEvents } from '../fold.ts'
import { foldHours } from '../hourly-counts/counted-hours.ts'
import { answersOf } from './statistics.probe.ts'
import type { StatisticsAdapter } from './statistics-store.contract.ts'

/** What every store of statistics does with a user who is erased. */

const RUNS = CATALOGUE.running_stats.topic
const USERS = [1, 2, 3].map((digit) => `0000000${digit}-6c54-4b01-90e6-d701748f0851`)
const [ANN, BOB] = USERS as [string, string]
/** Days of one week and of others, around the epoch, at both ends of the calendar. */
const DAYS = [-719_528, -1, 0, 1, 3, 4, 5, 19_782, 2_932_896]
const ours = {
  user_id: fc.constantFrom(...USERS),
  timestamp: fc
    .tuple(fc.constantFrom(...DAYS), fc.constantFrom(0, 1, 900_000, MS_PER_DAY - 1))
    .map(([day, ms]) => day * MS_PER_DAY + ms),
  date_created: fc.constantFrom(0, 1, 3_600_000, 1_700_000_000_000),
}
const anyName = fc.constantFrom('only my railgun', '𝄞', 'a')
const anyEventOfUs = fc.oneof(
  anyEvent('running_stats', ours),
  anyEvent('music_info', { ...ours, song_name: anyName, artist: anyName }),
)
const anyEvents: fc.Arbitrary<RunifyEvent[]> = fc.uniqueArray(anyEventOfUs, {
  selector: ({ trace_id }) => trace_id,
  minLength: 1,
  maxLength: 60,
})

/** Of their exact sum two doubles are kept, also when the large one is taken away again. */
const SMALL_AND_LARGE: RunifyEvent[] = [BOB, ANN].map((user_id, index) => ({
  type: 'music_info',
  trace_id: `00000000-0000-0000-0000-00000000000${index}`,
  date_created: 0,
  fields: {
    user_id,
    song_name: 'a',
    artist: 'a',
    song_duration: user_id === ANN ? 1 : 2 ** -38 + 2 ** -90,
    timestamp: 0,
  },
}))

const at = (next: number): PartitionCursor => ({ topic: RUNS, partition: 0, next })

/** What takes a user out who has all events but `left` erased. */
function erasureOf(
  user_id: string,
  { from, gone, left, next = 1 }: { from: Cursors; gone: RunifyEvent[]; left: RunifyEvent[]; next?: number },
): ErasedUser {
  const hours = foldHours(gone).map((hour) => {
    return { ...hour, events: -hour.events, fingerprint: (FINGERPRINTS - hour.fingerprint) % FINGERPRINTS }
  })
  const to = { topic: FORGOTTEN_TOPIC, partition: 0, next }
  return { user_id, from, to, left: left.length === 0 ? [] : [foldEvents(left)], hours, uncounted: [], now: 9 }
}

export function erasingContract({ open }: StatisticsAdapter): void {
  test('leaves what a count of all the others would give, and of what is left of the user', async () => {
    const property = fc.asyncProperty(
      anyEvents,
      fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }),
      async (events, keep) => {
        await using place = await open()
        await using fresh = await open()
        const [gone, left] = [false, true].map((kept) =>
          events.filter(({ fields }, index) => fields.user_id === ANN && keep[index] === kept),
        ) as [RunifyEvent[], RunifyEvent[]]
        const { statistics } = place
        const half = events.length >> 1
        await statistics.fold({ from: [], to: [at(half + 1)], parts: foldEvents(events.slice(0, half)), now: 1 })
        const from = [at(events.length + 1)]
        await statistics.fold({ from: [at(half + 1)], to: from, parts: foldEvents(events.slice(half)), now: 2 })
        // What was asked before must not be answered again.
        await answersOf(statistics, USERS)
        assert.equal(await statistics.erase(erasureOf(ANN, { from, gone, left })), true)
        const parts = foldEvents(events.filter((event) => !gone.includes(event)))
        await fresh.statistics.fold({ from: [], to: from, parts, now: 1 })
        assert.deepEqual(await answersOf(statistics, USERS), await answersOf(fresh.statistics, USERS))
        assert.deepEqual(await answersOf(await place.openAgain(), USERS), await answersOf(fresh.statistics, USERS))

        {
          await using shadow = await statistics.shadow()
          await shadow.statistics.fold({ from: [], to: from, parts, now: 1 })
          const { different, differences } = await shadow.compare(async () => {})
          assert.deepEqual([different, differences], [0, []])
        }

        // It can be counted on.
        const more = [...from, { topic: FORGOTTEN_TOPIC, partition: 0, next: 1 }]
        const later = fc.sample(anyEvents, { numRuns: 1, seed: events.length })[0] as RunifyEvent[]
        await statistics.fold({ from: more, to: [at(1000)], parts: foldEvents(later), now: 3 })
        await fresh.statistics.fold({ from, to: [at(1000)], parts: foldEvents(later), now: 3 })
        assert.deepEqual(await answersOf(statistics, USERS), await answersOf(fresh.statistics, USERS))
      },
    )
    await fc.assert(property, { numRuns: 8, examples: [[SMALL_AND_LARGE, Array(60).fill(false)]] })
  })

  test('moves the cursor behind it, and changes nothing of somebody of whom there is nothing', async () => {
    await using place = await open()
    const { statistics } = place
    const events = fc.sample(anyEvents, { numRuns: 1, seed: 3 })[0] as RunifyEvent[]
    const others = events.filter(({ fields }) => fields.user_id !== ANN)
    await statistics.fold({ from: [], to: [at(5)], parts: foldEvents(others), now: 1 })
    const before = await answersOf(statistics, USERS)
    assert.equal(await statistics.erase(erasureOf(ANN, { from: [at(5)], gone: [], left: [] })), true)
    assert.deepEqual(await answersOf(statistics, USERS), before)
    const cursors = await statistics.cursors()
    assert.ok(cursors.some(({ topic, next }) => topic === FORGOTTEN_TOPIC && next === 1))
    await statistics.erase(erasureOf(BOB, { from: cursors, gone: [], left: [], next: 2 }))
  })

  test('of an empty place is nothing but the cursor', async () => {
    await using place = await open()
    assert.equal(await place.statistics.erase(erasureOf(ANN, { from: [], gone: [], left: [] })), true)
    assert.deepEqual(await place.statistics.cursors(), [{ topic: FORGOTTEN_TOPIC, partition: 0, next: 1 }])
    assert.equal((await place.statistics.totals({})).rollup.runs, 0)
  })

  test('writes nothing where somebody has counted on, and neither does a fold where somebody has erased', async () => {
    await using place = await open()
    const other = await place.openAgain()
    const events = fc.sample(anyEvents, { numRuns: 1, seed: 5 })[0] as RunifyEvent[]
    const parts = foldEvents(events)
    await place.statistics.fold({ from: [], to: [at(5)], parts, now: 1 })
    await other.fold({ from: [at(5)], to: [at(6)], parts, now: 1 })
    const before = await answersOf(other, USERS)
    for (const from of [[], [at(5)], [at(6), { topic: FORGOTTEN_TOPIC, partition: 0, next: 1 }]]) {
      assert.equal(await place.statistics.erase(erasureOf(ANN, { from, gone: events, left: [] })), false)
    }
    assert.deepEqual(await answersOf(other, USERS), before)
    assert.equal(await place.statistics.erase(erasureOf(ANN, { from: [at(6)], gone: [], left: [] })), true)
    assert.equal((await other.fold({ from: [at(6)], to: [at(7)], parts, now: 1 })).kind, 'overtaken')
    const from = [at(6), { topic: FORGOTTEN_TOPIC, partition: 0, next: 1 }]
    assert.equal((await other.fold({ from, to: [at(7)], parts, now: 1 })).kind, 'folded')
  })
}
