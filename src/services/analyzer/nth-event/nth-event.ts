import { CATALOGUE, EVENT_TYPES, type EventType } from '../../../events/catalogue.ts'
import { storedSchema } from '../../../events/codec.ts'
import { formatInstant } from '../../../events/instant.ts'
import { invalidParameter, type Parameters, type ParameterValues } from '../../../http/parameter.ts'
import { HttpProblem } from '../../../http/problem.ts'
import type { HttpServer } from '../../../http/server.ts'
import { PLACE, toPlacedEvent } from '../placed-event.ts'
import type { NthRecords } from './nth-record.ts'

export type RecordsByType = Record<EventType, NthRecords>

/** `GET /running` and `GET /music`: the n-th event of a type, or the first from a time on. */
export function addNthEvents(server: HttpServer, records: RecordsByType): void {
  for (const type of EVENT_TYPES) {
    records[type].prepare()
    server.get(CATALOGUE[type].indexPath, {
      summary: 'The n-th event of its type in the log, from 0, or the first that the log took from a time on',
      description: DESCRIPTION,
      parameters: WHICH,
      response: storedSchema(type, { ...PLACE, index: { type: 'integer', minimum: 0 } }),
      problems: ['not_found', 'removed', 'undecodable', 'log_unavailable'],
      handler: async ({ values }) => {
        const index = await indexOf(records[type], values)
        const found = await records[type].find(index)
        if (found.kind === 'beyond')
          throw new HttpProblem('not_found', `the log has no event ${index} of this type yet`)
        if (found.kind === 'removed') throw await toRemoved(records[type], values)
        return { ...toPlacedEvent(type, found), index }
      },
    })
  }
}

async function indexOf(records: NthRecords, { index, at }: ParameterValues<typeof WHICH>): Promise<number> {
  if (index !== undefined && at === undefined) return index
  if (index !== undefined || at === undefined) {
    const detail = 'or at: exactly one of them must be given'
    throw invalidParameter('index', detail)
  }
  const found = await records.indexFrom(at)
  if (found !== undefined) return found
  throw new HttpProblem('not_found', `the log has taken no event of this type at ${formatInstant(at)} or later`)
}

async function toRemoved(records: NthRecords, { index, at }: ParameterValues<typeof WHICH>): Promise<HttpProblem> {
  const from = formatInstant(await records.certainFrom())
  const what = at === undefined ? `event ${index}` : `what came at ${formatInstant(at)} or soon after it`
  return new HttpProblem('removed', `retention has removed ${what}; what came at ${from} or later can be asked for`)
}

const WHICH = {
  index: { kind: 'integer', min: 0, max: Number.MAX_SAFE_INTEGER, description: 'Which event, from 0' },
  at: { kind: 'instant', description: 'The first event that the log took at this time or later' },
} as const satisfies Parameters

const DESCRIPTION =
  'Either `index` or `at`. In the order of append time, then partition, then offset. An index names the same event for ' +
  'ever. Repeats that the store drops are events of the log too.'
