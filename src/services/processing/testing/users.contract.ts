import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CATALOGUE, type RunifyEvent } from '../../../events/catalogue.ts'
import { dayOf } from '../../../events/instant.ts'
import { anyEvent } from '../../../events/testing/event.arbitrary.ts'
import { LocalDays } from '../../../events/time-zone.ts'
import { QUARTER_MS } from '../days/quarter-hours.ts'
import { foldEvents } from '../fold.ts'
import type { StatisticsStore } from '../store/statistics-store.ts'
import type { CountedUser } from '../users/counted-users.ts'
import type { StatisticsAdapter } from './statistics-store.contract.ts'

const USERS = [
  '00000000-0000-0000-0000-000000000000',
  '0000000a-6c54-4b01-90e6-d701748f0851',
  'd290f1ee-6c54-4b01-90e6-d701748f0851',
  'd290f1ee-6c54-4b01-90e6-d701748f0852',
  'd290f1ef-0000-4b01-90e6-d701748f0851',
  'ffffffff-ffff-ffff-ffff-ffffffffffff',
] as const
const ZONES = [undefined, 'Asia/Kathmandu', 'America/St_Johns']
const PREFIXES = [undefined, '', '0', 'd290f1ee', 'D290F1EE-', 'd290f1ee-6c54-4b01-90e6-d701748f0851', 'e', 'fff']

/** What every store knows of the users of whom something is counted. */
export function usersContract({ open }: StatisticsAdapter): void {
  test('are all of whom something is counted, with how much it is and its last day, by how their ids begin', async () => {
    const ours = { user_id: fc.constantFrom(...USERS) }
    const anyRunOrPlay = fc.oneof(anyEvent('running_stats', ours), anyEvent('music_info', ours))
    const anyEvents = fc.array(anyRunOrPlay, { maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(anyEvents, fc.constantFrom(...ZONES), async (events, time_zone) => {
        await using place = await open()
        await fold(place.statistics, events)
        const other = await place.openAgain()
        for (const prefix of PREFIXES) {
          const expected = recount(events, { prefix, time_zone })
          const { users, more } = await other.users({ prefix, time_zone, limit: 10 })
          assert.deepEqual({ users, more }, { users: expected, more: false }, String(prefix))
        }
      }),
      { numRuns: 8 },
    )
  })

  test('come in pages that leave nobody out', async () => {
    await using place = await open()
    const events = USERS.map(
      (user_id, n) =>
        fc.sample(anyEvent('running_stats', { user_id: fc.constant(user_id) }), {
          numRuns: 1,
          seed: n,
        })[0] as RunifyEvent,
    )
    await fold(place.statistics, events)
    const found: string[] = []
    for (let after: string | undefined; ; after = found.at(-1)) {
      const { users, more } = await place.statistics.users({ after, limit: 2 })
      assert.ok(users.length <= 2)
      found.push(...users.map(({ user_id }) => user_id))
      if (!more) break
    }
    assert.deepEqual(found, USERS)
    const { users } = await place.statistics.users({ prefix: 'd', after: USERS[2], limit: 10 })
    assert.deepEqual(
      users.map(({ user_id }) => user_id),
      [USERS[3], USERS[4]],
    )
  })
}

async function fold(statistics: StatisticsStore, events: readonly RunifyEvent[]): Promise<void> {
  const to = [{ topic: CATALOGUE.running_stats.topic, partition: 0, next: events.length }]
  assert.equal((await statistics.fold({ from: [], to, parts: foldEvents(events), now: 1 })).kind, 'folded')
}

function recount(
  events: readonly RunifyEvent[],
  { prefix = '', time_zone }: { prefix: string | undefined; time_zone: string | undefined },
): CountedUser[] {
  const calendar = new LocalDays(time_zone)
  const users = new Map<string, CountedUser>()
  for (const { type, fields } of events) {
    const { user_id, timestamp } = fields
    if (!user_id.startsWith(prefix.toLowerCase())) continue
    const user = users.get(user_id) ?? { user_id, runs: 0, plays: 0, last_day: Number.NEGATIVE_INFINITY }
    const quarter = Math.floor(timestamp / QUARTER_MS) * QUARTER_MS
    const day = time_zone === undefined ? dayOf(quarter) : calendar.at(quarter)
    if (type === 'running_stats') user.runs++
    else user.plays++
    user.last_day = Math.max(user.last_day as number, day)
    users.set(user_id, user)
  }
  return [...users.values()].sort((a, b) => (a.user_id < b.user_id ? -1 : 1))
}
