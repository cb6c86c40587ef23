import { parseJson } from './check.ts'
import { checkField, Refusal } from './field.ts'
import { type EpochMs, formatInstant } from './instant.ts'

/**
 * The health check's own event. It takes the way of all events, by a topic of its own: Receiver, log, Storage, Processing.
 * But it is no event that a client sends, and none of `EVENT_TYPES`: it is in nobody's events, counts and statistics.
 */
export type Canary = { trace_id: string; date_created: EpochMs }

const TRACE_ID = { kind: 'uuid', description: '' } as const
const DATE_CREATED = { kind: 'instant', description: '' } as const

export function encodeCanary({ trace_id, date_created }: Canary): Buffer {
  return Buffer.from(JSON.stringify({ trace_id, date_created: formatInstant(date_created) }))
}

/** Undefined for a record that is no canary: only something other than Runify writes such. */
export function decodeCanary(value: Uint8Array): Canary | undefined {
  const parsed = parseJson(value)
  if (!parsed.ok || typeof parsed.value !== 'object' || parsed.value === null) return undefined
  const sent = parsed.value as Record<string, unknown>
  const trace_id = checkField(TRACE_ID, sent.trace_id)
  const date_created = checkField(DATE_CREATED, sent.date_created)
  if (trace_id instanceof Refusal || date_created instanceof Refusal) return undefined
  return { trace_id: trace_id as string, date_created: date_created as EpochMs }
}
