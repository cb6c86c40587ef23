import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { SERVICES } from '../src/config.ts'
import { getJson, type Json, type Runify, startInProcess } from '../test-support/harness.ts'
import { MALFORMED } from './raw-http/malformed.ts'
import { type RawAnswer, RawConnection } from './raw-http/raw-connection.ts'

/** Whatever comes to a port that is not HTTP/1.1: one refusal or none, the end of the connection, and nothing else. */

/** Far more than an answer takes where nothing else runs: what is over it hangs. */
const ANSWER_MS_MAX = 10_000
/** Connections that a service has at the same time. */
const AT_ONCE = 8
/** What stands before a service's path on the dashboard. The dashboard reads these requests itself. */
const THROUGH = ['', '/receiver', '/storage']

describe('Requests that are no HTTP/1.1', () => {
  let runify: Runify
  before(async () => {
    runify = await startInProcess()
  })
  after(() => runify?.[Symbol.asyncDispose]())

  test('are a hundred and more, all different', () => {
    assert.ok(MALFORMED.length >= 100, `${MALFORMED.length}`)
    assert.equal(new Set(MALFORMED.map(({ bytes }) => bytes)).size, MALFORMED.length)
  })

  for (const service of SERVICES) {
    test(`are refused by the ${service}, each once and soon`, async () => {
      const prefixes = service === 'dashboard' ? THROUGH : ['']
      const cases = MALFORMED.flatMap(({ name, bytes }) =>
        prefixes.map((prefix) => ({ name: `${name} ${prefix}`, bytes: bytes.replace(' /', ` ${prefix}/`) })),
      )
      await Promise.all(
        Array.from({ length: AT_ONCE }, async (_, part) => {
          for (const one of cases.filter((_, n) => n % AT_ONCE === part)) {
            checkRefusal(one.name, await send(runify.addresses[service], one))
          }
        }),
      )
    })

    test(`leave the ${service} as it was`, async () => {
      const address = runify.addresses[service]
      assert.equal((await fetch(`${address}/health/live`)).status, 200)
      const metrics = await (await fetch(`${address}/metrics`)).text()
      assert.doesNotMatch(metrics, /runify_http_request_seconds_count\{[^}]*status="5/)
    })
  }

  test('leave nothing behind', async () => {
    const none = { num_running_stats: 0, num_music_info: 0 }
    const { num_running_stats, num_music_info } = await getJson(`${runify.addresses.analyzer}/stats`)
    assert.deepEqual({ num_running_stats, num_music_info }, none)
    assert.deepEqual(await getJson(`${runify.addresses.storage}/stats`), none)
  })
})

/** All that comes back: an answer or the end of the connection in time, and then whatever else there is until both have ended it. */
async function send(address: string, { name, bytes }: { name: string; bytes: string }): Promise<RawAnswer[]> {
  using connection = await RawConnection.open(address)
  connection.send(bytes)
  const first = await connection.answer('GET', ANSWER_MS_MAX).catch((error: Error) => {
    throw new Error(`${name}: neither an answer nor an end`, { cause: error })
  })
  if (first === undefined) return []
  connection.end()
  return [first, ...(await connection.answersToEnd('GET', ANSWER_MS_MAX))]
}

function checkRefusal(name: string, answers: readonly RawAnswer[]): void {
  assert.ok(answers.length <= 1, `${name}: a second answer: ${JSON.stringify(answers)}`)
  for (const { status, headers, body } of answers) {
    assert.ok(status >= 400 && status < 500, `${name}: ${status} ${body}`)
    assert.match(String(headers['content-type']), /^application\/problem\+json/, name)
    const problem = JSON.parse(body) as Json
    assert.equal(problem.status, status, name)
  }
}
