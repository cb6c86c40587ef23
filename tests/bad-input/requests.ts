import { gzipSync, zstdCompressSync } from 'node:zlib'
import { CATALOGUE } from '../../src/events/catalogue.ts'
import type { BadCase, RawCase } from './bad-case.ts'

/** Requests that are wrong around the body: its form, the headers, and what is hardly HTTP. */

const RUN = CATALOGUE.running_stats.example
const BODY = JSON.stringify(RUN)
const JSON_TYPE = { 'content-type': 'application/json' }
const NDJSON = { 'content-type': 'application/x-ndjson' }
/** Bytes of a body that unpacks to far more than it is, but not to so much that it would hurt where nothing stops it. */
const BOMB_BYTES = 64 * 1024 * 1024

const badHeader = { status: 400, code: 'invalid_header' } as const
const noType = { status: 415, code: 'unsupported_media_type' } as const

function badMediaTypes(): BadCase[] {
  const types = [
    'text/plain',
    'application/xml',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/octet-stream',
    'application/ld+json',
    'application/jsonx',
    'json',
    '/',
    '*/*',
    ';',
    'application/json, application/x-ndjson',
    'application/json; charset=latin1',
    'application/json; charset=utf-16',
    'application/x-ndjson; charset=iso-8859-1',
  ]
  return [
    { name: 'none', body: BODY, headers: {}, ...noType },
    { name: 'none, and no body', headers: {}, ...noType },
    ...types.map((type) => ({ name: type, body: BODY, headers: { 'content-type': type }, ...noType })),
  ]
}

function badEncodings(): BadCase[] {
  const gzip = gzipSync(BODY)
  const zstd = zstdCompressSync(BODY)
  const wrongSum = Buffer.from(gzip)
  wrongSum.writeUInt32LE(0, wrongSum.length - 8)
  const as = (encoding: string, type = JSON_TYPE) => ({ ...type, 'content-encoding': encoding })
  const broken = { status: 400, code: 'invalid_encoding' } as const
  const unknown = ['br', 'deflate', 'compress', 'gzip, gzip', 'identity, gzip', 'utf-8', '']
  const bodies: [string, Buffer][] = [
    ['no gzip', Buffer.from(BODY)],
    ['gzip, cut off', gzip.subarray(0, -9)],
    ['gzip, cut off in its header', gzip.subarray(0, 5)],
    ['gzip with a wrong checksum', wrongSum],
    ['gzip with text behind it', Buffer.concat([gzip, Buffer.from(`\n${BODY}`)])],
    ['gzip of nothing at all', Buffer.alloc(0)],
  ]
  const zstdBodies: [string, Buffer][] = [
    ['no zstd', Buffer.from(BODY)],
    ['zstd, cut off', zstd.subarray(0, -3)],
    ['zstd with text behind it', Buffer.concat([zstd, Buffer.from(`\n${BODY}`)])],
    ['zstd of nothing at all', Buffer.alloc(0)],
  ]
  const bomb = gzipSync(Buffer.alloc(BOMB_BYTES))
  const tooLarge = { status: 413, code: 'body_too_large', detail: /4194304/ } as const
  return [
    ...unknown.map((encoding) => ({
      name: `Content-Encoding: ${encoding}`,
      body: gzip,
      headers: as(encoding),
      status: 415,
      code: 'unsupported_encoding' as const,
      answers: { 'accept-encoding': 'gzip, zstd' },
    })),
    ...[JSON_TYPE, NDJSON].flatMap((type) => [
      ...bodies.map(([name, body]) => ({
        name: `${name}: ${typeName(type)}`,
        body,
        headers: as('gzip', type),
        ...broken,
      })),
      ...zstdBodies.map(([name, body]) => ({
        name: `${name}: ${typeName(type)}`,
        body,
        headers: as('zstd', type),
        ...broken,
      })),
    ]),
    { name: 'zstd said to be gzip', body: zstd, headers: as('gzip'), ...broken },
    { name: 'a gzip bomb', body: bomb, headers: as('gzip'), ...tooLarge },
    { name: 'a zstd bomb', body: zstdCompressSync(Buffer.alloc(BOMB_BYTES)), headers: as('zstd'), ...tooLarge },
    {
      name: 'a gzip bomb of one line',
      body: bomb,
      headers: as('gzip', NDJSON),
      status: 400,
      code: 'invalid_events',
      at: ['0'],
    },
  ]
}

function badKeys(): BadCase[] {
  const key = (name: string, value: string | string[], more: Partial<BadCase> = {}): BadCase => ({
    name,
    body: BODY,
    ...more,
    headers: { ...JSON_TYPE, ...more.headers, 'idempotency-key': value },
    ...badHeader,
  })
  const at = ['/Idempotency-Key']
  return [
    key('empty', '', { at }),
    key('too long', 'k'.repeat(129), { at }),
    key('not ASCII', 'schlüssel', { at }),
    key('with a space', 'a b', { at }),
    key('with a tab', 'a\tb', { at }),
    key('sent twice', ['a', 'b'], { at }),
    key('sent twice with one value', ['a', 'a'], { at }),
    key('with an array', 'a', { body: `[${BODY}]` }),
    key('with lines', 'a', { body: `${BODY}\n`, headers: NDJSON }),
    key('that is not the event_id', 'a', { body: JSON.stringify({ ...RUN, event_id: 'b' }) }),
  ]
}

function badAccepts(): BadCase[] {
  const refused = (service: BadCase['service'], path: string, accept: string): BadCase => ({
    name: `${accept} of ${service} ${path}`,
    service,
    path,
    headers: { accept },
    status: 406,
    code: 'not_acceptable',
  })
  return [
    refused('storage', '/stats/running', 'image/png'),
    refused('storage', '/stats/running', 'application/json;q=0'),
    refused('storage', '/stats', 'text/csv'),
    refused('processing', '/stats', 'text/html'),
    refused('analyzer', '/stats', 'application/x-ndjson'),
    refused('receiver', '/health/ready', 'application/xml'),
  ].map((found) => (found.service === 'receiver' ? { ...found, method: 'GET' } : found))
}

export const BAD_REQUESTS: Record<string, BadCase[]> = {
  'a media type': badMediaTypes(),
  'a content encoding': badEncodings(),
  'an Idempotency-Key': badKeys(),
  'an Accept header': badAccepts(),
}

export const RAW_REQUESTS: RawCase[] = rawRequests()

function rawRequests(): RawCase[] {
  const badRequest = { status: 400, code: 'invalid_request' } as const
  const headerTooLarge = { status: 431, code: 'header_too_large' } as const
  const get = (lines: string, line = 'GET /health/live HTTP/1.1') => `${line}\r\n${lines}\r\n\r\n`
  const post = (lines: string, body: string) => `${get(`host: a\r\n${lines}`, 'POST /stats/running HTTP/1.1')}${body}`
  const jsonType = 'content-type: application/json'
  const bad: Record<string, string | Buffer> = {
    'what is not HTTP': 'hello\r\n\r\n',
    'TLS, where none is spoken': Buffer.from([0x16, 0x03, 0x01, 0x00, 0x05, 1, 2, 3, 4, 5]),
    'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'a version that there is not': get('host: a', 'GET / HTTP/9.9'),
    'no Host': get('connection: close'),
    'no Host with a POST': `POST /stats/running HTTP/1.1\r\n${jsonType}\r\nconnection: close\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`,
    'newlines alone': get('host: a').replaceAll('\r\n', '\n'),
    'a space in a path': get('host: a', 'GET /health/l ive HTTP/1.1'),
    'a space in a name': get('host: a\r\nmy header: b'),
    'a zero byte in a value': get('host: a\r\nx: \0'),
    'a method in small letters': get('host: a', 'get /health/live HTTP/1.1'),
    'a length that is no number': post(`${jsonType}\r\ncontent-length: five`, BODY),
    'a negative length': post(`${jsonType}\r\ncontent-length: -5`, BODY),
    'two lengths': post(`${jsonType}\r\ncontent-length: 5\r\ncontent-length: 6`, BODY),
    'a length and chunks': post(
      `${jsonType}\r\ncontent-length: 5\r\ntransfer-encoding: chunked`,
      `5\r\n${BODY.slice(0, 5)}\r\n0\r\n\r\n`,
    ),
    'a bad chunk': post(`${jsonType}\r\ntransfer-encoding: chunked`, '1\r\n{\r\nzz\r\n\r\n'),
  }
  return [
    ...Object.entries(bad).map(([name, bytes]) => ({ name, bytes, ...badRequest })),
    { name: 'a header of 20 kB', bytes: get(`host: a\r\nx: ${'x'.repeat(20_000)}`), ...headerTooLarge },
    { name: 'a header of 1 MB', bytes: get(`host: a\r\nx: ${'x'.repeat(1_000_000)}`), ...headerTooLarge },
    {
      name: 'three thousand headers',
      bytes: get(`host: a\r\n${'x: y\r\n'.repeat(3000)}`.trimEnd()),
      ...headerTooLarge,
    },
    { name: 'an address of 20 kB', bytes: get('host: a', `GET /${'x'.repeat(20_000)} HTTP/1.1`), ...headerTooLarge },
    {
      name: 'a length far over the limit, before any of it is sent',
      bytes: post(`${jsonType}\r\ncontent-length: 10000000000`, ''),
      status: 413,
      code: 'body_too_large',
    },
    {
      name: 'an expectation that nobody knows',
      bytes: post('expect: a-miracle\r\nconnection: close\r\ncontent-length: 0', ''),
      status: 415,
      code: 'unsupported_media_type',
    },
  ]
}

function typeName(type: Record<string, string>): string {
  return type === NDJSON ? 'lines' : 'one event'
}
