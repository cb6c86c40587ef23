import { CATALOGUE } from '../../src/events/catalogue.ts'
import type { BadCase } from './bad-case.ts'

/** Bodies that are not events: values, texts, bytes. */

const RUN = CATALOGUE.running_stats.example
const SONG = CATALOGUE.music_info.example
const NDJSON = { 'content-type': 'application/x-ndjson' }
const MUSIC = '/stats/music'

const LEVELS = [100_000, 1_000_000]
const OVER_LIMIT = 10_000_000
const LIMIT = /4194304/
const ASTRAL = '𝄞'

const notJson = { status: 400, code: 'invalid_json' } as const
const notAnEvent = { status: 400, code: 'invalid_event' } as const
const noneIsGood = { status: 400, code: 'invalid_events' } as const

/** A run with some fields changed; undefined leaves one out. */
const run = (changed: Record<string, unknown>) => JSON.stringify({ ...RUN, ...changed })
const song = (changed: Record<string, unknown>) => JSON.stringify({ ...SONG, ...changed })
/** A run whose `field` has a value that is written as it stands. */
const literal = (field: string, value: string) => run({ [field]: '@' }).replace('"@"', value)
const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)

function badFields(): BadCase[] {
  const named = (field: string, values: unknown[]): BadCase[] =>
    values.map((value) => ({
      name: `${field} = ${JSON.stringify(value)}`.slice(0, 80),
      body: run({ [field]: value }),
      ...notAnEvent,
      at: [`/${field}`],
    }))
  const inSong = (field: string, values: unknown[]): BadCase[] =>
    named(field, values).map((bad, at) => ({ ...bad, path: MUSIC, body: song({ [field]: values[at] }) }))
  const noNumbers = ['3600', '', null, true, [1], { value: 1 }, -1, -1e-300]
  const noTexts = ['', null, 5, false, ['a'], {}, '\ud800', 'a\udc00b']
  return [
    ...Object.keys(RUN).map((field) => missing(field)),
    { name: 'no member at all', body: '{}', ...notAnEvent, at: Object.keys(RUN).map((field) => `/${field}`) },
    { name: 'a member too many', body: run({ pace: 5 }), ...notAnEvent, at: ['/pace'] },
    { name: 'a member named with / and ~', body: run({ 'a/b~c': 5 }), ...notAnEvent, at: ['/a~1b~0c'] },
    { name: 'a member in capitals', body: run({ Duration: 5 }), ...notAnEvent, at: ['/Duration'] },
    { name: 'a trace_id of its own', body: run({ trace_id: RUN.user_id }), ...notAnEvent, at: ['/trace_id'] },
    { name: 'a __proto__', body: literal('x', '1').replace('"x"', '"__proto__"'), ...notAnEvent, at: ['/__proto__'] },
    {
      name: 'everything wrong at once',
      body: run({ user_id: 1, duration: '', a: 1 }),
      ...notAnEvent,
      at: ['/user_id', '/duration', '/a'],
    },
    { name: 'a song for a run', body: song({}), ...notAnEvent },
    { name: 'a thousand unknown members', body: run(manyMembers()), ...notAnEvent },
    ...named('user_id', [
      5,
      null,
      [RUN.user_id],
      {},
      '',
      'me',
      RUN.user_id.replaceAll('-', ''),
      `{${RUN.user_id}}`,
      `${RUN.user_id}\n`,
      ` ${RUN.user_id}`,
    ]),
    ...named('duration', [...noNumbers, 31_536_000.001, 31_536_001]),
    ...named('distance', [...noNumbers, 10_000_001]),
    ...inSong('song_duration', [...noNumbers, 86_401]),
    ...inSong('song_name', [...noTexts, 'x'.repeat(513), ASTRAL.repeat(513)]),
    ...inSong('artist', [...noTexts, 'x'.repeat(513), ASTRAL.repeat(513)]),
    ...named('event_id', [...noTexts, 'x'.repeat(129), ASTRAL.repeat(129)]),
    ...named('timestamp', [...noTexts, ...BAD_INSTANTS]),
    ...['-0', '-0.0', '-0e5', '1e999', '-1e999'].map((value) => ({
      name: `distance = ${value}`,
      body: literal('distance', value),
      ...notAnEvent,
      at: ['/distance'],
    })),
  ]
}

const BAD_INSTANTS = [
  1_714_545_000_000,
  '2024-05-01',
  '2024-05-01T06:30:00',
  '2024-05-01 06:30:00Z',
  '2024-05-01T06:30Z',
  '2024-05-01T06:30:00+0200',
  '2024-05-01T06:30:00+24:00',
  '2024-05-01T06:30:00 Z',
  '2024-05-01T06:30:00.Z',
  '2024-05-01T06:30:00,5Z',
  '2024-02-30T00:00:00Z',
  '2023-02-29T00:00:00Z',
  '1900-02-29T00:00:00Z',
  '2024-13-01T00:00:00Z',
  '2024-00-10T00:00:00Z',
  '2024-04-31T00:00:00Z',
  '2024-05-00T00:00:00Z',
  '2024-05-01T24:00:00Z',
  '2024-05-01T23:60:00Z',
  '2024-12-31T23:59:60Z',
  '24-05-01T06:30:00Z',
  '+002024-05-01T06:30:00Z',
  '10000-01-01T00:00:00Z',
  '9999-12-31T23:59:59-00:01',
  '0000-01-01T00:00:00+00:01',
  'Wed, 01 May 2024 06:30:00 GMT',
  'now',
]

function missing(field: string): BadCase {
  return { name: `no ${field}`, body: run({ [field]: undefined }), ...notAnEvent, at: [`/${field}`] }
}

function manyMembers(): Record<string, number> {
  return Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`${'n'.repeat(200)}${n}`, n]))
}

function badTexts(): BadCase[] {
  const text = JSON.stringify(RUN)
  const texts: Record<string, string> = {
    'an empty body': '',
    'white space': ' \t\r\n ',
    'no JSON at all': 'duration=5&distance=6',
    'a comma behind the last member': text.replace('}', ',}'),
    'a comma behind the last event': `[${text},]`,
    'a comment': text.replace('{', '{ // a run\n'),
    'a comment of the other kind': text.replace('{', '{ /* a run */'),
    'single quotes': text.replaceAll('"', "'"),
    'names without quotes': '{user_id: 1}',
    'the first half': text.slice(0, 60),
    'an array that is not closed': `[${text}`,
    'two events without an array': `${text}${text}`,
    'two events in lines': `${text}\n${text}`,
    'text behind the event': `${text} and so on`,
    'a newline in a string': text.replace('2012', '20\n12'),
    'an escape that there is not': text.replace('2012', '\\x32012'),
    'half an escape': text.replace('2012', '\\u20'),
    undefined: 'undefined',
  }
  for (const value of ['NaN', 'Infinity', '-Infinity', '01', '+1', '.5', '1.', '0x10', '1_000', '1e', '1,5', '']) {
    texts[`duration = ${value || 'nothing'}`] = literal('duration', value)
  }
  return Object.entries(texts).map(([name, body]) => ({ name, body, ...notJson, at: [''] }))
}

function badBytes(): BadCase[] {
  const within = (bytes: number[]) => {
    const [before, behind] = song({ song_name: '@' }).split('@') as [string, string]
    return Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(behind)])
  }
  const inSong = { path: MUSIC, ...notJson, at: [''], detail: /UTF-8/ }
  return [
    { name: 'the byte FF', body: within([0xff]), ...inSong },
    { name: 'a byte of Latin-1', body: within([0xfc]), ...inSong },
    { name: 'a character cut in half', body: within([0xe2, 0x82]), ...inSong },
    { name: 'an overlong character', body: within([0xc0, 0xaf]), ...inSong },
    { name: 'a surrogate in UTF-8', body: within([0xed, 0xa0, 0x80]), ...inSong },
    { name: 'a character beyond Unicode', body: within([0xf4, 0x90, 0x80, 0x80]), ...inSong },
    { name: 'a body that ends within a character', body: Buffer.from([0x22, 0xe2]), ...inSong },
    { name: 'a zero byte', body: within([0]), path: MUSIC, ...notJson, at: [''] },
    { name: 'a byte order mark', body: `\ufeff${JSON.stringify(RUN)}`, ...notJson, at: [''] },
    { name: 'UTF-16', body: Buffer.from(JSON.stringify(RUN), 'utf16le'), ...notJson, at: [''] },
    {
      name: 'bad UTF-8 in an array',
      body: Buffer.concat([Buffer.from('['), within([0xff]), Buffer.from(']')]),
      ...inSong,
    },
    { name: 'bad UTF-8 in a line', body: within([0xff]), path: MUSIC, headers: NDJSON, ...noneIsGood, at: ['0'] },
  ]
}

function notObjects(): BadCase[] {
  return [
    ...['null', '5', 'true', '"a run"'].map((body) => ({
      name: `the JSON value ${body}`,
      body,
      ...notAnEvent,
      at: [''],
    })),
    ...['[null]', '[5]', '["a run"]', '[[]]', `[[${JSON.stringify(RUN)}]]`].map((body) => ({
      name: `the array ${body.slice(0, 20)}`,
      body,
      ...noneIsGood,
      at: ['0'],
    })),
    { name: 'an array in a line', body: `[${JSON.stringify(RUN)}]\n`, headers: NDJSON, ...noneIsGood, at: ['0'] },
    { name: 'lines of all sorts', body: 'null\n\n{}x\n"a"\n', headers: NDJSON, ...noneIsGood, at: ['0', '1', '2'] },
    {
      name: 'an event over two lines',
      body: run({}).replace(',', ',\n'),
      headers: NDJSON,
      ...noneIsGood,
      at: ['0', '1'],
    },
    { name: 'one JSON text of many lines', body: JSON.stringify(RUN, null, 2), headers: NDJSON, ...noneIsGood },
    { name: 'a byte order mark before a line', body: `\ufeff${run({})}\n`, headers: NDJSON, ...noneIsGood, at: ['0'] },
  ]
}

function repeatedMembers(): BadCase[] {
  const twice = run({}).replace('{', '{"duration":1,')
  const escaped = run({}).replace('{', '{"\\u0064uration":1,')
  const same = run({}).replace('{', `{"user_id":"${RUN.user_id}",`)
  const optional = run({ event_id: 'a' }).replace('{', '{"event_id":"b",')
  const thrice = run({}).replace('{', '{"duration":1,"duration":2,')
  return [
    { name: 'a member that is there twice', body: twice, ...notAnEvent, at: ['/duration'] },
    { name: 'a member that is there twice, once in escapes', body: escaped, ...notAnEvent, at: ['/duration'] },
    { name: 'a member that is there twice with one value', body: same, ...notAnEvent, at: ['/user_id'] },
    { name: 'an event_id that is there twice', body: optional, ...notAnEvent, at: ['/event_id'] },
    { name: 'a member that is there three times', body: thrice, ...notAnEvent, at: ['/duration', '/duration'] },
    { name: 'a member that is there twice, in an array', body: `[${twice}]`, ...noneIsGood, at: ['0/duration'] },
    {
      name: 'members that are there twice, in an array',
      body: `[${escaped},${same}]`,
      ...noneIsGood,
      at: ['0/duration', '1/user_id'],
    },
    {
      name: 'members that are there twice, in lines',
      body: `${escaped}\n${same}\n`,
      headers: NDJSON,
      ...noneIsGood,
      at: ['0/duration', '1/user_id'],
    },
  ]
}

function deepBodies(): BadCase[] {
  return LEVELS.flatMap((levels) => {
    const objects = Math.min(levels, 600_000)
    const deepObject = `${'{"a":'.repeat(objects)}1${'}'.repeat(objects)}`
    return [
      { name: `${levels} arrays`, body: nested(levels), ...noneIsGood, at: ['0'] },
      { name: `${levels} arrays that are not closed`, body: '['.repeat(levels), ...notJson, at: [''] },
      {
        name: `${levels} arrays for a duration`,
        body: literal('duration', nested(levels)),
        ...notAnEvent,
        at: ['/duration'],
      },
      {
        name: `${objects} objects for a duration`,
        body: literal('duration', deepObject),
        ...notAnEvent,
        at: ['/duration'],
      },
      { name: `${objects} objects in an array`, body: `[${deepObject}]`, ...noneIsGood },
      { name: `${levels} arrays in a line`, body: nested(levels), headers: NDJSON, ...noneIsGood, at: ['0'] },
    ]
  })
}

function largeBodies(): BadCase[] {
  const spaces = ' '.repeat(OVER_LIMIT)
  const chunked = { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }
  const tooLarge = { status: 413, code: 'body_too_large', detail: LIMIT } as const
  return [
    { name: '10 MB of white space before an event', body: `${spaces}${run({})}`, ...tooLarge },
    { name: '10 MB in one string', body: song({ song_name: spaces }), path: MUSIC, ...tooLarge },
    { name: '10 MB of events', body: `[${run({})}${`,${run({})}`.repeat(70_000)}]`, ...tooLarge },
    { name: '10 MB of unknown length', body: `${spaces}${run({})}`, headers: chunked, ...tooLarge },
    {
      name: '10 MB in one line',
      body: song({ song_name: spaces }),
      path: MUSIC,
      headers: NDJSON,
      ...noneIsGood,
      at: ['0'],
    },
    { name: 'a line just too long', body: run({ a: ' '.repeat(65_536) }), headers: NDJSON, ...noneIsGood, at: ['0'] },
  ]
}

export const BAD_BODIES: Record<string, BadCase[]> = {
  'a field': badFields(),
  'a text': badTexts(),
  'bytes that are not UTF-8 text': badBytes(),
  'a value that is no object': notObjects(),
  'a repeated member': repeatedMembers(),
  'a deep body': deepBodies(),
  'a large body': largeBodies(),
}
