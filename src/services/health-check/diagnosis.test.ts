import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readConfig, type ServiceName } from '../../config.ts'
import { describeFault, findCauses, groundOf, type Verdict } from './diagnosis.ts'

const EMBEDDED = groundOf(readConfig({}))
const ON_SERVERS = groundOf(
  readConfig({
    RUNIFY_LOG: 'kafka://kafka:9092',
    RUNIFY_STORE: 'mysql://runify:secret@mysql/runify',
    RUNIFY_STORAGE_URL: 'http://storage:8090',
  }),
)

const WELL: Verdict = { kind: 'healthy' }
const lacks = (code: string, detail = 'it is unavailable'): Verdict => ({ kind: 'not_ready', code, detail })
const gone: Verdict = { kind: 'away', why: 'nothing listens there' }

function causes(found: Partial<Record<ServiceName, Verdict>>, ground = ON_SERVERS) {
  const all: Partial<Record<ServiceName, Verdict>> = {
    receiver: WELL,
    storage: WELL,
    processing: WELL,
    analyzer: WELL,
    ...found,
  }
  return findCauses(new Map(Object.entries(all) as [ServiceName, Verdict][]), ground)
}

describe('The diagnosis', () => {
  test('looks for nothing between a service and a file, which others can still read where the disk is full', () => {
    const detail = 'the disk is full: /data'
    assert.deepEqual(
      causes({ receiver: lacks('log_unavailable', detail) }, EMBEDDED).map((cause) => cause.detail),
      [`Receiver cannot reach the embedded log: ${detail}`],
    )
  })

  test('finds nothing where all is well', () => assert.deepEqual(causes({}), []))

  test('says what a service cannot reach, not only that it is not ready', () => {
    assert.equal(
      describeFault('storage', lacks('store_unavailable', 'the database does not answer'), ON_SERVERS),
      'Storage cannot reach MySQL: the database does not answer',
    )
    assert.equal(
      describeFault('receiver', lacks('log_unavailable'), EMBEDDED),
      'Receiver cannot reach the embedded log: it is unavailable',
    )
  })

  test('gives one cause to all that lack the same', () => {
    const found = causes({
      receiver: lacks('log_unavailable'),
      storage: lacks('log_unavailable'),
      analyzer: lacks('log_unavailable'),
    })
    assert.deepEqual(found, [
      {
        dependency: 'Kafka',
        detail: 'Receiver, Storage and Analyzer cannot reach Kafka',
        services: ['receiver', 'storage', 'analyzer'],
      },
    ])
  })

  test('follows Processing through Storage to what Storage lacks', () => {
    const [cause, ...others] = causes({ storage: lacks('store_unavailable'), processing: lacks('store_unavailable') })
    assert.deepEqual(others, [])
    assert.equal(cause?.dependency, 'MySQL')
    assert.deepEqual(cause?.services, ['storage', 'processing'])
  })

  test('blames Storage itself where it is Storage that is unavailable', () => {
    assert.deepEqual(causes({ storage: gone, processing: lacks('store_unavailable') }), [
      {
        dependency: 'Storage',
        detail: 'Storage does not answer: nothing listens there; Processing cannot reach Storage',
        services: ['storage', 'processing'],
      },
    ])
  })

  test('looks between the two where others reach what one cannot', () => {
    const [cause] = causes({ storage: lacks('store_unavailable') })
    assert.match(cause?.detail ?? '', /^Storage cannot reach MySQL, though Processing can: look at what lies between/)
  })

  test('keeps several faults apart, the widest first', () => {
    const found = causes({ receiver: lacks('log_unavailable'), analyzer: lacks('log_unavailable'), processing: gone })
    assert.deepEqual(
      found.map(({ dependency }) => dependency),
      ['Kafka', 'Processing'],
    )
  })

  test('takes a code that names nothing outside for the fault of the service', () => {
    assert.deepEqual(
      causes({ storage: lacks('internal', 'this is our fault') }).map(({ dependency, detail }) => [dependency, detail]),
      [['Storage', 'Storage is not ready: this is our fault']],
    )
  })

  test('tells the files of the embedded pair apart', () => {
    const found = causes({ storage: lacks('store_unavailable'), processing: lacks('statistics_unavailable') }, EMBEDDED)
    assert.deepEqual(
      found.map(({ dependency }) => dependency),
      ['the embedded store', 'the embedded statistics'],
    )
  })
})
