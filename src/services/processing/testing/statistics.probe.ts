import { roundSum } from '../rollup/exact-sum.ts'
import type { StatisticsStore } from '../store/statistics-store.ts'

const ZONES = [undefined, 'Asia/Kathmandu', 'America/St_Johns']
const MANY = 10_000

/** All that statistics answer of these users and of everybody, but for how far they go: to compare two with each other. */
export async function answersOf(statistics: StatisticsStore, users: readonly string[]): Promise<unknown> {
  const answers: Record<string, unknown> = {}
  for (const user_id of [undefined, ...users]) {
    for (const time_zone of ZONES) {
      const scope = { user_id, time_zone }
      const of = `${user_id ?? 'everybody'} ${time_zone ?? 'UTC'}`
      answers[`${of} totals`] = (await statistics.totals({ ...scope })).rollup
      answers[`${of} some days`] = (await statistics.totals({ ...scope, from: -1, to: 19_782 })).rollup
      answers[`${of} daily`] = (await statistics.daily({ ...scope, limit: MANY })).days
      answers[`${of} records`] = (await statistics.records(scope)).records
      for (const list of ['songs', 'artists'] as const) {
        answers[`${of} ${list}`] = (await statistics.played({ ...scope, list, limit: MANY })).played
        const range = { from: -1, to: 19_782 }
        answers[`${of} ${list} of some days`] = (
          await statistics.played({ ...scope, ...range, list, limit: MANY })
        ).played
      }
    }
  }
  answers.hours = (await statistics.hours({ from: -20_000_000, to: 100_000_000 })).hours
  // An exact sum has many forms, by the order in which it was added: what it rounds to is what an answer says of it.
  return JSON.parse(JSON.stringify(answers, (_, value) => (isSum(value) ? roundSum(value) : value)))
}

function isSum(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((part) => typeof part === 'number')
}
