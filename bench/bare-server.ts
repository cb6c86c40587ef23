import { createServer } from 'node:http'

/** The limit of single POSTs: a plain `node:http` server that parses the body and answers, and does nothing else. */
const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const event = JSON.parse(Buffer.concat(chunks).toString()) as { user_id: string }
    const body = `{"trace_id":"${event.user_id}"}`
    response
      .writeHead(201, { 'content-type': 'application/json; charset=utf-8', 'content-length': body.length })
      .end(body)
  })
})
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ address: `http://127.0.0.1:${(server.address() as { port: number }).port}` }))
})
