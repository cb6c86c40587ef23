import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Json } from '../../test-support/harness.ts'

/** Passes every request on to a service, and gives back what `change` makes of the answer if it is a JSON object. */
export async function startProxy(to: string, change: (path: string, answer: Json) => Json) {
  const agent = new Agent({ keepAlive: true })
  const passOn = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const { method, headers, url = '/' } = incoming
    const upstream = request(`${to}${url}`, { method, headers, agent })
    incoming.pipe(upstream)
    const [response] = (await once(upstream, 'response')) as [IncomingMessage]
    const text = Buffer.concat(await response.toArray()).toString()
    const isObject =
      /^application\/(problem\+)?json\b/.test(response.headers['content-type'] ?? '') && text.startsWith('{')
    const isAnswer = isObject && !url.startsWith('/health/')
    const changed = isAnswer ? JSON.stringify(change(url, JSON.parse(text) as Json)) : text
    // A stream has no length, and the two do not go together.
    const { 'transfer-encoding': _, ...kept } = response.headers
    const length = Buffer.byteLength(changed)
    outgoing.writeHead(response.statusCode ?? 500, { ...kept, 'content-length': length }).end(changed)
  }
  const server = createServer((incoming, outgoing) => {
    passOn(incoming, outgoing).catch(() => outgoing.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
      agent.destroy()
    },
  }
}
