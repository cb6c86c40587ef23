import { checkField, Refusal } from '../events/field.ts'
import { type EpochMs, formatInstant } from '../events/instant.ts'
import type { NewRecord } from './event-log.ts'
import { type Cursors, formatCursors, type Position, parseCursors } from './position.ts'

/** Who is to be forgotten. Retention never removes it, so that a store that is filled anew forgets them again. */
export const FORGOTTEN_TOPIC = 'runify.forgotten_users'

/**
 * That somebody asked to forget a user: all their events that lay in the log before `positions`, whatever any clock says;
 * or, where there are none, all that were received at `forgotten_at` or before.
 */
export type Tombstone = {
  /** Of the request, a UUID: to find by it what came of it. */
  request_id: string
  user_id: string
  forgotten_at: EpochMs
  /**
   * Where the topics of events ended when it was asked for. A partition that is not named was empty or not there. Earlier
   * versions wrote none; those that go by age (`RUNIFY_RETENTION_DAYS`) have none either.
   */
  positions?: Cursors | undefined
}

export function encodeTombstone({ request_id, user_id, forgotten_at, positions }: Tombstone): NewRecord {
  const before = positions && { positions: formatCursors(positions) }
  const value = { request_id, user_id, forgotten_at: formatInstant(forgotten_at), ...before }
  return { topic: FORGOTTEN_TOPIC, key: user_id, value: Buffer.from(JSON.stringify(value)) }
}

const UUID = { kind: 'uuid', description: '' } as const
const INSTANT = { kind: 'instant', description: '' } as const

/** Undefined for a record that is no tombstone: only something other than Runify writes such. */
export function decodeTombstone(value: Uint8Array): Tombstone | undefined {
  const sent = parse(value)
  const request_id = checkField(UUID, sent.request_id)
  const user_id = checkField(UUID, sent.user_id)
  const forgotten_at = checkField(INSTANT, sent.forgotten_at)
  const positions = typeof sent.positions === 'string' ? parseCursors(sent.positions) : undefined
  if (request_id instanceof Refusal || user_id instanceof Refusal || forgotten_at instanceof Refusal) return undefined
  // Without its positions it would be about something else.
  if (sent.positions !== undefined && positions === undefined) return undefined
  const tombstone = {
    request_id: request_id as string,
    user_id: user_id as string,
    forgotten_at: forgotten_at as EpochMs,
  }
  return positions === undefined ? tombstone : { ...tombstone, positions }
}

/** What is known of the users who were forgotten: of each the latest time, and the furthest positions. */
export class ForgottenUsers {
  readonly #users = new Map<string, { until: EpochMs; positions: Map<string, number> }>()

  /** How many users. */
  get size(): number {
    return this.#users.size
  }

  add({ user_id, forgotten_at, positions }: Omit<Tombstone, 'request_id'>): void {
    const known = this.#users.get(user_id) ?? { until: Number.NEGATIVE_INFINITY, positions: new Map() }
    this.#users.set(user_id, known)
    if (positions === undefined) known.until = Math.max(forgotten_at, known.until)
    for (const { topic, partition, next } of positions ?? []) {
      const id = `${topic}:${partition}`
      known.positions.set(id, Math.max(next, known.positions.get(id) ?? 0))
    }
  }

  /** Whether an event of a user is forgotten, by when it was received and where it lies. */
  has(user_id: string, date_created: EpochMs, { topic, partition, offset }: Position): boolean {
    const known = this.#users.get(user_id)
    if (known === undefined) return false
    return date_created <= known.until || offset < (known.positions.get(`${topic}:${partition}`) ?? 0)
  }
}

function parse(value: Uint8Array): Record<string, unknown> {
  try {
    return Object(JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')))
  } catch {
    return {}
  }
}
