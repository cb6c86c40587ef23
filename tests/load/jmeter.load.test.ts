import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readResults, readSamplers, type SamplerResult } from '../../scripts/jmeter-results.ts'
import { getJson, type Runify, settled, startInProcess } from '../../test-support/harness.ts'
import { runLoadScript } from './load-script.ts'
import { startProxy } from './proxy.ts'

/** The load test, tested with a small load: on a Runify that is well it passes, and each wrong answer makes it fail. */

const SCRIPT = fileURLToPath(new URL('../../scripts/load-jmeter.ts', import.meta.url))
const PLAN = fileURLToPath(new URL('../../load/test_plan.jmx', import.meta.url))
/** Some hundred visits a second: that none of them is compared with Storage, at 3 of 100, does not happen. */
const PAUSE_MS_MAX = 40
const POST_RUN = 'Receiver POST /stats/running'
const POST_SONG = 'Receiver POST /stats/music'
const GET_EVENT = 'Storage GET /events/{trace_id}'

describe('The load test', () => {
  test('asks for everything, finds all answers right, and leaves a report', async () => {
    await using runify = await startInProcess()
    await using out = await temporaryFolder()
    const { code, output } = await runLoad(runify.addresses, out.path, { seconds: 10 })
    assert.equal(code, 0, output)

    const results = await readResults(join(out.path, 'results.csv'), await readSamplers(PLAN))
    assert.equal(results.size, 10, 'samplers that the plan names')
    for (const [name, { samples, good, failed }] of results) {
      assert.ok(good > 0, `${name} had ${samples} samples`)
      assert.equal(failed, 0, name)
    }
    assert.match(output, /^summary [+=]/m)
    const page = join(out.path, 'html', 'index.html')
    assert.ok(output.includes(`report: ${page}`), output)
    assert.match(readFileSync(page, 'utf8'), /Apache JMeter Dashboard/)
    assert.ok(existsSync(join(out.path, 'html', 'content', 'js', 'graph.js')))
    // A function that cannot do what it is told says so there, and nowhere else.
    assert.doesNotMatch(readFileSync(join(out.path, 'jmeter.log'), 'utf8'), / (WARN|ERROR) /)

    await settled(runify)
    assert.deepEqual(await getJson(`${runify.addresses.storage}/stats`), {
      num_running_stats: results.get(POST_RUN)?.samples,
      num_music_info: results.get(POST_SONG)?.samples,
    })
  })

  test('fails when some trace_ids are none', async () => {
    await using runify = await startInProcess()
    let posted = 0
    await using receiver = await startProxy(runify.addresses.receiver, (_, answer) =>
      ++posted % 20 === 0 ? { ...answer, trace_id: 'not-a-uuid' } : answer,
    )
    const output = await failedLoad({ ...runify.addresses, receiver: receiver.address })
    assert.match(output, /^Receiver POST .*: trace_id is a UUID: .*not-a-uuid.* \(answered 201\)/m)
  })

  test('fails when Storage gives back another value than was posted', async () => {
    await using runify = await startInProcess()
    await using storage = await startProxy(runify.addresses.storage, (path, answer) => {
      if (!path.startsWith('/events/') || answer.trace_id === undefined) return answer
      const { distance, song_duration } = answer as Record<string, number>
      return distance === undefined
        ? { ...answer, song_duration: Number(song_duration) + 1 }
        : { ...answer, distance: distance + 1 }
    })
    const output = await failedLoad({ ...runify.addresses, storage: storage.address })
    const expected = `^${RegExp.escape(GET_EVENT)}: Storage has what was posted: (distance|song_duration) is [0-9.]+, not `
    assert.match(output, new RegExp(expected, 'm'))
    assert.doesNotMatch(output, /^Receiver POST .*: /m, 'the others are still right')
  })

  test('fails when what was posted does not come', async () => {
    await using runify = await startInProcess()
    const unknown = '00000000-0000-4000-8000-000000000000'
    await using receiver = await startProxy(runify.addresses.receiver, (_, answer) => ({
      ...answer,
      trace_id: unknown,
    }))
    const output = await failedLoad({ ...runify.addresses, receiver: receiver.address }, { seconds: 15 })
    assert.ok(output.includes(`${GET_EVENT}: Storage has what was posted: it is not there after 10 s`), output)
  })

  test('fails when a sampler had nothing to do', async () => {
    await using runify = await startInProcess()
    await using out = await temporaryFolder()
    const { code, output } = await runLoad(runify.addresses, out.path, { seconds: 1, pauseMsMax: 600_000 })
    assert.equal(code, 1, output)
    assert.match(output, /^Analyzer GET \/music: no sample was answered with 2xx; run it for longer$/m)
  })

  test('says which service is not there, and starts nothing', async () => {
    await using runify = await startInProcess()
    await using out = await temporaryFolder()
    await using gone = await startProxy(runify.addresses.analyzer, (_, answer) => answer)
    await gone[Symbol.asyncDispose]()
    const { code, output } = await runLoad({ ...runify.addresses, analyzer: gone.address }, out.path, { seconds: 1 })
    assert.deepEqual([code, existsSync(join(out.path, 'jmeter.log'))], [2, false])
    assert.match(output, /^load:jmeter: analyzer does not answer at http:.*: .+\n$/)
  })
})

describe('JMeter’s results', () => {
  test('are read whatever is in their values', async () => {
    await using folder = await temporaryFolder()
    const path = join(folder.path, 'results.csv')
    const lines = [
      'timeStamp,label,responseCode,responseMessage,success,failureMessage',
      '1,A,200,OK,true,',
      '2,A,404,Not Found,true,',
      '3,B,503,"Service, of ""B""",false,"""first"" line',
      'second, last"',
      '4,B,Non HTTP response code: java.net.ConnectException,Non HTTP response message: refused,false,status is 200',
    ]
    await writeFile(path, `${lines.join('\r\n')}\n`)
    const none: SamplerResult = { samples: 0, good: 0, failed: 0, failures: new Map() }
    assert.deepEqual(
      await readResults(path, ['A', 'C']),
      new Map([
        ['A', { ...none, samples: 2, good: 1 }],
        ['C', none],
        [
          'B',
          {
            samples: 2,
            good: 0,
            failed: 2,
            failures: new Map([
              ['"first" line second, last (answered 503)', 1],
              ['status is 200 (refused)', 1],
            ]),
          },
        ],
      ]),
    )
  })
})

type Addresses = Runify['addresses']

function temporaryFolder(): ReturnType<typeof mkdtempDisposable> {
  return mkdtempDisposable(join(tmpdir(), 'runify-load-'))
}

/** The output of a run that fails. */
async function failedLoad(addresses: Addresses, { seconds } = { seconds: 5 }): Promise<string> {
  await using out = await temporaryFolder()
  const { code, output } = await runLoad(addresses, out.path, { seconds })
  assert.equal(code, 1, output)
  assert.match(output, /^FAILED/m)
  assert.ok(existsSync(join(out.path, 'html', 'index.html')), 'the report is there all the same')
  return output
}

async function runLoad(addresses: Addresses, out: string, load: { seconds: number; pauseMsMax?: number }) {
  const { seconds, pauseMsMax = PAUSE_MS_MAX } = load
  const users = ['--users', '4', '--ramp-up', '1', '--pause-ms-max', String(pauseMsMax)]
  return runLoadScript(SCRIPT, addresses, [...users, '--duration', String(seconds), '--out', out])
}
