import { isFailure } from '../../../errors.ts'
import { CATALOGUE, EVENT_TYPES, type EventType } from '../../../events/catalogue.ts'
import { decodeKnown, storedSchema } from '../../../events/codec.ts'
import { type EpochMs, formatInstant } from '../../../events/instant.ts'
import type { Parameters } from '../../../http/parameter.ts'
import { HttpProblem } from '../../../http/problem.ts'
import type { HttpServer } from '../../../http/server.ts'
import type { EventLog } from '../../../log/event-log.ts'
import type { EventStore, StoredEvent } from '../../../store/event-store.ts'
import type { RecordsByType } from '../nth-event/nth-event.ts'
import { PLACE, toPlacedEvent } from '../placed-event.ts'
import type { PlacedRecord } from '../record-cache.ts'
import { searchLog, type Window } from './log-search.ts'

export type FindEventDeps = {
  log: EventLog
  /** Tells whether an event is stored, and where the log has it. */
  store: () => Promise<Pick<EventStore, 'event'>>
  records: RecordsByType
}

type Found = PlacedRecord & { type: EventType }
type InStore = { stored: StoredEvent | undefined } | { unavailable: unknown }

/** An event is in the log soon after its id was made; clocks may differ by a second. */
const BEFORE_MS = 1000
const AFTER_MS = 10_000
/** Where the client only has a notion of the time. */
const AROUND_MS = 60_000

/** `GET /events/{trace_id}`: where in the log an event is, when it came there, and whether it is stored. */
export function addFindEvent(server: HttpServer, deps: FindEventDeps): void {
  server.get('/events/:trace_id', {
    summary: 'Where in the log an event is, when the log took it, how late it was, and whether it is stored',
    description: DESCRIPTION,
    parameters: WHICH,
    response: { oneOf: EVENT_TYPES.map((type) => storedSchema(type, { type: { const: type }, ...PLACE, ...FOUND })) },
    problems: ['not_found', 'removed', 'undecodable', 'log_unavailable', 'store_unavailable'],
    handler: async ({ values: { trace_id, near } }) => {
      const inStore = await askStore(deps, trace_id)
      const stored = 'stored' in inStore ? inStore.stored : undefined
      const found =
        stored === undefined ? await look(deps, { trace_id, near, inStore }) : await readStored(deps, stored)
      return describe(deps, found, 'stored' in inStore ? stored !== undefined : null)
    },
  })
}

async function askStore({ store }: FindEventDeps, traceId: string): Promise<InStore> {
  try {
    return { stored: await (await store()).event(traceId) }
  } catch (error) {
    if (!isFailure(error, 'store_unavailable')) throw error
    return { unavailable: error }
  }
}

async function readStored({ log }: FindEventDeps, { event, partition, offset }: StoredEvent): Promise<Found> {
  const { type } = event
  const { topic } = CATALOGUE[type]
  const [record] = await log.read({ topic, partition, from: offset, limit: 1 }).catch((error) => {
    if (isFailure(error, 'offset_removed')) return []
    throw error
  })
  if (record?.offset === offset) return { type, partition, record }
  const detail = `retention has removed it from the log, where it was in partition ${partition} at offset ${offset}; Storage has it`
  throw new HttpProblem('removed', detail)
}

/** Looks through the part of the log where it should be. */
async function look(
  { log }: FindEventDeps,
  { trace_id, near, inStore }: { trace_id: string; near: EpochMs | undefined; inStore: InStore },
): Promise<Found> {
  const windows = windowsOf(trace_id, near)
  const store = 'stored' in inStore ? 'it is not stored' : 'Storage does not answer'
  if (windows === undefined) {
    if ('unavailable' in inStore) throw inStore.unavailable
    throw new HttpProblem('not_found', `${store}, and its id tells no time: near=<time> looks for it in the log`)
  }
  const looked: string[] = []
  for (const window of windows) {
    const { found, mib, isWhole } = await searchLog(log, trace_id, window)
    if (found !== undefined) return found
    const range = `from ${formatInstant(window.from)} to ${formatInstant(window.to)}`
    looked.push(isWhole ? range : `${range}, of which ${mib} MiB were read`)
  }
  const detail = `${store}, and it is not in what the log took ${looked.join(', and ')}: near=<time> looks elsewhere`
  throw new HttpProblem('not_found', detail)
}

/** The likeliest first. Undefined where nothing tells the time. */
function windowsOf(traceId: string, near: EpochMs | undefined): Window[] | undefined {
  if (near !== undefined) return [{ from: near - AROUND_MS, to: near + AROUND_MS }]
  const made = timeOf(traceId)
  if (made === undefined) return undefined
  return [
    { from: made, to: made + AFTER_MS },
    { from: made - BEFORE_MS, to: made },
  ]
}

/** When a UUIDv7 was made (RFC 9562, 5.7). */
function timeOf(traceId: string): EpochMs | undefined {
  return traceId[14] === '7' ? Number.parseInt(traceId.slice(0, 8) + traceId.slice(9, 13), 16) : undefined
}

async function describe({ records }: FindEventDeps, { type, partition, record }: Found, stored: boolean | null) {
  const decoded = decodeKnown(type, record.value)
  const placed = toPlacedEvent(type, { partition, record })
  if (!decoded.ok) return placed
  const { fields, date_created } = decoded.event
  const index = await records[type].indexOf({ partition, record })
  return {
    type,
    ...placed,
    topic: CATALOGUE[type].topic,
    index: index ?? null,
    stored,
    append_seconds: (record.appendTime - date_created) / 1000,
    late_seconds: (record.appendTime - fields.timestamp) / 1000,
  }
}

const WHICH = {
  trace_id: { kind: 'uuid', required: true, description: 'As the Receiver answered' },
  near: { kind: 'instant', description: 'About when the log took it: looks a minute around it' },
} as const satisfies Parameters

const FOUND = {
  topic: { type: 'string' },
  index: { type: ['integer', 'null'], description: 'As in GET /running; null where retention has made it uncertain' },
  stored: { type: ['boolean', 'null'], description: 'Whether Storage has it; null: Storage does not answer' },
  append_seconds: { type: 'number', description: 'From when the Receiver got it to when the log took it' },
  late_seconds: { type: 'number', description: "From the event's own time to when the log took it" },
}

const DESCRIPTION =
  'Nothing is indexed: Storage tells where an event is that it has. For another one the log is looked through near the time ' +
  'that the id tells (a UUIDv7), or near `near`: an id that was derived from an `event_id` tells no time. Of an event that ' +
  'was sent several times, the place is that of the one that is stored, or of one of them.'
