import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { HttpProblem, PROBLEM_TYPE } from '../problem.ts'
import { linger } from './lingering-close.ts'

/** Problems that are answered without a route: on the bare connection, or as cheaply as can be. */

export const BUSY_DETAIL = 'more requests are under way than this service takes at once'
const BUSY = busyAnswer()

/** Costs as little as can be: what is refused must not take the time of what is not. */
export function answerBusy(request: IncomingMessage, response: ServerResponse, closing: boolean): void {
  request.resume()
  response.sendDate = false
  response.writeHead(503, closing ? [...BUSY.headers, 'connection', 'close'] : BUSY.headers)
  response.end(BUSY.body, 'latin1')
}

/** For a connection that is one too many. */
export function refuseConnection(socket: Socket): void {
  socket.on('error', () => {})
  const head = BUSY.headers.map((part, at) => (at % 2 === 0 ? `${part}: ` : `${part}\r\n`))
  // What it sends is read: it would be reset otherwise, and not see the answer.
  socket.resume().end(`HTTP/1.1 503 ${STATUS_CODES[503]}\r\n${head.join('')}connection: close\r\n\r\n${BUSY.body}`)
  linger(socket)
}

/** What is not HTTP never reaches a route: answered on the bare connection, in the same form as every other error. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) {
    socket.destroy()
    return
  }
  // Answered already: what the client still sends is thrown away, or its connection would be reset before it reads.
  if (!socket.writable) return
  const problem =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new HttpProblem('header_too_large', 'the headers are larger than 16 KiB')
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? new HttpProblem('body_timeout', 'the request came too slowly')
        : new HttpProblem('invalid_request', 'the request is not valid HTTP/1.1')
  const body = JSON.stringify(problem.body())
  const head = `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\nconnection: close\r\ncontent-type: ${PROBLEM_TYPE}\r\nx-content-type-options: nosniff`
  socket.end(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
  linger(socket)
}

function busyAnswer() {
  const problem = new HttpProblem('overloaded', BUSY_DETAIL)
  const body = JSON.stringify(problem.body())
  const headers = { ...problem.headers, 'content-type': PROBLEM_TYPE, 'content-length': `${Buffer.byteLength(body)}` }
  return { body, headers: Object.entries(headers).flat() }
}
