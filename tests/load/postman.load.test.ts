import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Item } from '../../scripts/postman-collection.ts'
import { getJson, getList, post, type Runify, settled, startInProcess } from '../../test-support/harness.ts'
import { runLoadScript } from './load-script.ts'
import { startProxy } from './proxy.ts'

/** The Postman collection, run by newman: on a Runify that is well it passes, and each wrong answer makes it fail. */

const SCRIPT = fileURLToPath(new URL('../../scripts/test-postman.ts', import.meta.url))
const COLLECTION = new URL('../../load/postman/runify.postman_collection.json', import.meta.url)
const ALL = /^all +(?<requests>\d+) +(?<tests>\d+) +(?<failed>\d+)$/m

describe('The Postman collection', () => {
  test('passes on an empty Runify, again, and on one that holds many events', async () => {
    await using runify = await startInProcess()
    const { addresses } = runify
    const { requests, tests } = await passedRun(addresses)
    assert.equal(requests, countRequests(), 'requests sent')
    assert.ok(tests > 4 * requests, `${tests} tests`)
    await settled(runify)
    const [run] = await getList(`${addresses.storage}/stats/running?limit=1`)
    const { num_running_stats: stored } = await getJson(`${addresses.storage}/stats`)

    const lines = Array.from({ length: 2000 }, (_, n) => manyOf(run as Event, n)).join('')
    const sent = await post(`${addresses.receiver}/stats/running`, lines, { 'content-type': 'application/x-ndjson' })
    assert.deepEqual(sent.body, { accepted: 2000, rejected: 0 })
    assert.deepEqual(await passedRun(addresses), { requests, tests })

    await settled(runify)
    // The README's run and the one with a key are new each time; the others have an event_id.
    const { num_running_stats: after } = await getJson(`${addresses.storage}/stats`)
    assert.equal(Number(after) - Number(stored), 2000 + 2)
  })

  test('fails when a trace_id is none', async () => {
    await using runify = await startInProcess()
    await using receiver = await startProxy(runify.addresses.receiver, (_, answer) =>
      answer.trace_id === undefined ? answer : { ...answer, trace_id: 'not-a-uuid' },
    )
    const output = await failedRun({ ...runify.addresses, receiver: receiver.address })
    assert.match(output, /^Receiver \/ POST \/stats\/running: trace_id is a UUID: .*not-a-uuid/m)
    assert.match(output, /^Receiver \/ POST \/stats\/music: trace_id is a UUID: .*not-a-uuid/m)
  })

  test('fails when a retry gets another trace_id, and when what was posted does not come', async () => {
    await using runify = await startInProcess()
    let answers = 0
    await using receiver = await startProxy(runify.addresses.receiver, (path, answer) => {
      const trace_id = `00000000-0000-4000-8000-${String(answers++).padStart(12, '0')}`
      return path !== '/stats/running' || answer.trace_id === undefined ? answer : { ...answer, trace_id }
    })
    const output = await failedRun({ ...runify.addresses, receiver: receiver.address })
    const name = 'POST /stats/running with the same key: trace_id is that of the first answer: '
    assert.ok(output.includes(`Receiver / ${name}`), output)
    assert.match(output, /^Storage \/ GET \/events\/\{trace_id\} for \/stats\/running: status is 200: .*404/m)
  })

  test('fails when Storage gives back another value than was posted', async () => {
    await using runify = await startInProcess()
    await using storage = await startProxy(runify.addresses.storage, (path, answer) =>
      path.startsWith('/events/') && answer.distance !== undefined
        ? { ...answer, distance: Number(answer.distance) + 1 }
        : answer,
    )
    const output = await failedRun({ ...runify.addresses, storage: storage.address })
    const name = 'Storage / GET /events/{trace_id} for /stats/running: Storage has what was posted: distance: expected '
    assert.deepEqual(faultsIn(output), [`${name}4690.24 to equal 4689.24`])
  })

  test('fails when an answer has not the shape that the OpenAPI document says', async () => {
    await using runify = await startInProcess()
    await using processing = await startProxy(runify.addresses.processing, (path, answer) =>
      path === '/stats' ? { ...answer, behind: 'nothing' } : answer,
    )
    const output = await failedRun({ ...runify.addresses, processing: processing.address })
    assert.deepEqual(
      faultsIn(output).map((fault) => fault.replace(/ expected data.*: /, ' ')),
      ['Processing / GET /stats: body is as the OpenAPI document says: data.behind should be integer,null'],
    )
  })

  test('fails when a wrong request gets another code', async () => {
    await using runify = await startInProcess()
    await using analyzer = await startProxy(runify.addresses.analyzer, (_, answer) =>
      answer.code === 'not_found' ? { ...answer, code: 'unknown_path' } : answer,
    )
    const output = await failedRun({ ...runify.addresses, analyzer: analyzer.address })
    const fault = (request: string) =>
      `Analyzer / Wrong requests / GET ${request}: code is not_found: expected 'unknown_path' to equal 'not_found'`
    const missing = ['/events/{trace_id} that there is not', '/running beyond the end', '/music beyond the end']
    assert.deepEqual(faultsIn(output), missing.map(fault))
  })

  test('fails when a service stops answering', async () => {
    await using runify = await startInProcess()
    await using analyzer = await startProxy(runify.addresses.analyzer, (path, answer) => {
      if (path.startsWith('/music')) throw new Error('no answer')
      return answer
    })
    const output = await failedRun({ ...runify.addresses, analyzer: analyzer.address })
    assert.match(output, /^Analyzer \/ GET \/music: .*socket hang up/m)
  })

  test('says which service is not there, and sends nothing', async () => {
    await using runify = await startInProcess()
    await using gone = await startProxy(runify.addresses.analyzer, (_, answer) => answer)
    await gone[Symbol.asyncDispose]()
    const { code, output } = await runLoadScript(SCRIPT, { ...runify.addresses, analyzer: gone.address })
    assert.equal(code, 2)
    assert.match(output, /^test:postman: analyzer does not answer at http:.*: .+\n$/)
    assert.deepEqual(await getJson(`${runify.addresses.storage}/stats`), { num_running_stats: 0, num_music_info: 0 })
  })

  test('says what is wrong with the command line', async () => {
    const { code, output } = await runLoadScript(SCRIPT, { receiver: 'http://localhost:0' } as Addresses)
    assert.equal(code, 2)
    assert.match(output, /^test:postman: --receiver-port must be .*, see npm run test:postman -- --help\n$/)
  })
})

type Addresses = Runify['addresses']
type Event = Record<string, unknown>

/** The same user and time, which is what the collection asks for. */
function manyOf({ trace_id, date_created, ...run }: Event, n: number): string {
  return `${JSON.stringify({ ...run, event_id: `many-${n}` })}\n`
}

function countRequests(): number {
  const count = (within: { item: object[] } | Item): number =>
    'item' in within ? within.item.reduce((sum, one) => sum + count(one as Item), 0) : 1
  return count(JSON.parse(readFileSync(COLLECTION, 'utf8')))
}

async function passedRun(addresses: Addresses): Promise<{ requests: number; tests: number }> {
  const { code, output } = await runLoadScript(SCRIPT, addresses)
  assert.equal(code, 0, output)
  const { requests, tests, failed } = ALL.exec(output)?.groups ?? assert.fail(output)
  assert.equal(failed, '0')
  return { requests: Number(requests), tests: Number(tests) }
}

/** The output of a run that fails. */
async function failedRun(addresses: Addresses): Promise<string> {
  const { code, output } = await runLoadScript(SCRIPT, addresses)
  assert.equal(code, 1, output)
  assert.match(output, /^FAILED$/m)
  return output
}

function faultsIn(output: string): string[] {
  return output.split('\n').filter((line) => / \/ .+: /.test(line))
}
