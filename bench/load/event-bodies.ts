import { generateEvents } from '../../src/cli/generator/generator.ts'

/** Lines of one NDJSON body. */
export const LINES_MAX = 10_000
const POOL = 100_000

/** Runs as a client sends them, without `event_id`, so that each POST is a new event. */
export function eventBodies(count: number): string[] {
  const bodies: string[] = []
  for (const { type, fields } of generateEvents({ users: 200, days: 20 * 365, seed: 7 })) {
    if (type !== 'running_stats') continue
    const { event_id: _, ...event } = fields
    bodies.push(JSON.stringify(event))
    if (bodies.length === count) return bodies
  }
  throw new Error(`the generator has only ${bodies.length} runs`)
}

/** So many runs as NDJSON bodies, one after the other; after 100,000 runs the same come again, as new events. */
export function* ndjsonBodies(events: number): Generator<Buffer> {
  const pool = eventBodies(Math.min(events, POOL))
  for (let sent = 0, at = 0; sent < events; at = (at + LINES_MAX) % pool.length) {
    const lines = pool.slice(at, at + Math.min(LINES_MAX, events - sent))
    sent += lines.length
    yield Buffer.from(`${lines.join('\n')}\n`)
  }
}
