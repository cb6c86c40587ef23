import { Random } from '../../src/cli/generator/random.ts'
import { formatInstant, MS_PER_DAY } from '../../src/events/instant.ts'
import { LINES_MAX } from '../load/event-bodies.ts'
import { getJson, sendAll } from '../load/http-load.ts'
import { OneReader } from '../load/one-reader.ts'
import { growthRate } from '../progress.ts'
import { quantile } from '../quantile.ts'
import { atMost, type Row } from '../report/results.ts'
import type { Section } from '../section.ts'

const YEARS = 20
const USERS = 200
const SONGS = 20_000
const ARTISTS = 2000
/** What one user has played in all those years, where there are so many plays. */
const HISTORY_MAX = 100_000
const TIMES = 300
/** Lists of up to so many rows are asked for once each. */
const LONGEST = 100
const HEAVY = '00000000-0000-4000-8000-000000000000'
const BEGIN = Date.UTC(2005, 0, 1)

const ABOUT =
  'Plays of 20,000 songs by 2,000 artists in 20 years: up to 100,000 by one user, the rest by 200 users. All are ' +
  'stored; Processing starts and counts them. Then lists, one request at a time: first computed afresh, each with a ' +
  'different limit, then lists of 50 requested again, which are cached until something of the user, or of anybody, is ' +
  'counted.'

/** How fast plays are counted, and how long the lists of what was played most take. */
export const MOST_PLAYED: Section = {
  about: { embedded: ABOUT, servers: ABOUT },
  async measure({ target, options }) {
    await target.clear()
    const all = options.events
    {
      await using running = await target.start('receiver')
      await sendAll(running.addresses.receiver, 'application/x-ndjson', bodies(all), '/stats/music')
    }
    {
      await using running = await target.start('storage')
      await growthRate(running.addresses.storage, { all, started: performance.now(), name: 'num_music_info' })
    }
    const started = performance.now()
    await using running = await target.start('storage', 'processing')
    const { processing } = running.addresses
    using reader = new OneReader(processing)
    const counted = await growthRate(processing, { all, started, name: 'num_music_info' })
    const rows: Row[] = [{ name: 'plays counted', value: counted, unit: 'events/s' }]
    const year = '&from=2015-01-01&to=2015-12-31'
    for (const list of ['songs', 'artists'] as const) {
      for (const [name, query, target] of [
        ['everybody, all time', '', atMost(10)],
        ['a user’s whole history', `&user_id=${HEAVY}`, atMost(10)],
        ['everybody, a year', year, undefined],
        ['everybody, a year of a zone', `${year}&time_zone=Asia/Kathmandu`, undefined],
        ['a user’s year', `&user_id=${HEAVY}${year}`, undefined],
      ] as const) {
        const pathOf = (limit: number) => `/stats/${list}?limit=${limit}${query}`
        if ((await getJson<unknown[]>(`${processing}${pathOf(LONGEST + 1)}`)).length === 0) {
          throw new Error(`${pathOf(LONGEST + 1)} has nothing`)
        }
        const anew: number[] = []
        for (let limit = LONGEST; limit > 0; limit--) anew.push((await reader.ask(pathOf(limit))).ms)
        const again = await reader.times(pathOf(50), TIMES)
        for (const [how, times] of Object.entries({ anew, again })) {
          const value = quantile(times, 0.99)
          rows.push({ name: `${list}: ${name}, ${how}, p99`, value, unit: 'ms', ...(target && { target }) })
        }
      }
    }
    return rows
  },
}

function* bodies(count: number): Generator<string> {
  const random = new Random(11, 0, 0)
  const users = Array.from(
    { length: USERS },
    (_, index) => `${HEAVY.slice(0, -6)}${String(index + 1).padStart(6, '0')}`,
  )
  const heavy = Math.min(HISTORY_MAX, Math.floor(count / 2))
  for (let sent = 0; sent < count; ) {
    const lines: string[] = []
    for (; lines.length < LINES_MAX && sent < count; sent++) {
      // In the order of time, as most events come; few songs come often.
      const song = Math.floor(SONGS * random.uniform() * random.uniform() * random.uniform())
      const isHeavy = Math.floor(((sent + 1) * heavy) / count) > Math.floor((sent * heavy) / count)
      const timestamp = BEGIN + Math.floor((sent / count) * YEARS * 365 * MS_PER_DAY)
      const event = {
        user_id: isHeavy ? HEAVY : random.pick(users),
        song_name: `The song with the number ${song}`,
        artist: `The artist with the number ${song % ARTISTS}`,
        song_duration: 120 + (song % 240),
        timestamp: formatInstant(timestamp),
      }
      lines.push(JSON.stringify(event))
    }
    yield `${lines.join('\n')}\n`
  }
}
