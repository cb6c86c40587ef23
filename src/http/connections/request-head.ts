import type { IncomingMessage } from 'node:http'
import { HttpProblem } from '../problem.ts'

/** `uri-host [":" port]` (RFC 9110, 7.2), as far as its characters go. */
const HOST = /^[\w.~!$&'()*+,;=%:[\]-]*$/
const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/i

/**
 * A target may be a whole address, as for a proxy (RFC 9112, 3.2.2): then its host counts, and not the header's. From here
 * on it is a path like any other, so that no path has a second spelling that is routed but not recognised.
 */
export function toOriginForm(request: IncomingMessage): void {
  const [, host, path] = ABSOLUTE.exec(request.url as string) ?? []
  if (host === undefined || path === undefined) return
  request.headers.host = host
  request.url = path.startsWith('/') ? path : `/${path}`
}

/** Refuses what the parser lets through and another server might read in another way. */
export function checkHead(request: IncomingMessage): void {
  const { method, httpVersion, headers, url = '' } = request
  if (httpVersion !== '1.1' && httpVersion !== '1.0') throw refused('the version is not HTTP/1.1 or HTTP/1.0')
  checkHost(request)
  const coding = headers['transfer-encoding']
  if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || httpVersion !== '1.1')) {
    throw refused('a body has a Content-Length, or is chunked and nothing else')
  }
  const isPath = url.startsWith('/') && !url.includes('#')
  if (!isPath && !(method === 'OPTIONS' && url === '*')) throw refused('the target is not a path with a query')
}

/** RFC 9112, 3.2. Node keeps the first of two. */
function checkHost({ httpVersion, headers, rawHeaders }: IncomingMessage): void {
  let hosts = 0
  for (let n = 0; n < rawHeaders.length; n += 2) {
    const name = rawHeaders[n] as string
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  if (hosts > 1) throw refused('there is more than one Host header')
  if (hosts === 0 && httpVersion === '1.1') throw refused('a request of HTTP/1.1 needs a Host header')
  if (headers.host !== undefined && !HOST.test(headers.host)) throw refused('the Host header is not a host')
}

/** What comes behind it on the connection cannot be trusted to be a request. */
function refused(detail: string): HttpProblem {
  return new HttpProblem('invalid_request', detail, { headers: { connection: 'close' } })
}
