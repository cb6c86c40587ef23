import { randomUUID } from 'node:crypto'
import type { Json } from './harness.ts'

/** Events as clients send them, the same for the same arguments: a number tells them apart. */

export type Kind = 'running' | 'music'

const FIRST_START = Date.UTC(2024, 0, 1)
const TITLES = [
  'only my railgun',
  'LEVEL5 -judgelight-',
  'Für Elise',
  '夜に駆ける',
  'a "quoted", title',
  '🏃‍♀️ 𝄞',
  'line\nbreak',
]

export function makeRun(n: number, more: Json = {}): Json {
  // Hundredths, so that sums are not exact in plain addition.
  const duration = 300 + (n % 7000) + ((n * 37) % 100) / 100
  const distance = 1000 + ((n * 7919) % 41_000) + ((n * 61) % 100) / 100
  return { user_id: USER, duration, distance, timestamp: startOf(n), ...more }
}

export function makeSong(n: number, more: Json = {}): Json {
  const song_name = `${TITLES[n % TITLES.length]} ${n}`
  return {
    user_id: USER,
    song_name,
    artist: 'fripSide',
    song_duration: 30 + (n % 400) / 4,
    timestamp: startOf(n),
    ...more,
  }
}

export function makeEvent(kind: Kind, n: number, more: Json = {}): Json {
  return kind === 'running' ? makeRun(n, more) : makeSong(n, more)
}

/** `count` events with an `event_id` each, of a user that no other test has. */
export function makeMany(kind: Kind, count: number): { user_id: string; events: Json[] } {
  const user_id = randomUUID()
  const events = Array.from({ length: count }, (_, n) => makeEvent(kind, n, { user_id, event_id: `${kind}-${n}` }))
  return { user_id, events }
}

export function toNdjson(events: readonly unknown[]): string {
  return events.map((event) => `${JSON.stringify(event)}\n`).join('')
}

export function fromNdjson(text: string): Json[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as Json)
}

/** What Storage gives back for an event that was sent, but for `trace_id` and `date_created`. */
export function asStored(sent: Json): Json {
  const timestamp = new Date(sent.timestamp as string).toISOString()
  return { ...sent, user_id: (sent.user_id as string).toLowerCase(), timestamp }
}

/** Stored events without what Runify adds, by `event_id`; fails where one is there twice. */
export function byEventId(stored: readonly Json[]): Map<string, Json> {
  const found = new Map<string, Json>()
  for (const { trace_id: _, date_created: __, ...event } of stored) {
    const id = event.event_id as string
    if (found.has(id)) throw new Error(`${id} is stored twice`)
    found.set(id, event)
  }
  return found
}

const USER = 'd290f1ee-6c54-4b01-90e6-d701748f0851'

/** Every third in another zone, every fifth with more digits than are kept; they differ all the same. */
function startOf(n: number): string {
  const instant = new Date(FIRST_START + n * 61_007)
  if (n % 3 === 1) return new Date(instant.getTime() + 7_200_000).toISOString().replace('Z', '+02:00')
  return n % 5 === 2 ? instant.toISOString().replace('Z', '999Z') : instant.toISOString()
}
