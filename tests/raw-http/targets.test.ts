import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { SERVICES } from '../../src/config.ts'
import type { ProblemCode } from '../../src/http/problem.ts'
import { type Json, type Runify, startInProcess } from '../../test-support/harness.ts'
import { type RawAnswer, RawConnection } from './raw-connection.ts'

/** One path has many spellings. Who may ask for it, and what it is passed on to, hangs on none of them. */

const KEY = 'read-me-1f0c'
const BEARER = `authorization: Bearer ${KEY}\r\n`

const METRICS = [
  '/metrics',
  '/metrics?x=1',
  '/%6Detrics',
  '/%6d%65%74%72%69%63%73',
  '/metric%73?x',
  'http://x/metrics',
  'HTTP://x:8000/%6Detrics?x',
  'https://x/metrics',
]
/** Close to the path of the metrics, and none of its spellings. */
const NOT_METRICS = [
  '//metrics',
  '/metrics/',
  '/Metrics',
  '/METRICS',
  '/./metrics',
  '/x/../metrics',
  '/metrics;x',
  '/metrics%3fx',
  '/metrics%23x',
  '/metrics%00',
  '/metrics%20',
  '/metrics%2f',
  '/%2fmetrics',
  '/%2e/metrics',
  '\\metrics',
  '/metrics#x',
  'http://x//metrics',
  'ftp://x/metrics',
  'http:/metrics',
  '*',
]

describe('However a path is spelled', () => {
  let runify: Runify
  before(async () => {
    runify = await startInProcess({ RUNIFY_API_KEYS: `reader:read:${hash('sha256', KEY, 'hex')}` })
  })
  after(() => runify?.[Symbol.asyncDispose]())

  async function ask(service: keyof Runify['addresses'], target: string, headers = ''): Promise<RawAnswer> {
    using connection = await RawConnection.open(runify.addresses[service])
    connection.send(`GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers}\r\n`)
    const answer = await connection.answer()
    assert.ok(answer !== undefined, `${target}: no answer`)
    return answer
  }

  for (const service of SERVICES) {
    test(`the metrics of the ${service} need a key`, async () => {
      for (const target of METRICS) {
        const { status, body } = await ask(service, target)
        assert.deepEqual([status, codeOf(body)], [401, 'key_required'], target)
        const shown = await ask(service, target, BEARER)
        assert.equal(shown.status, 200, target)
        assert.match(shown.body, /^# HELP /)
      }
      for (const target of NOT_METRICS) {
        for (const headers of ['', BEARER]) {
          const { status, body } = await ask(service, target, headers)
          assert.ok([400, 401, 404].includes(status), `${target}: ${status}`)
          assert.doesNotMatch(body, /# HELP/, target)
        }
      }
    })

    test(`the health of the ${service} needs none`, async () => {
      for (const target of ['/health/live', '/%68ealth/live', '/health/l%69ve?', 'http://x/health/live', '/docs']) {
        assert.equal((await ask(service, target)).status, 200, target)
      }
    })
  }

  test('beside what is open, nothing is', async () => {
    for (const target of [
      '/health/',
      '/health/x',
      '/healthx',
      '/docsx',
      '/docs.x',
      '/openapi.jsonx',
      '/stats',
      '/',
      'http://x?/docs',
    ]) {
      assert.equal((await ask('storage', target)).status, 401, target)
    }
  })

  test('a wrong method is told from a wrong path', async () => {
    for (const target of ['/stats/running', '/stats/%72unning', 'http://x/stats/running']) {
      const { status, headers } = await ask('receiver', target, BEARER)
      assert.deepEqual([status, headers.allow], [405, 'POST'], target)
    }
  })

  test('the dashboard finds the service', async () => {
    for (const target of [
      '/storage/stats',
      '/%73torage/stats',
      '/s%74orage/%73tats',
      'http://x/storage/stats',
      'http://x/%73torage/stats',
    ]) {
      const { status, body } = await ask('dashboard', target, BEARER)
      assert.deepEqual([status, JSON.parse(body)], [200, { num_running_stats: 0, num_music_info: 0 }], target)
      assert.equal((await ask('dashboard', target)).status, 401, target)
    }
  })

  test('no path leads out of the service that it begins with', async () => {
    for (const path of [
      '/storage/..',
      '/storage/../metrics',
      '/storage/../receiver/health/live',
      '/storage/%2e%2e/receiver/health/live',
      '/storage/.%2E/x',
      '/storage/..%2f',
      '/storage/..%2freceiver%2fhealth%2flive',
      '/storage/x%2f..%2f..%2fmetrics',
      '/storage/..%5cmetrics',
      '/storage/..\\metrics',
      '/storage/./stats',
      '/storage/%2e/stats',
      '/storage/stats/..?x',
      '/check/../metrics',
    ]) {
      for (const target of [path, `http://x${path}`]) {
        const { status, body } = await ask('dashboard', target, BEARER)
        assert.deepEqual([status, codeOf(body)], [400, 'invalid_request'], target)
      }
    }
    // Dots elsewhere are dots.
    for (const target of ['/storage/stats?a=/../b', '/storage/...', '/storage/a..b/..c']) {
      const { status, body } = await ask('dashboard', target, BEARER)
      const expected = target.includes('?') ? 'invalid_parameter' : 'unknown_path'
      assert.equal(codeOf(body), expected, `${target}: ${status}`)
    }
  })
})

function codeOf(body: string): ProblemCode | undefined {
  return (JSON.parse(body) as Json).code as ProblemCode | undefined
}
