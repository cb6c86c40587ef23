import type { BadCase } from './bad-case.ts'

/** Orders to a service that cannot be carried out: bodies of paths that take small ones. */

const PATH = '/dead-letters/redrive'
const invalid = { status: 400, code: 'invalid_body' } as const
const notJson = { status: 400, code: 'invalid_json' } as const

function redrives(): BadCase[] {
  const order = (body: unknown, ...at: string[]): BadCase => ({
    ...sent(JSON.stringify(body)),
    ...invalid,
    at,
  })
  const ids = ['0-0']
  return [
    order({}, ''),
    order({ ids, filter: {} }, ''),
    order([], ''),
    order(null, ''),
    order('all', ''),
    order({ ids: [] }, '/ids'),
    order({ ids: '0-0' }, '/ids'),
    order({ ids: [1] }, '/ids'),
    order({ ids: Array(1001).fill('0-0') }, '/ids'),
    order({ filter: [] }, '/filter'),
    order({ filter: { user_id: 5 } }, '/filter'),
    order(
      { filter: { user_id: 'me', from: 'today', mood: 'good' } },
      '/filter/mood',
      '/filter/user_id',
      '/filter/from',
    ),
    order({ filter: {}, limit: 0 }, '/limit'),
    order({ filter: {}, limit: '10' }, '/limit'),
    order({ filter: {}, limit: 1001 }, '/limit'),
    order({ filter: {}, cursor: 5 }, '/cursor'),
    order({ ids, limit: 5 }, '/limit'),
    order({ ids, cursor: 'a' }, '/cursor'),
    order({ filter: {}, force: true }, '/force'),
    order({ ids, dry_run: 'true' }, '/dry_run'),
    order({ ids, attempts_max: 101 }, '/attempts_max'),
    order({ ids, Force: true }, '/Force'),
    { ...order({ filter: {}, cursor: 'nonsense' }, '/cursor'), code: 'invalid_parameter' },
    { ...sent('{"ids":["0-0"],"ids":["0-1"]}'), ...invalid, at: ['/ids'] },
    { ...sent('{"ids"'), ...notJson },
    { ...sent(''), ...notJson },
    { ...sent(Buffer.from([0x22, 0xff, 0x22])), ...notJson },
    { ...sent(' '.repeat(300_000)), status: 413, code: 'body_too_large', detail: /262144.*send less/ },
    { ...sent('{}', 'text/plain'), status: 415, code: 'unsupported_media_type' },
    { ...sent('{}', ''), status: 415, code: 'unsupported_media_type' },
    { ...sent('{}'), path: `${PATH}?dry_run=true`, status: 400, code: 'invalid_parameter', at: ['/dry_run'] },
  ]
}

function sent(body: string | Buffer, type = 'application/json') {
  const headers = type === '' ? {} : { 'content-type': type }
  return {
    name: `${type} ${body}`.slice(0, 80),
    service: 'analyzer',
    method: 'POST',
    path: PATH,
    headers,
    body,
  } as const
}

export const BAD_ORDERS: Record<string, BadCase[]> = { 'an order to redrive': redrives() }
