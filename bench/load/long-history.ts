import { LINES_MAX } from './event-bodies.ts'

const YEARS_20_MS = 20 * 365.25 * 86_400_000
const BEGIN = Date.UTC(2005, 0, 1)

/** So many runs of one user, evenly over 20 years, as NDJSON bodies. */
export function* longHistory(user_id: string, count: number): Generator<Buffer> {
  for (let from = 0; from < count; from += LINES_MAX) {
    const lines = Array.from({ length: Math.min(LINES_MAX, count - from) }, (_, index) => {
      const n = from + index
      const timestamp = new Date(BEGIN + Math.floor((n / count) * YEARS_20_MS)).toISOString()
      const distance = 1000 + ((n * 7919) % 41_000) + ((n * 61) % 100) / 100
      return JSON.stringify({ user_id, duration: distance / (2.5 + (n % 7) / 4), distance, timestamp })
    })
    yield Buffer.from(`${lines.join('\n')}\n`)
  }
}
