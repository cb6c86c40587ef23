import { Readable } from 'node:stream'
import { CATALOGUE, EVENT_TYPES } from '../../../events/catalogue.ts'
import { EVENT_STREAM } from '../../../http/event-stream.ts'
import { invalidParameter, type Parameters } from '../../../http/parameter.ts'
import { HttpProblem } from '../../../http/problem.ts'
import type { HttpServer } from '../../../http/server.ts'
import type { EventLog } from '../../../log/event-log.ts'
import type { AnalyzerTelemetry } from '../telemetry.ts'
import { LiveLog } from './live-log.ts'
import { parseTailPosition, type TailPosition } from './position.ts'
import { streamTail } from './stream.ts'

export type TailDeps = {
  log: EventLog
  telemetry: AnalyzerTelemetry
  limits?: { heartbeatMs?: number; tailsMax?: number; liveBytesMax?: number }
}

/** Proxies give up what is silent for a minute, as a rule. */
const HEARTBEAT_MS = 15_000
const TAILS_MAX = 64
const LIVE_BYTES_MAX = 4 * 1024 * 1024

/** `GET /tail`: the log as it grows, for any number of clients up to a limit, read once for all of them. */
export function addTail(server: HttpServer, { log, telemetry, limits = {} }: TailDeps): void {
  const { heartbeatMs = HEARTBEAT_MS, tailsMax = TAILS_MAX, liveBytesMax = LIVE_BYTES_MAX } = limits
  const failed = (error: unknown) => telemetry.workFailed('tail', error)
  const live = new LiveLog({ log, bytesMax: liveBytesMax, failed })
  server.onStop(() => live.close())
  let tails = 0
  server.get('/tail', {
    summary: 'Events as they come, as server-sent events',
    description: DESCRIPTION,
    parameters: TAIL,
    produces: [EVENT_STREAM],
    response: { type: 'string' },
    problems: ['overloaded', 'log_unavailable', 'stopping'],
    handler: async ({ values, request, reply }) => {
      const types = values.type === 'all' ? EVENT_TYPES : [values.type]
      const { after, isUnknown } = await readAfter(log, values.after, request.headers['last-event-id'])
      if (tails >= tailsMax) throw new HttpProblem('overloaded', `there are ${tailsMax} tails already`)
      const gone = new AbortController()
      const { user_id: userId, limit } = values
      const { signal } = gone
      const told = telemetry.tailed
      const text = streamTail({ log, live, types, userId, after, isUnknown, limit, heartbeatMs, signal, told })
      telemetry.tailing(++tails)
      const leave = () => {
        telemetry.tailing(--tails)
        gone.abort()
        void text.return(undefined)
      }
      try {
        // The first text comes when the log is being read: before that, nothing has been answered.
        const { value: first } = await text.next()
        const stream = Readable.from(withFirst(first as string, text), { objectMode: false, highWaterMark: 1 })
        // Not when the stream is closed: that waits until its text comes.
        reply.raw.once('close', leave)
        return reply.type(`${EVENT_STREAM}; charset=utf-8`).headers(NOT_KEPT).send(stream)
      } catch (error) {
        leave()
        throw error
      }
    },
  })
}

async function* withFirst(first: string, text: AsyncGenerator<string>): AsyncGenerator<string> {
  yield first
  yield* text
}

type After = { after: TailPosition | undefined; isUnknown: boolean }

/**
 * Where the client goes on. A browser repeats the address it began with, so the header counts. `isUnknown`: the header's id
 * is none of this log's; a browser that heard so by a status would never come back.
 */
async function readAfter(
  log: EventLog,
  parameter: string | undefined,
  header: string | string[] | undefined,
): Promise<After> {
  const sent = header ?? parameter
  // What a browser sends that has seen no id yet.
  if (sent === undefined || sent === '') return { after: undefined, isUnknown: false }
  const after = typeof sent === 'string' ? parseTailPosition(sent) : undefined
  const fault = after === undefined ? 'must be the id of an event of this stream' : await findFault(log, after)
  if (fault === undefined) return { after, isUnknown: false }
  if (header === undefined) throw invalidParameter('after', fault)
  return { after: undefined, isUnknown: true }
}

async function findFault(log: EventLog, position: TailPosition): Promise<string | undefined> {
  for (const type of EVENT_TYPES) {
    const nexts = position[type]
    if (nexts === undefined) continue
    const ranges = await log.partitions(CATALOGUE[type].topic)
    const isBeyond = nexts.some((next, partition) => next > (ranges[partition]?.next ?? -1))
    if (isBeyond) return 'lies beyond the end of the log: it is of another log'
  }
  return undefined
}

/** Nothing follows on the connection: it must not be waited for when the service stops. */
const NOT_KEPT = { connection: 'close', 'cache-control': 'no-store', 'x-accel-buffering': 'no' }

const TAIL = {
  type: { kind: 'choice', choices: [...EVENT_TYPES, 'all'], default: 'all', description: 'Events of this type only' },
  user_id: { kind: 'uuid', description: 'Events of this user only' },
  after: {
    kind: 'text',
    // With the rest of the request's head it must stay below Node's 16 KiB.
    charactersMax: 15_000,
    description: 'The id of an event: what comes behind it; `running_stats:0` is the beginning. Nothing: from now on',
  },
  limit: { kind: 'integer', min: 1, max: 1_000_000_000, description: 'Ends behind so many events' },
} as const satisfies Parameters

const DESCRIPTION =
  'Each event has its type as `event`, itself with its place in the log as JSON in `data`, and as `id` the position behind ' +
  'it. Who reconnects with `Last-Event-ID`, as browsers do by themselves, gets all that came in between, each once. An event ' +
  '`missed` tells what a client that was too slow has missed, or what retention has removed: `after` with an earlier id ' +
  'gives the former. Its `why` is `unknown_id` where `Last-Event-ID` is no id of this log: nobody knows what came in between, and ' +
  'the stream goes on with what comes next. Who accepts `text/event-stream` gets an event `unavailable` with the problem and the ' +
  'end of the stream where others get 503, as a browser does not come back after that. A comment comes when nothing has come ' +
  'for 15 s.'
