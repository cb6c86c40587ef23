import { checkField, Refusal } from '../events/field.ts'
import { type EpochMs, formatInstant } from '../events/instant.ts'
import type { NewRecord } from './event-log.ts'

/** Who is to be forgotten. Retention never removes it, so that a store that is filled anew forgets them again. */
export const FORGOTTEN_TOPIC = 'runify.forgotten_users'

/** That somebody asked to forget a user: all their events that were received at `forgotten_at` or before. */
export type Tombstone = {
  /** Of the request, a UUID: to find by it what came of it. */
  request_id: string
  user_id: string
  forgotten_at: EpochMs
}

export function encodeTombstone({ request_id, user_id, forgotten_at }: Tombstone): NewRecord {
  const value = { request_id, user_id, forgotten_at: formatInstant(forgotten_at) }
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
  if (request_id instanceof Refusal || user_id instanceof Refusal || forgotten_at instanceof Refusal) return undefined
  return { request_id: request_id as string, user_id: user_id as string, forgotten_at: forgotten_at as EpochMs }
}

function parse(value: Uint8Array): Record<string, unknown> {
  try {
    return Object(JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')))
  } catch {
    return {}
  }
}
