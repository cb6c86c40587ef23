import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { CATALOGUE, EVENT_TYPES } from '../../events/catalogue.ts'
import { checkEventText } from '../../events/check.ts'

export type FakeRequest = { path: string; authorization: string | undefined; lines: string[] }

/** What a request meets instead of the answer that it would get: `undefined` is that answer. */
export type Mishap = (response: ServerResponse, request: FakeRequest, store: (count?: number) => void) => void

/**
 * A Receiver as the contract describes it, as far as NDJSON goes. It keeps what it stores in memory, once for each
 * type, user and event id, and the first requests can meet with mishaps.
 */
export async function startFakeReceiver(mishaps: (Mishap | undefined)[] = [], port = 0) {
  const requests: FakeRequest[] = []
  const stored = new Map<string, Record<string, unknown>>()
  const server = createServer((request, response) => void answer(request, response))

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? ''
    const lines = (await text(request)).split('\n').filter((line) => line.trim() !== '')
    const taken = { path, authorization: request.headers.authorization, lines }
    const mishap = mishaps[requests.length]
    requests.push(taken)
    if (mishap !== undefined) return mishap(response, taken, (count) => void store(taken, count))
    const { accepted, errors } = store(taken)
    const rejected = lines.length - accepted
    const status = rejected === 0 ? 201 : accepted === 0 ? 400 : 207
    send(response, { status, body: { accepted, rejected, errors: errors.slice(0, 100) } })
  }

  /** The first `count` lines; all where nothing is said. */
  function store({ path, lines: all }: FakeRequest, count = all.length) {
    const lines = all.slice(0, count)
    const type = EVENT_TYPES.find((known) => CATALOGUE[known].path === path) ?? 'running_stats'
    const errors: object[] = []
    let accepted = 0
    for (const [index, line] of lines.entries()) {
      const checked = checkEventText(type, Buffer.from(line))
      if (checked.ok) {
        const { user_id, event_id } = checked.fields
        stored.set(event_id === undefined ? `${stored.size}` : `${type} ${user_id} ${event_id}`, checked.fields)
        accepted++
      } else errors.push(...checked.errors.map((error) => ({ index, ...error })))
    }
    return { accepted, errors }
  }

  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    stored,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

export function send(
  response: ServerResponse,
  answer: { status: number; body: object; headers?: Record<string, string> },
) {
  const type = answer.status < 300 ? 'application/json' : 'application/problem+json'
  response.writeHead(answer.status, { 'content-type': type, ...answer.headers })
  response.end(JSON.stringify(answer.body))
}

/** The log is unavailable. */
export const UNAVAILABLE: Mishap = (response) =>
  send(response, { status: 503, body: { detail: 'the log is unavailable' }, headers: { 'retry-after': '0' } })

/** The connection breaks after the lines were stored, so their client does not know. */
export const STORED_WITHOUT_ANSWER: Mishap = (response, _, store) => {
  store()
  response.destroy()
}

/** It was told to stop when it had stored so many lines, and refused as many more as there are errors. */
export function stoppingAfter(accepted: number, errors: readonly object[] = []): Mishap {
  return (response, _, store) => {
    store(accepted)
    const body = { code: 'stopping', detail: 'the service is stopping', accepted, rejected: errors.length, errors }
    send(response, { status: 503, body, headers: { 'retry-after': '0', connection: 'close' } })
  }
}
