import { CATALOGUE } from '../../src/events/catalogue.ts'
import type { BadCase } from './bad-case.ts'

/** Requests that ask for what there is not: methods, paths, parameters. */

const RUN = CATALOGUE.running_stats.example
const BODY = JSON.stringify(RUN)
const badParameter = { status: 400, code: 'invalid_parameter' } as const
const noPath = { status: 404, code: 'unknown_path' } as const

function badMethods(): BadCase[] {
  const wrong = (service: BadCase['service'], method: string, path: string, allow: string): BadCase => ({
    name: `${method} ${path} of ${service}`,
    service,
    method,
    path,
    status: 405,
    code: 'method_not_allowed',
    answers: { allow },
  })
  return [
    ...['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'].map((method) =>
      wrong('receiver', method, '/stats/running', 'POST'),
    ),
    { ...wrong('receiver', 'PUT', '/stats/music', 'POST'), body: BODY, headers: { 'content-type': 'text' } },
    { ...wrong('receiver', 'QUERY', '/stats/music', 'POST'), body: BODY },
    wrong('receiver', 'POST', '/health/ready', 'GET, HEAD'),
    wrong('receiver', 'DELETE', '/metrics', 'GET, HEAD'),
    wrong('storage', 'POST', '/stats/running', 'GET, HEAD'),
    wrong('storage', 'DELETE', `/events/${RUN.user_id}`, 'GET, HEAD'),
    wrong('storage', 'PUT', '/changes?after=x', 'GET, HEAD'),
    wrong('processing', 'POST', '/stats', 'GET, HEAD'),
    wrong('analyzer', 'DELETE', '/running?index=0', 'GET, HEAD'),
    wrong('analyzer', 'POST', '/openapi.json', 'GET, HEAD'),
    wrong('analyzer', 'POST', '/dead-letters', 'GET, HEAD'),
    wrong('analyzer', 'GET', '/dead-letters/redrive', 'POST'),
  ]
}

function badPaths(): BadCase[] {
  const badUrl = { status: 400, code: 'invalid_request', detail: /percent-encoding/ } as const
  const paths: [BadCase['service'], string[]][] = [
    [
      'receiver',
      ['/', '/stats', '/stats/running/', '//stats/running', '/STATS/RUNNING', '/stats/swimming', '/../../etc/passwd'],
    ],
    [
      'storage',
      ['/', '/stats/', '/events', `/events/${RUN.user_id}/more`, '/%2e%2e/package.json', '/docs/static/nothing.js'],
    ],
    ['processing', ['/', '/stats/weekly', '/favicon.ico']],
    ['analyzer', ['/', '/stats/running', '/running/0', '/constructor', '/__proto__']],
  ]
  return [
    ...paths.flatMap(([service, list]) =>
      list.map((path) => ({ name: `${service} ${path}`, service, path, ...noPath })),
    ),
    ...['/events/%zz', '/events/%', '/%ff', '/stats/%c0%af'].map((path) => ({
      name: `storage ${path}`,
      service: 'storage' as const,
      path,
      ...badUrl,
    })),
    {
      name: 'a part of 400 characters',
      service: 'storage',
      path: `/events/${'a'.repeat(400)}`,
      status: 414,
      code: 'uri_too_long',
    },
    {
      name: 'an id that nobody has',
      service: 'storage',
      path: `/events/${RUN.user_id}`,
      status: 404,
      code: 'not_found',
    },
    { name: 'an index beyond the end', service: 'analyzer', path: '/running?index=0', status: 404, code: 'not_found' },
    {
      name: 'an index far beyond it',
      service: 'analyzer',
      path: '/music?index=9007199254740991',
      status: 404,
      code: 'not_found',
    },
  ]
}

function badParameters(): BadCase[] {
  const bad = (service: BadCase['service'], path: string, at: string[]): BadCase => ({
    name: `${service} ${path}`.slice(0, 100),
    service,
    path,
    ...badParameter,
    at,
  })
  const storage = (query: string, ...at: string[]) => bad('storage', `/stats/running?${query}`, at)
  const cursor = (place: string) => Buffer.from(place).toString('base64url')
  const good = cursor(`timestamp asc 0 ${RUN.user_id}`)
  const counts = [
    '0',
    '10001',
    '-1',
    '1.5',
    'abc',
    '1e3',
    '',
    '%2010',
    '+5',
    '0x10',
    '007',
    '99999999999999999999',
    '%D9%A3',
  ]
  const indexes = ['-1', '1.5', 'abc', '1e3', '', '%200', '00', '9007199254740992', 'NaN', 'null', '0;0']
  const days = ['2024-02-30', '2023-02-29', '2024-13-01', '2024-1-1', '20240101', '2024-01-01T00:00:00Z', 'today', '']
  const zones = [
    '',
    'Mars/Olympus',
    'Berlin',
    '%2B02:00',
    '-05:00',
    '2',
    'Europe%2FBerlin%00',
    'Europe/../Berlin',
    `A${'a'.repeat(5000)}`,
    '__proto__',
    'UTC%20',
    'CEST',
  ]
  const positions = [
    'abc',
    'runify.running_stats:0',
    'runify.running_stats:0:-1',
    'a:0:1,',
    'a:0:1,a:0:2',
    ':0:1',
    'a:x:1',
    'a:0:1.5',
  ]
  return [
    ...counts.map((limit) => storage(`limit=${limit}`, '/limit')),
    ...[
      'abc',
      good.slice(0, -8),
      cursor('nonsense'),
      cursor(`timestamp asc x ${RUN.user_id}`),
      `${'a'.repeat(201)}`,
    ].map((text) => storage(`cursor=${text}`, '/cursor')),
    storage(`cursor=${good}&order=desc`, '/cursor'),
    storage(`cursor=${good}&by=date_created`, '/cursor'),
    storage('order=up', '/order'),
    storage('order=ASC', '/order'),
    storage('by=distance', '/by'),
    storage('user_id=me', '/user_id'),
    storage('user_id=%zz', '/user_id'),
    storage('user_id=', '/user_id'),
    storage('start_timestamp=2024-02-30T00:00:00Z', '/start_timestamp'),
    storage('start_timestamp=2024-05-01', '/start_timestamp'),
    storage('end_timestamp=2024-05-01T06:30:00', '/end_timestamp'),
    storage('end_timestamp=2024-05-01T06:30:00+02:00', '/end_timestamp'),
    storage('end_timestamp=1714545000', '/end_timestamp'),
    storage('limit=1&limit=2', '/limit'),
    storage('limit=1&limit=1', '/limit'),
    storage('user_id[]=1', '/user_id[]'),
    storage('start=2024-05-01T06:30:00Z', '/start'),
    storage('Limit=5', '/Limit'),
    storage('__proto__=1&constructor=2', '/__proto__', '/constructor'),
    storage('limit=x&order=y&z=1', '/z', '/order', '/limit'),
    bad('storage', '/stats?user_id=me', ['/user_id']),
    bad('storage', `/events/not-an-id`, ['/trace_id']),
    bad('storage', `/events/${RUN.user_id}?trace_id=${RUN.user_id}`, ['/trace_id']),
    bad('storage', '/events/%00', ['/trace_id']),
    bad('storage', '/events/', ['/trace_id']),
    ...positions.map((after) => bad('storage', `/changes?after=${after}`, ['/after'])),
    bad('storage', `/changes?after=${'a'.repeat(12_000)}`, ['/after']),
    bad('storage', '/changes?limit=0', ['/limit']),
    bad('storage', '/changes?before=x', ['/before']),
    ...['from', 'to'].flatMap((name) => days.map((day) => bad('processing', `/stats?${name}=${day}`, [`/${name}`]))),
    ...zones.flatMap((zone) =>
      ['', '/daily', '/records'].map((path) => bad('processing', `/stats${path}?time_zone=${zone}`, ['/time_zone'])),
    ),
    ...['', '/daily'].map((path) => bad('processing', `/stats${path}?from=2024-05-02&to=2024-05-01`, ['/to'])),
    bad('processing', '/stats/daily?limit=10001', ['/limit']),
    bad('processing', '/stats/records?from=2024-05-01', ['/from']),
    bad('processing', '/stats?user_id=5', ['/user_id']),
    bad('processing', '/stats?day=2024-05-01', ['/day']),
    ...indexes.map((index) => bad('analyzer', `/running?index=${index}`, ['/index'])),
    bad('analyzer', '/music', ['/index']),
    bad('analyzer', '/music?index=0&index=0', ['/index']),
    bad('analyzer', '/music?index=0&n=0', ['/n']),
    bad('analyzer', '/stats?index=0', ['/index']),
    ...[
      'limit=0',
      'limit=201',
      'order=up',
      'reason=weather',
      'type=swim',
      'user_id=me',
      'from=today',
      'redriven=maybe',
    ].map((query) => bad('analyzer', `/dead-letters?${query}`, [`/${query.split('=')[0]}`])),
    ...['abc', cursor('desc'), cursor('asc 0:0-1'), cursor('desc 0:0')].map((text) =>
      bad('analyzer', `/dead-letters?cursor=${text}`, ['/cursor']),
    ),
    bad('analyzer', '/audit', ['/from', '/to']),
    bad('analyzer', '/audit?from=2024-05-01T00:00:00Z&to=2024-05-01T00:59:00Z', ['/to']),
    bad('receiver', '/stats/running?dry_run=true', ['/dry_run']),
  ].map((found) => (found.service === 'receiver' ? { ...found, body: BODY } : found))
}

export const BAD_ADDRESSES: Record<string, BadCase[]> = {
  'a method': badMethods(),
  'a path': badPaths(),
  'a parameter': badParameters(),
}
