import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CATALOGUE, type RunifyEvent } from '../../../events/catalogue.ts'
import { MS_PER_DAY } from '../../../events/instant.ts'
import { anyEvent } from '../../../events/testing/event.arbitrary.ts'
import { type Cursors, nextOf } from '../../../log/position.ts'
import { foldEvents } from '../fold.ts'
import type { PlayedQuery } from '../query.ts'
import type { StatisticsStore } from '../store/statistics-store.ts'
import { sumByBigInt } from './exact-sum.reference.ts'
import type { StatisticsAdapter } from './statistics-store.contract.ts'

const { topic } = CATALOGUE.music_info
const USERS = [1, 2, 3].map((digit) => `0000000${digit}-6c54-4b01-90e6-d701748f0851`)
/** Alike, and not the same: composed and not, case, spaces at the end, beyond the 65,536 first characters. */
const TEXTS = ['Beyoncé', 'Beyonce\u0301', 'a', 'A', 'a ', ' a', 'ａ', '🎧', '\uFFFD', 'ß', 'SS', '0', '']
const anyName = fc.constantFrom(...TEXTS.filter((text) => text !== ''), 'x\0y', '𝄞'.repeat(512))
/** Ends of months and years, days of 23 and of 25 hours in Berlin, a day that Apia did not have, both ends of time. */
const DAYS = [-719_528, -32, -1, 0, 30, 31, 15_336, 15_337, 15_338, 15_430, 19_782, 19_783, 19_813, 20_388, 2_932_896]
const ZONES = ['Europe/Berlin', 'Asia/Kathmandu', 'Pacific/Apia', 'America/St_Johns', 'America/Toronto', 'UTC']
const anyPlay = anyEvent('music_info', {
  user_id: fc.constantFrom(...USERS),
  song_name: anyName,
  artist: anyName,
  song_duration: fc.oneof(fc.constantFrom(0, 247, 247.1, 0.1, 5e-324, 86_400), fc.integer({ min: 200, max: 205 })),
  timestamp: fc
    .tuple(fc.constantFrom(...DAYS), fc.constantFrom(0, 1, 900_000, 79_199_999, 82_800_000, MS_PER_DAY - 1))
    .map(([day, ms]) => day * MS_PER_DAY + ms),
})
const anyQuery = fc.record(
  {
    list: fc.constantFrom('songs' as const, 'artists' as const),
    limit: fc.constantFrom(1, 3, 7, 1000),
    user_id: fc.constantFrom(...USERS),
    from: fc.constantFrom(...DAYS),
    to: fc.constantFrom(...DAYS),
    time_zone: fc.constantFrom(...ZONES),
  },
  { requiredKeys: ['list', 'limit'] },
)

/** What every store does with what was played. */
export function playedContract({ open }: StatisticsAdapter): void {
  test('are a recount, however events are folded, of whoever and whatever days are asked for', async () => {
    const anyCase = fc.tuple(
      fc.array(fc.oneof({ weight: 9, arbitrary: anyPlay }, anyEvent('running_stats')), {
        minLength: 1,
        maxLength: 150,
      }),
      fc.array(anyQuery, { minLength: 30, maxLength: 30 }),
      fc.integer({ min: 1, max: 60 }),
    )
    await fc.assert(
      fc.asyncProperty(anyCase, async ([events, queries, page]) => {
        await using place = await open()
        await foldAll(place.statistics, events, page)
        const other = await place.openAgain()
        for (const query of queries) {
          const { played } = await other.played(query)
          assert.deepEqual(played, recount(events as RunifyEvent[], query), JSON.stringify(query))
        }
      }),
      { numRuns: 8 },
    )
  })

  test('that are equal in plays and time come in the order of their names, however many they are', async () => {
    await using place = await open()
    const events = fc.sample(anyPlay, { numRuns: 400, seed: 5 }).map((event, index) => {
      const song_name = `${String.fromCodePoint(0x1f3b5 - index * 7)} ${index % 2 === 0 ? 'é' : 'e\u0301'}`
      return { ...event, fields: { ...event.fields, song_name, artist: song_name, song_duration: 247 } } as RunifyEvent
    })
    await foldAll(place.statistics, events, 150)
    const [user_id] = USERS
    for (const which of [{}, { user_id }, { from: -999_999, time_zone: 'Asia/Tokyo' }, { user_id, from: -999_999 }]) {
      for (const list of ['songs', 'artists'] as const) {
        const query = { list, limit: 20, ...which }
        assert.deepEqual((await place.statistics.played(query)).played, recount(events, query), JSON.stringify(query))
      }
    }
  })

  test('are kept until something is counted of those whose they are', async () => {
    await using place = await open()
    const [ann, ben] = USERS as [string, string]
    const playsOf = (user_id: string, seed: number) =>
      fc.sample(anyPlay, { numRuns: 20, seed }).map((event) => {
        return { ...event, fields: { ...event.fields, user_id } } as RunifyEvent
      })
    const pages = [playsOf(ann, 1), playsOf(ben, 2), playsOf(ann, 3)] as const
    let counted: Cursors = []
    const count = async (events: RunifyEvent[]) => {
      counted = await foldAll(place.statistics, events, events.length, counted)
    }
    const queries = (['songs', 'artists'] as const).flatMap((list) => [
      { list, limit: 10, user_id: ann },
      { list, limit: 10, user_id: ann, from: -999_999, time_zone: 'Asia/Kathmandu' },
      { list, limit: 10 },
    ])
    const ask = () => Promise.all(queries.map((query) => place.statistics.played(query)))
    const check = (answers: Awaited<ReturnType<typeof ask>>, events: RunifyEvent[]) => {
      for (const [n, { played, cursors }] of answers.entries()) {
        assert.deepEqual(cursors, counted)
        assert.deepEqual(played, recount(events, queries[n] as PlayedQuery), JSON.stringify(queries[n]))
      }
    }
    await count(pages[0])
    const first = await ask()
    check(first, pages[0])
    for (const [n, { played }] of (await ask()).entries()) assert.equal(played, first[n]?.played)
    await count(pages[1])
    const second = await ask()
    check(second, pages.slice(0, 2).flat())
    for (const [n, { user_id }] of queries.entries()) {
      assert.equal(second[n]?.played === first[n]?.played, user_id === ann, JSON.stringify(queries[n]))
    }
    await count(pages[2])
    check(await ask(), pages.flat())
  })

  test('say up to where they go', async () => {
    await using place = await open()
    assert.deepEqual(await place.statistics.played({ list: 'songs', limit: 10 }), {
      played: [],
      cursors: [],
      updated: undefined,
      uncounted: 0,
    })
    await foldAll(place.statistics, fc.sample(anyPlay, { numRuns: 3, seed: 1 }), 2)
    const { played, cursors, updated } = await place.statistics.played({ list: 'songs', limit: 1 })
    assert.deepEqual([played.length, cursors, updated], [1, [{ topic, partition: 0, next: 3 }], 7])
  })
}

/** Page by page, behind what is counted already. Gives up to where that is then. */
async function foldAll(
  statistics: StatisticsStore,
  events: readonly RunifyEvent[],
  page: number,
  counted: Cursors = [],
): Promise<Cursors> {
  const first = nextOf(counted, { topic, partition: 0 })
  let from = counted
  for (let begin = 0; begin < events.length; begin += page) {
    const some = events.slice(begin, begin + page)
    const to = [{ topic, partition: 0, next: first + begin + some.length }]
    assert.equal((await statistics.fold({ from, to, parts: foldEvents(some), now: 7 })).kind, 'folded')
    from = to
  }
  return from
}

/** All of it again, by other means. */
function recount(events: readonly RunifyEvent[], { list, user_id, from, to, time_zone, limit }: PlayedQuery) {
  const groups = new Map<string, { song_name: string | null; artist: string; durations: number[] }>()
  for (const event of events) {
    if (event.type !== 'music_info') continue
    const { fields } = event
    const day = dayOf(fields.timestamp, time_zone ?? 'UTC')
    if (fields.user_id !== (user_id ?? fields.user_id) || day < (from ?? day) || day > (to ?? day)) continue
    const names = { song_name: list === 'songs' ? fields.song_name : null, artist: fields.artist }
    const group = groups.get(JSON.stringify(names)) ?? { ...names, durations: [] }
    groups.set(JSON.stringify(names), group)
    group.durations.push(fields.song_duration)
  }
  const points = (text: string | null) => [...(text ?? '')].map((character) => character.codePointAt(0) as number)
  const compare = (a: number[], b: number[]): number => {
    const at = a.findIndex((point, index) => point !== b[index])
    return at === -1 ? a.length - b.length : (a[at] as number) - (b[at] ?? -1)
  }
  return [...groups.values()]
    .map(({ durations, ...names }) => ({ ...names, plays: durations.length, seconds: sumByBigInt(durations) }))
    .sort(
      (a, b) =>
        b.plays - a.plays ||
        b.seconds - a.seconds ||
        compare(points(a.song_name), points(b.song_name)) ||
        compare(points(a.artist), points(b.artist)),
    )
    .slice(0, limit)
}

/** Of the quarter hour in which it began; the nearest with a year of four digits. */
function dayOf(instant: number, timeZone: string): number {
  const date = Temporal.Instant.fromEpochMilliseconds(Math.floor(instant / 900_000) * 900_000)
    .toZonedDateTimeISO(timeZone)
    .toPlainDate()
  const day = Temporal.PlainDate.from('1970-01-01').until(date).days
  return Math.min(Math.max(day, -719_528), 2_932_896)
}
