import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Sent = { user_id: string }

export function readJson(request: IncomingMessage, done: (event: Sent) => void): void {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => done(JSON.parse(Buffer.concat(chunks).toString()) as Sent))
}

export function answerCreated(response: ServerResponse, id: string): void {
  const body = `{"trace_id":"${id}"}`
  response
    .writeHead(201, { 'content-type': 'application/json; charset=utf-8', 'content-length': body.length })
    .end(body)
}

/** On a free port, which the first line on stdout tells. */
export function listen(server: Server): void {
  server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
}
