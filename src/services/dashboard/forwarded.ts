import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { HttpProblem } from '../../http/problem.ts'

/** They are about one connection, not about the message (RFC 9110, 7.6.1). */
const OF_THE_CONNECTION = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]
/** Those of a request that are made anew, or that were answered here. */
const ANEW = ['content-length', 'expect', 'host']

/**
 * What a service is asked for: the address behind its prefix, as it was spelled. The prefix is the first segment, which may
 * be spelled in many ways too.
 */
export function pathBehindPrefix(url: string): string {
  return checkPath(url.slice(url.indexOf('/', 1)))
}

/**
 * Refuses dot segments, however they are encoded: below a service's base path they would lead out of it where something
 * on the way resolves them.
 */
export function checkPath(path: string): string {
  const segments = decodeURIComponent(path.split('?', 1)[0] as string).split(/[/\\]/)
  if (segments.includes('.') || segments.includes('..')) {
    throw new HttpProblem('invalid_request', 'a path that is passed on has no segments . and ..')
  }
  return path
}

/**
 * The headers for a service, name after value after name, each as often as it was sent. How long the body is says the
 * `Content-Length` that it was read by here; where there is none, it goes in chunks. No `Connection` takes that away.
 */
export function requestHeaders({ headers, rawHeaders }: IncomingMessage, host: string): string[] {
  const dropped = new Set([...OF_THE_CONNECTION, ...ANEW, ...namedBy(headers)])
  const kept = ['host', host]
  for (let n = 0; n < rawHeaders.length; n += 2) {
    const [name, value] = rawHeaders.slice(n, n + 2) as [string, string]
    if (!dropped.has(name.toLowerCase())) kept.push(name, value)
  }
  if (headers['content-length'] !== undefined) kept.push('content-length', headers['content-length'])
  return kept
}

/** A link to the next page starts with the service's own path, and has to lead through here again. */
export function answerHeaders(headers: IncomingHttpHeaders, prefix: string): OutgoingHttpHeaders {
  const dropped = new Set([...OF_THE_CONNECTION, ...namedBy(headers)])
  const kept: OutgoingHttpHeaders = Object.fromEntries(Object.entries(headers).filter(([name]) => !dropped.has(name)))
  const { link, location } = kept
  if (typeof link === 'string') kept.link = link.replaceAll(/<\/(?!\/)/g, `<${prefix}/`)
  if (typeof location === 'string') kept.location = location.replace(/^\/(?!\/)/, `${prefix}/`)
  return kept
}

function namedBy({ connection }: { connection?: string | undefined }): string[] {
  return String(connection ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
}
