import { hash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Config } from '../../config.ts'
import { isFailure, RecordsTooLarge } from '../../errors.ts'
import { CANARY, CATALOGUE, EVENT_TYPES, type EventType } from '../../events/catalogue.ts'
import { sentSchema } from '../../events/codec.ts'
import { BodyBudget, readBody, streamBody } from '../../http/body.ts'
import type { Answer } from '../../http/fast-path.ts'
import { HttpProblem } from '../../http/problem.ts'
import { HttpServer } from '../../http/server.ts'
import type { EventLog } from '../../log/event-log.ts'
import { Intake, type IntakeResult, type Sources, SYSTEM_SOURCES } from './intake.ts'
import type { ReceiverTelemetry } from './telemetry.ts'

/** How long bodies are still read after the server was told to stop. The append and the answer must have their time too. */
const STOP_MS = 2000

export type ReceiverDeps = {
  log: Pick<EventLog, 'append' | 'checkReady'>
  config: Config
  telemetry: ReceiverTelemetry
  sources?: Sources
}

/** The door: takes events by HTTP and appends them to the log. 2xx is sent only for what the log has durably. */
export async function createReceiver({
  log,
  config,
  telemetry,
  sources = SYSTEM_SOURCES,
}: ReceiverDeps): Promise<HttpServer> {
  const server = await HttpServer.create({
    service: 'receiver',
    description: 'Takes runs and songs, one or many at a time, and keeps each of them before it says so.',
    config,
    telemetry,
    manyClients: true,
    checkReady: () => log.checkReady(),
  })
  const intake = new Intake({ log, telemetry, sources })
  const budget = new BodyBudget(config.pendingBytesMax)
  // Most of what is on its way arrives in that time; of the rest, a client must hear what was taken.
  server.onStop(() => void setTimeout(() => budget.stop(), STOP_MS).unref())

  for (const type of EVENT_TYPES) {
    server.post(CATALOGUE[type].path, {
      summary: `Send ${CATALOGUE[type].title.toLowerCase()}, or many`,
      description: DESCRIPTION,
      bodies: {
        'application/json': { oneOf: [sentSchema(type), { type: 'array', items: sentSchema(type) }] },
        'application/x-ndjson': { type: 'string', description: 'One event a line, any number of lines' },
      },
      headers: HEADERS,
      responses: RESPONSES,
      problems: PROBLEMS,
      handler: (request) => take(type, request),
    })
  }
  const { canaryKey } = config
  if (canaryKey !== undefined) {
    server.post(CANARY.path, {
      ...CANARY_ROUTE,
      handler: async (request) => {
        if (!showsKey(request, canaryKey)) throw new HttpProblem('key_scope', 'only the health check sends canaries')
        request.resume()
        return { status: 201, body: `{"trace_id":"${await intake.takeCanary().catch(refused)}"}` }
      },
    })
  }
  return server

  async function take(type: EventType, request: IncomingMessage): Promise<Answer> {
    try {
      const key = idempotencyKey(request)
      if (mediaTypeOf(request) === 'application/x-ndjson') {
        forOneEvent(key)
        const chunks = streamBody(request, budget.stopping)
        return answerResult(await intake.takeStream(type, chunks, config.lineBytesMax))
      }
      const body = await readBody(request, { bytesMax: config.bodyBytesMax, budget })
      if (isArray(body)) {
        forOneEvent(key)
        const result = await intake.takeArray(type, body)
        telemetry.eventsAccepted(type, result.accepted)
        telemetry.eventsRejected(type, result.rejected)
        return answerResult(result)
      }
      const traceId = await intake.takeOne(type, body, key)
      telemetry.eventsAccepted(type, 1)
      return { status: 201, body: `{"trace_id":"${traceId}"}` }
    } catch (error) {
      if (error instanceof HttpProblem && error.code === 'invalid_event') telemetry.eventsRejected(type, 1)
      if (!(error instanceof RecordsTooLarge)) return refused(error)
      telemetry.eventsRejected(type, 1)
      throw new HttpProblem('event_too_large', error.message, { more: { limit_bytes: error.bytesMax } })
    }
  }

  function refused(error: unknown): never {
    if (isFailure(error)) telemetry.appendRefused(error.code, error)
    throw error
  }
}

function answerResult({ accepted, rejected, errors }: IntakeResult): Answer {
  if (rejected === 0) return { status: 201, body: JSON.stringify({ accepted, rejected }) }
  if (accepted > 0) return { status: 207, body: JSON.stringify({ accepted, rejected, errors }) }
  throw new HttpProblem('invalid_events', `none of the ${rejected} events is valid`, {
    errors,
    more: { accepted, rejected },
  })
}

/** In a time that says nothing about the key. */
function showsKey(request: IncomingMessage, key: string): boolean {
  const sent = request.headers.authorization ?? ''
  return timingSafeEqual(hash('sha256', sent, 'buffer'), hash('sha256', `Bearer ${key}`, 'buffer'))
}

const CANARY_ROUTE = {
  summary: CANARY.title,
  description: '',
  bodies: {},
  responses: {},
  problems: [],
  internal: true,
} as const

const MEDIA_TYPE = /^\s*(application\/(?:json|x-ndjson))\s*(?:;\s*charset\s*=\s*"?utf-?8"?\s*)?;?\s*$/i
const VISIBLE_ASCII = /^[\x21-\x7e]{1,128}$/

function mediaTypeOf(request: IncomingMessage): string {
  const sent = request.headers['content-type'] ?? ''
  if (sent === 'application/json') return sent
  const mediaType = MEDIA_TYPE.exec(sent)?.[1]?.toLowerCase()
  if (mediaType !== undefined) return mediaType
  throw new HttpProblem(
    'unsupported_media_type',
    'Content-Type must be application/json or application/x-ndjson, in UTF-8',
  )
}

/** Header values have no defined encoding beyond ASCII, so other characters belong into `event_id`. */
function idempotencyKey(request: IncomingMessage): string | undefined {
  if (request.headers['idempotency-key'] === undefined) return undefined
  const sent = request.headersDistinct['idempotency-key'] ?? []
  const [key] = sent
  if (sent.length === 1 && key !== undefined && VISIBLE_ASCII.test(key)) return key
  throw new HttpProblem(
    'invalid_header',
    'Idempotency-Key must be sent once and be 1 to 128 visible ASCII characters',
    {
      errors: [{ pointer: '/Idempotency-Key', detail: 'must be 1 to 128 visible ASCII characters, sent once' }],
    },
  )
}

function forOneEvent(key: string | undefined): void {
  if (key === undefined) return
  throw new HttpProblem('invalid_header', 'Idempotency-Key is for one event; give each event of many its own event_id')
}

function isArray(body: Buffer): boolean {
  for (const byte of body) {
    if (byte === 0x5b) return true
    if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) return false
  }
  return false
}

const DESCRIPTION =
  'Answers only when the log has the event durably. With `event_id`, or an `Idempotency-Key` header for one event, the ' +
  'same event may be sent any number of times and is stored once. An array or a stream of lines keeps the good events ' +
  'and names the bad ones.'

const HEADERS = {
  type: 'object',
  properties: {
    'idempotency-key': {
      type: 'string',
      minLength: 1,
      maxLength: 128,
      pattern: VISIBLE_ASCII.source,
      description: 'The event_id of one event',
    },
    'content-encoding': { type: 'string', enum: ['gzip', 'zstd'], description: 'How the body is compressed' },
  },
}

const COUNT = { type: 'integer', minimum: 0 }
const TALLY = { accepted: COUNT, rejected: COUNT }
const INDEXED_ERROR = {
  type: 'object',
  required: ['index', 'pointer', 'detail'],
  properties: {
    index: { type: 'integer', minimum: 0, description: 'Which event, from 0; blank lines do not count' },
    pointer: { type: 'string', description: 'JSON Pointer to the field' },
    detail: { type: 'string' },
  },
}

const RESPONSES = {
  201: {
    description: 'All of it is in the log',
    schema: {
      oneOf: [
        { type: 'object', required: ['trace_id'], properties: { trace_id: { type: 'string', format: 'uuid' } } },
        { type: 'object', required: ['accepted', 'rejected'], properties: TALLY },
      ],
    },
  },
  207: {
    description: 'The good events are in the log; the first 100 errors',
    schema: {
      type: 'object',
      required: ['accepted', 'rejected', 'errors'],
      properties: { ...TALLY, errors: { type: 'array', items: INDEXED_ERROR } },
    },
  },
}

const PROBLEMS = [
  'invalid_json',
  'invalid_event',
  'invalid_events',
  'invalid_encoding',
  'invalid_header',
  'body_timeout',
  'body_too_large',
  'event_too_large',
  'unsupported_media_type',
  'unsupported_encoding',
  'log_unavailable',
  'log_overloaded',
  'overloaded',
  'stopping',
] as const
