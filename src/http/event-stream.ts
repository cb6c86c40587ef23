import type { IncomingMessage } from 'node:http'
import type { HttpProblem } from './problem.ts'

/** Server-sent events (WHATWG HTML, 9.2). */

export const EVENT_STREAM = 'text/event-stream'
const RECONNECT_MS = 2000

/** As `EventSource` asks. Who takes any type is no such client, and wants the status. */
export function wantsEventStream({ headers: { accept = '' } }: IncomingMessage): boolean {
  return accept.toLowerCase().includes(EVENT_STREAM)
}

/**
 * What a browser's `EventSource` is told instead of 503, after which it would never connect again: an event that says why,
 * the end of the stream, and when to come back.
 */
export function unavailableEvent(problem: HttpProblem): string {
  return `retry: ${RECONNECT_MS}\nevent: unavailable\ndata: ${JSON.stringify(problem.body())}\n\n`
}
