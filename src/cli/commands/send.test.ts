import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { CATALOGUE } from '../../events/catalogue.ts'
import { generateEvents } from '../generator/generator.ts'
import {
  type Mishap,
  STORED_WITHOUT_ANSWER,
  send,
  startFakeReceiver,
  stoppingAfter,
  UNAVAILABLE,
} from '../testing/fake-receiver.fixture.ts'
import { runCli, startCli } from '../testing/run-cli.fixture.ts'

const FOLDER = await mkdtempDisposable(join(tmpdir(), 'runify-send-'))
after(() => FOLDER.remove())

/** Runs without ids, each another one. */
function runs(count: number): string[] {
  return Array.from({ length: count }, (_, i) =>
    JSON.stringify({ ...CATALOGUE.running_stats.example, distance: i + 1 }),
  )
}

async function file(name: string, lines: readonly string[] | Buffer): Promise<string> {
  const path = join(FOLDER.path, name)
  await writeFile(path, Buffer.isBuffer(lines) ? lines : `${lines.join('\n')}\n`)
  return path
}

function summary(stdout: string) {
  const [accepted, rejected] = [/^accepted {2}(\d+)$/m, /^rejected {2}(\d+)$/m].map((row) =>
    Number(row.exec(stdout)?.[1]),
  )
  assert.match(stdout, /^duration {2}\d+\.\d s, \d+ events\/s$/m)
  return { accepted, rejected }
}

describe('runify send', () => {
  test('sends every line in chunks and exits with 0', async () => {
    await using receiver = await startFakeReceiver()
    const path = await file('runs.ndjson', runs(25))
    const { code, stdout, stderr } = await runCli(['send', path, '--to', receiver.url, '--chunk', '10'])
    assert.deepEqual({ code, stderr, ...summary(stdout) }, { code: 0, stderr: '', accepted: 25, rejected: 0 })
    assert.deepEqual(
      receiver.requests.map(({ path }) => path),
      Array(3).fill('/stats/running'),
    )
    assert.deepEqual(receiver.requests.map(({ lines }) => lines.length).sort(), [10, 10, 5])
    assert.equal(receiver.stored.size, 25)
  })

  test('sends a generated file of both types, with its repeated events, each to its place', async () => {
    await using receiver = await startFakeReceiver()
    const events = [...generateEvents({ users: 10, days: 60, seed: 5 })]
    const path = await file(
      'mixed.ndjson.gz',
      gzipSync(events.map(({ fields }) => `${JSON.stringify(fields)}\n`).join('')),
    )
    const { code, stdout } = await runCli(['send', path, '--to', receiver.url])
    assert.deepEqual({ code, ...summary(stdout) }, { code: 0, accepted: events.length, rejected: 0 })
    assert.equal(receiver.stored.size, new Set(events.map(({ fields }) => fields.event_id)).size)
    for (const { path, lines } of receiver.requests) {
      const member = path === '/stats/running' ? 'distance' : 'song_name'
      assert.ok(lines.every((line) => Object.hasOwn(JSON.parse(line), member)))
    }
  })

  test('takes several files and stdin', async () => {
    await using receiver = await startFakeReceiver()
    const [first, second, ...rest] = runs(5) as [string, string, ...string[]]
    const paths = [await file('first.ndjson', [first]), await file('second.ndjson', [second])]
    const { code, stdout } = await runCli(['send', ...paths, '-', '--to', receiver.url], rest.join('\n'))
    assert.deepEqual({ code, ...summary(stdout) }, { code: 0, accepted: 5, rejected: 0 })
    assert.equal(receiver.stored.size, 5)
  })

  test('tells the line and the reason of every rejected line, sends the others and exits with 1', async () => {
    await using receiver = await startFakeReceiver()
    const [good, other] = runs(2) as [string, string]
    const lines = [
      good,
      '',
      '{"distance": "far"}',
      'no json',
      JSON.stringify({ 'a\u001b[2Jb': 1, distance: 1 }),
      '{}',
      'x'.repeat(70_000),
      other,
    ]
    const path = await file('bad.ndjson', lines)
    const { code, stdout } = await runCli(['send', path, '--to', receiver.url])
    assert.deepEqual({ code, ...summary(stdout) }, { code: 1, accepted: 2, rejected: 5 })
    const rows = stdout.split('\n').filter((row) => row.startsWith(path))
    assert.deepEqual(
      rows.map((row) => row.slice(path.length).split(':')[1]),
      ['3', '4', '5', '6', '7'],
    )
    assert.match(rows[0] ?? '', /\/distance must be a number, not a string/)
    assert.match(rows[1] ?? '', /: is not valid JSON$/)
    assert.match(rows[2] ?? '', /\/a\\u001b\[2Jb is not a field of this event/)
    assert.match(rows[3] ?? '', /: has no field that tells its type/)
    assert.match(rows[4] ?? '', /: is longer than 65536 bytes$/)
  })

  test('tells the first 100 rejected lines and how many more there are', async () => {
    await using receiver = await startFakeReceiver()
    const path = await file('many.ndjson', [...runs(1), ...Array<string>(130).fill('{"distance":-1}')])
    const { code, stdout } = await runCli(['send', path, '--to', receiver.url])
    assert.deepEqual({ code, ...summary(stdout) }, { code: 1, accepted: 1, rejected: 130 })
    assert.equal(stdout.split('\n').filter((row) => row.startsWith(path)).length, 100)
    assert.match(stdout, /^and 30 more$/m)
  })

  test('finds the line of what only the Receiver rejects, and says what it did not list', async () => {
    const rejectSome: Mishap = (response) => {
      const errors = [
        { index: 1, pointer: '/distance', detail: 'is odd' },
        { index: 1, pointer: '/duration', detail: 'too' },
      ]
      send(response, { status: 207, body: { accepted: 1, rejected: 2, errors } })
    }
    await using receiver = await startFakeReceiver([rejectSome])
    const [a, b, c] = runs(3) as [string, string, string]
    const path = await file('odd.ndjson', [a, '', 'bad', b, c])
    const { code, stdout } = await runCli(['send', path, '--to', receiver.url])
    assert.deepEqual({ code, ...summary(stdout) }, { code: 1, accepted: 1, rejected: 3 })
    assert.ok(stdout.includes(`${path}:3: is not valid JSON`))
    assert.ok(stdout.includes(`${path}:4: /distance is odd; /duration too`))
    assert.ok(stdout.includes(`1 more in lines 1 to 5 of ${path} (running_stats): the Receiver did not list them`))
  })

  test('sends the key, and a key that is refused ends it with 2', async () => {
    const refuse: Mishap = (response) => send(response, { status: 403, body: { detail: 'the key only reads' } })
    await using receiver = await startFakeReceiver([undefined, refuse])
    const path = await file('key.ndjson', runs(2))
    const keyPath = await file('key', ['secret-in-a-file'])
    assert.equal((await runCli(['send', path, '--to', receiver.url, '--key', 'secret'])).code, 0)
    const { code, stderr } = await runCli(['send', path, '--to', receiver.url, '--key-file', keyPath])
    assert.equal(code, 2)
    assert.match(
      stderr,
      /^runify send: the Receiver at http:\/\/127\.0\.0\.1:\d+ refuses the events: it answered 403 \(the key only reads\): see --key; no line/,
    )
    assert.deepEqual(
      receiver.requests.map(({ authorization }) => authorization),
      ['Bearer secret', 'Bearer secret-in-a-file'],
    )
  })

  test('ends with 2 and one line, which names the address, when nobody is there', async () => {
    const receiver = await startFakeReceiver()
    await receiver[Symbol.asyncDispose]()
    const args = ['send', await file('runs.ndjson', runs(2)), '--to', receiver.url, '--retry-seconds', '0']
    const { code, stdout, stderr } = await runCli(args)
    assert.deepEqual({ code, ...summary(stdout) }, { code: 2, accepted: 0, rejected: 0 })
    const what = `runify send: the Receiver at ${receiver.url} cannot be reached or is unavailable: ECONNREFUSED; no line was`
    assert.ok(stderr.startsWith(what), stderr)
    assert.equal(stderr.indexOf('\n'), stderr.length - 1)
  })

  test('waits for a Receiver that is not there yet, as long as --retry-seconds says', async () => {
    const gone = await startFakeReceiver()
    await gone[Symbol.asyncDispose]()
    const { port } = new URL(gone.url)
    const path = await file('runs.ndjson', runs(2))
    const sending = startCli(['send', path, '--retry-seconds', '60'], { RUNIFY_RECEIVER_URL: gone.url })
    const note = `the Receiver at ${gone.url} is unavailable: ECONNREFUSED; trying again in 0.5 s\n`
    await sending.said(note)
    await using receiver = await startFakeReceiver([], Number(port))
    assert.deepEqual({ code: await sending.code, stored: receiver.stored.size }, { code: 0, stored: 2 })
  })

  test('sends nothing when one of the files is not there', async () => {
    await using receiver = await startFakeReceiver()
    const { code, stderr } = await runCli([
      'send',
      await file('runs.ndjson', runs(2)),
      '/no/such/file',
      '--to',
      receiver.url,
    ])
    assert.deepEqual({ code, requests: receiver.requests.length }, { code: 2, requests: 0 })
    assert.match(stderr, /^runify send: cannot read \/no\/such\/file: ENOENT.*\n$/)
  })

  test('says up to where it got in a file that breaks off', async () => {
    await using receiver = await startFakeReceiver()
    const path = await file('cut.ndjson.gz', gzipSync(`${runs(20).join('\n')}\n`).subarray(0, -8))
    const { code, stdout, stderr } = await runCli(['send', path, '--to', receiver.url, '--chunk', '8'])
    assert.deepEqual({ code, ...summary(stdout) }, { code: 2, accepted: 16, rejected: 0 })
    assert.match(stderr, /cannot read .* after line 20: unexpected end of file; acknowledged up to line 16 of /)
  })

  test('ends on Ctrl-C with what was acknowledged', async () => {
    await using receiver = await startFakeReceiver()
    const program = fileURLToPath(new URL('../runify.ts', import.meta.url))
    const args = [program, 'send', '-', '--to', receiver.url, '--chunk', '2']
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'inherit', 'pipe'] })
    const closed = once(child, 'close')
    child.stdin.write(`${runs(3).join('\n')}\n`)
    const deadline = AbortSignal.timeout(20_000)
    while (receiver.stored.size < 2) {
      deadline.throwIfAborted()
      await new Promise(setImmediate)
    }
    child.kill('SIGINT')
    let stderr = ''
    for await (const chunk of child.stderr) stderr += chunk
    assert.deepEqual(await closed, [2, null])
    assert.match(stderr, /^runify send: it was interrupted; acknowledged up to line 2 of stdin/)
  })

  for (const [args, message] of [
    [[], 'name a file to send, or - for stdin'],
    [['-', '--type', 'swim'], '--type must be running_stats or music_info, not "swim"'],
    [['-', '--chunk', '0'], '--chunk must be a whole number from 1 to 10000, not "0"'],
    [['-', '--to', 'ftp://x'], '--to must be an address like http://127.0.0.1:8080, not "ftp://x"'],
    [['-', '--to', 'http://me:you@x'], '--to cannot hold a user or password: use --key'],
    [['-', '--key', 'a b'], 'the key must be printable ASCII, without spaces'],
  ] as const) {
    test(`refuses ${args.join(' ') || 'no file'} in one line`, async () => {
      const { code, stdout, stderr } = await runCli(['send', ...args])
      assert.deepEqual({ code, stdout }, { code: 2, stdout: '' })
      assert.equal(stderr, `runify send: ${message}, see runify send --help\n`)
    })
  }
})

describe('a Receiver that is unavailable', () => {
  test('is sent the same chunk again until it is back', async () => {
    await using receiver = await startFakeReceiver([undefined, UNAVAILABLE])
    const path = await file('runs.ndjson', runs(6))
    const args = ['send', path, '--to', receiver.url, '--chunk', '3', '--concurrency', '1']
    const { code, stdout, stderr } = await runCli(args)
    assert.deepEqual({ code, ...summary(stdout) }, { code: 0, accepted: 6, rejected: 0 })
    const note = `the Receiver at ${receiver.url} is unavailable: it answered 503 (the log is unavailable); trying again in 0.5 s\n`
    assert.equal(stderr, note)
    const [, refused, again] = receiver.requests
    assert.equal(receiver.requests.length, 3)
    assert.deepEqual(again, refused)
  })

  test('stores nothing twice when its answer was lost', async () => {
    await using receiver = await startFakeReceiver([STORED_WITHOUT_ANSWER])
    const { code, stdout } = await runCli(['send', await file('runs.ndjson', runs(4)), '--to', receiver.url, '--quiet'])
    assert.deepEqual({ code, ...summary(stdout) }, { code: 0, accepted: 4, rejected: 0 })
    assert.deepEqual({ requests: receiver.requests.length, stored: receiver.stored.size }, { requests: 2, stored: 4 })
  })

  test('is sent just what is behind the lines that it took before it stopped, also without ids', async () => {
    const odd = { index: 2, pointer: '/distance', detail: 'is odd' }
    await using receiver = await startFakeReceiver([stoppingAfter(2, [odd]), stoppingAfter(0)])
    const lines = runs(8)
    const path = await file('runs.ndjson', lines)
    const { code, stdout } = await runCli(['send', path, '--to', receiver.url, '--no-event-ids'])
    assert.deepEqual({ code, ...summary(stdout) }, { code: 1, accepted: 7, rejected: 1 })
    assert.deepEqual(
      receiver.requests.map((request) => request.lines),
      [lines, lines.slice(3), lines.slice(3)],
    )
    assert.equal(receiver.stored.size, 7)
    assert.ok(stdout.includes(`${path}:3: /distance is odd`))
  })

  test('for too long ends it with 2 and the last line that was acknowledged', async () => {
    await using receiver = await startFakeReceiver([undefined, ...Array<Mishap>(20).fill(UNAVAILABLE)])
    const path = await file('runs.ndjson', runs(9))
    const args = ['send', path, '--to', receiver.url, '--chunk', '3', '--concurrency', '1', '--retry-seconds', '1']
    const { code, stdout, stderr } = await runCli(args)
    assert.deepEqual({ code, ...summary(stdout) }, { code: 2, accepted: 3, rejected: 0 })
    assert.equal(receiver.requests.length, 3)
    assert.ok(stderr.includes(`acknowledged up to line 3 of ${path}; what is sent again is not stored twice\n`), stderr)
  })
})

describe('event ids', () => {
  test('are the same when a file is sent twice, also with other line ends, so everything is stored once', async () => {
    await using receiver = await startFakeReceiver()
    const lines = runs(5)
    const path = await file('runs.ndjson', lines)
    const windows = await file('windows.ndjson', [`${lines.join('\r\n')}\r`])
    for (const sent of [path, path, windows]) assert.equal((await runCli(['send', sent, '--to', receiver.url])).code, 0)
    const [first, ...others] = receiver.requests.map(({ lines }) => lines)
    for (const other of others) assert.deepEqual(other, first)
    assert.deepEqual({ requests: receiver.requests.length, stored: receiver.stored.size }, { requests: 3, stored: 5 })
  })

  test('are one for equal lines', async () => {
    await using receiver = await startFakeReceiver()
    const path = await file('equal.ndjson', [...runs(1), ...runs(1)])
    assert.deepEqual(summary((await runCli(['send', path, '--to', receiver.url])).stdout), { accepted: 2, rejected: 0 })
    assert.equal(receiver.stored.size, 1)
  })

  test('are not added with --no-event-ids', async () => {
    await using receiver = await startFakeReceiver()
    const path = await file('equal.ndjson', [...runs(1), ...runs(1)])
    assert.equal((await runCli(['send', path, '--to', receiver.url, '--no-event-ids'])).code, 0)
    assert.deepEqual(receiver.requests[0]?.lines, [...runs(1), ...runs(1)])
    assert.equal(receiver.stored.size, 2)
  })

  test('are what makes it safe to send again: without them an unanswered chunk ends it with 2 and its lines', async () => {
    await using receiver = await startFakeReceiver([undefined, STORED_WITHOUT_ANSWER])
    const path = await file('runs.ndjson', runs(9))
    const { code, stdout, stderr } = await runCli([
      'send',
      path,
      '--to',
      receiver.url,
      '--chunk',
      '3',
      '--no-event-ids',
    ])
    assert.deepEqual({ code, ...summary(stdout) }, { code: 2, accepted: 3, rejected: 0 })
    assert.deepEqual({ requests: receiver.requests.length, stored: receiver.stored.size }, { requests: 2, stored: 6 })
    assert.ok(
      stderr.includes(`acknowledged up to line 3 of ${path}; lines 4 to 6 of ${path} (running_stats) may have`),
      stderr,
    )
  })
})
