import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import type { AuditRange, CountedHour, CountedReader } from '../../../clients/http-counted.ts'
import { Failure } from '../../../errors.ts'
import { EVENT_TYPES } from '../../../events/catalogue.ts'
import { FINGERPRINTS } from '../../../events/fingerprint.ts'
import { formatInstant, MS_PER_HOUR } from '../../../events/instant.ts'
import type { Parameters } from '../../../http/parameter.ts'
import { HttpProblem } from '../../../http/problem.ts'
import type { HttpServer } from '../../../http/server.ts'
import type { EventLog } from '../../../log/event-log.ts'
import { nextOf, withoutMarks } from '../../../log/position.ts'
import { FORGOTTEN_TOPIC } from '../../../log/tombstone.ts'
import { Audit, type AuditResult } from './run.ts'
import type { AuditedStore } from './sources.ts'
import { DIFFERENCE_KINDS, type Difference, type HourTally } from './tally.ts'

export type AuditRouteDeps = {
  log: EventLog
  /** Opens it when an audit is first asked for. */
  store: () => Promise<AuditedStore>
  counted: CountedReader
}

const HOURS_MAX = 31 * 24
const AT_ONCE_MAX = 2
/** Whoever waits hears something each so often: connections on which nothing moves are closed. */
const SIGN_OF_LIFE_MS = 15_000

/** Compares what the log, the store and the statistics have, and names what differs. */
export function addAudit(server: HttpServer, { log, store, counted }: AuditRouteDeps): void {
  const stopping = new AbortController()
  server.onDispose(async () => stopping.abort(new Failure('closed', 'the service is stopping', { retryable: true })))
  let underWay = 0
  server.get('/audit', {
    summary: 'Whether what was accepted is in the log, stored and counted; what is not, by name',
    description: DESCRIPTION,
    parameters: PARAMETERS,
    response: RESPONSE,
    problems: ['log_unavailable', 'store_unavailable', 'statistics_unavailable', 'overloaded'],
    handler: async ({ values, reply }) => {
      const range = checkRange(values)
      if (underWay >= AT_ONCE_MAX) throw new HttpProblem('overloaded', `${AT_ONCE_MAX} audits are under way`)
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort(new Failure('closed', 'nobody waits for it', { retryable: false })))
      const signal = AbortSignal.any([gone.signal, stopping.signal])
      underWay++
      const answer = audit(range, signal).finally(() => underWay--)
      // Its reader may have gone by then.
      answer.catch(() => {})
      return answerSlowly(answer, reply)
    },
  })

  async function audit(range: AuditRange, signal: AbortSignal): Promise<object> {
    return auditAnswer(range, await Audit.run({ log, store: await store(), counted }, range, signal))
  }
}

/** An answer that takes long begins with white space, which JSON allows; what fails by then is cut off. */
async function answerSlowly(answer: Promise<object>, reply: FastifyReply): Promise<unknown> {
  const first = await within(SIGN_OF_LIFE_MS, answer)
  return (
    first ?? reply.type('application/json; charset=utf-8').send(Readable.from(spaced(answer), { objectMode: false }))
  )
}

async function* spaced(answer: Promise<object>): AsyncGenerator<string> {
  let ready: object | undefined
  while (ready === undefined) {
    yield '\n'
    ready = await within(SIGN_OF_LIFE_MS, answer)
  }
  yield JSON.stringify(ready)
}

/** Undefined where it takes longer. */
async function within<T>(ms: number, answer: Promise<T>): Promise<T | undefined> {
  const enough = new AbortController()
  const late = sleep(ms, undefined, { signal: enough.signal }).catch(() => undefined)
  try {
    return await Promise.race([answer, late])
  } finally {
    enough.abort()
  }
}

function checkRange({ from, to }: AuditRange): AuditRange {
  const errors: { pointer: string; detail: string }[] = []
  for (const [name, time] of Object.entries({ from, to })) {
    if (time % MS_PER_HOUR !== 0) errors.push({ pointer: `/${name}`, detail: 'must be a whole hour of UTC' })
  }
  if (to <= from) errors.push({ pointer: '/to', detail: 'must be after from' })
  else if (to - from > HOURS_MAX * MS_PER_HOUR) {
    errors.push({ pointer: '/to', detail: `must be at most ${HOURS_MAX} hours after from` })
  }
  if (errors.length === 0) return { from, to }
  const detail = errors.map((error) => `${error.pointer.slice(1)} ${error.detail}`).join('; ')
  throw new HttpProblem('invalid_parameter', detail, { errors })
}

/** What an audit has found, as it is answered. */
export function auditAnswer({ from, to }: AuditRange, { tally, complete, stored, counted }: AuditResult) {
  const countedOf = byHour(counted.hours)
  const uncountedOf = byHour(counted.uncounted.hours)
  // An hour of which only the statistics know something.
  for (const { type, hour } of [...countedOf.values(), ...uncountedOf.values()]) tally.hour(type, hour)
  // Erased from the store, and not from the statistics yet.
  const erasing = stored.some(
    (cursor) => cursor.topic === FORGOTTEN_TOPIC && nextOf(counted.cursors, cursor) < cursor.next,
  )
  const hours = tally.hours().map((hour) => {
    const id = hourId(hour)
    return hourToWire(hour, { counted: countedOf.get(id), uncounted: uncountedOf.get(id), erasing })
  })
  return {
    from: formatInstant(from),
    to: formatInstant(to),
    equal: complete && hours.every(({ equal }) => equal === true),
    complete,
    stored_up_to: withoutMarks(stored),
    counted_up_to: counted.cursors,
    hours,
    uncounted: counted.uncounted.events.map(differenceToWire),
    differences: Object.fromEntries(DIFFERENCE_KINDS.map((kind) => [kind, tally.named[kind].map(differenceToWire)])),
  }
}

function byHour(hours: readonly CountedHour[]): Map<string, CountedHour> {
  return new Map(hours.map((hour) => [hourId(hour), hour]))
}

function hourId({ type, hour }: { type: string; hour: number }): string {
  return `${type} ${hour}`
}

type HourInStatistics = { counted: CountedHour | undefined; uncounted: CountedHour | undefined; erasing: boolean }

function hourToWire(hour: HourTally, { counted, uncounted, erasing }: HourInStatistics) {
  const {
    type,
    inLog,
    repeats,
    pending,
    deadLetters,
    forgotten,
    undecodable,
    stored,
    missing,
    doubled,
    changed,
    lost,
  } = hour
  const expected = hour.countable
  const events = counted?.events ?? 0
  const setAside = uncounted?.events ?? 0
  const fingerprint = ((counted?.fingerprint ?? 0) + (uncounted?.fingerprint ?? 0)) % FINGERPRINTS
  const sameCount = events + setAside === expected.events && fingerprint === expected.fingerprint
  const rightlyCounted = sameCount || (erasing && forgotten > 0 ? null : false)
  const differs = missing + doubled + changed + lost > 0 || rightlyCounted === false
  return {
    type,
    hour: formatInstant(hour.hour),
    accepted: inLog - repeats,
    in_log: inLog,
    repeats,
    stored,
    counted: events,
    not_counted_yet: stored - expected.events,
    uncounted: setAside,
    rightly_counted: rightlyCounted,
    pending,
    dead_letters: deadLetters,
    forgotten,
    undecodable,
    missing,
    doubled,
    changed,
    lost,
    equal: differs ? false : hour.removed || rightlyCounted === null ? null : true,
  }
}

function differenceToWire({ type, trace_id, partition, offset, date_created, detail }: Difference) {
  const received = date_created === null ? null : formatInstant(date_created)
  return { type, trace_id, partition, offset, date_created: received, detail }
}

const PARAMETERS = {
  from: { kind: 'instant', required: true, description: 'Events received in this hour (a whole one, UTC) or later' },
  to: {
    kind: 'instant',
    required: true,
    description: `Events received before this whole hour, at most ${HOURS_MAX} hours after \`from\``,
  },
} as const satisfies Parameters

const DESCRIPTION =
  'By type and UTC hour of `date_created`. `accepted` is how many different events the log has: an event is acknowledged ' +
  'when the log has it, so what was acknowledged is among them. Each is stored, or `pending` (behind what Storage has read), ' +
  'a dead letter, forgotten, or else `missing`. What is stored is counted, or not yet, or `uncounted`. The first 100 of each kind of ' +
  'difference are named. It reads all of the range, so it takes as long as that is large.'

const COUNT = { type: 'integer', minimum: 0 }
const CURSORS = {
  type: 'array',
  items: { type: 'object', properties: { topic: { type: 'string' }, partition: COUNT, next: COUNT } },
}
const HOUR = {
  type: { type: 'string', enum: EVENT_TYPES },
  hour: { type: 'string', format: 'date-time', description: 'When the hour begins' },
  accepted: { ...COUNT, description: 'Different events in the log: `in_log` without `repeats`' },
  in_log: { ...COUNT, description: 'Records in the log' },
  repeats: { ...COUNT, description: 'Records of an event that is stored from another record, as after a retry' },
  stored: { ...COUNT, description: 'Rows of the store' },
  counted: { ...COUNT, description: 'What Processing has counted' },
  not_counted_yet: { ...COUNT, description: 'Rows behind what Processing has counted' },
  uncounted: {
    ...COUNT,
    description: 'Rows that Processing has set aside: they cannot be counted, and are dead letters of that reason',
  },
  rightly_counted: {
    type: ['boolean', 'null'],
    description:
      'Whether just the rows that should be are counted or `uncounted`, by their number and a sum of their ids; null while the statistics ' +
      'have still to forget somebody',
  },
  pending: { ...COUNT, description: 'Records behind what Storage has read' },
  dead_letters: { ...COUNT, description: 'Events that Storage could not take' },
  forgotten: { ...COUNT, description: 'Events of users who were forgotten' },
  undecodable: { ...COUNT, description: 'Records that are no events, by when the log took them' },
  missing: { ...COUNT, description: 'Events of the log that are neither stored nor explained' },
  doubled: { ...COUNT, description: 'Rows that are no event of the log at their place' },
  changed: { ...COUNT, description: 'Rows with another content than their record' },
  lost: {
    ...COUNT,
    description:
      'Records between others that the log no longer has and that are not stored, as compaction removes them; by when the ' +
      'log took the next one. Markers of transactions, which Runify does not write, are among them',
  },
  equal: {
    type: ['boolean', 'null'],
    description:
      'Whether nothing differs; null where it cannot be told: retention has removed some of the log of this hour',
  },
}
const DIFFERENCE = {
  type: 'object',
  required: ['type', 'trace_id', 'partition', 'offset', 'date_created', 'detail'],
  properties: {
    type: { type: 'string', enum: EVENT_TYPES },
    trace_id: { type: ['string', 'null'] },
    partition: { type: 'integer' },
    offset: { type: 'integer' },
    date_created: { type: ['string', 'null'], format: 'date-time' },
    detail: { type: 'string', description: 'What is wrong, for people' },
  },
}
const RESPONSE = {
  type: 'object',
  required: ['from', 'to', 'equal', 'complete', 'stored_up_to', 'counted_up_to', 'hours', 'uncounted', 'differences'],
  properties: {
    from: { type: 'string', format: 'date-time' },
    to: { type: 'string', format: 'date-time' },
    equal: { type: 'boolean', description: 'Whether nothing differs in any hour, and all of it could be compared' },
    complete: { type: 'boolean', description: 'False when so much differed that the audit ended early' },
    stored_up_to: { ...CURSORS, description: 'What lies behind these positions is pending' },
    counted_up_to: { ...CURSORS, description: 'What lies behind these is not counted yet' },
    hours: { type: 'array', items: { type: 'object', required: Object.keys(HOUR), properties: HOUR } },
    uncounted: { type: 'array', items: DIFFERENCE, description: 'The first 100 of those that cannot be counted' },
    differences: {
      type: 'object',
      required: DIFFERENCE_KINDS,
      properties: Object.fromEntries(DIFFERENCE_KINDS.map((kind) => [kind, { type: 'array', items: DIFFERENCE }])),
    },
  },
}
