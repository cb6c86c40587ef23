import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempDisposable, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { runCli } from '../testing/run-cli.fixture.ts'

const SMALL = ['generate', '--users', '4', '--days', '20', '--seed', '11']

describe('runify generate', () => {
  test('writes the same bytes for the same seed, to stdout, a file and a gzip file', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-generate-'))
    const plain = join(folder.path, 'events.ndjson')
    const packed = join(folder.path, 'events.ndjson.gz')
    const { code, stdout, stderr } = await runCli(SMALL)
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
    assert.ok(stdout.endsWith('}\n') && stdout.split('\n').length > 50)
    assert.equal((await runCli([...SMALL, '--out', plain])).stdout, '')
    assert.equal((await runCli([...SMALL, '--out', packed])).code, 0)
    assert.equal(await readFile(plain, 'utf8'), stdout)
    assert.equal(gunzipSync(await readFile(packed)).toString(), stdout)
  })

  test('leaves out the other type, and nothing else', async () => {
    const all = (await runCli(SMALL)).stdout.trimEnd().split('\n')
    const runs = (await runCli([...SMALL, '--type', 'running_stats'])).stdout.trimEnd().split('\n')
    const plays = (await runCli([...SMALL, '--type', 'music_info'])).stdout.trimEnd().split('\n')
    assert.deepEqual(
      runs,
      all.filter((line) => line.includes('"distance"')),
    )
    assert.deepEqual(
      plays,
      all.filter((line) => line.includes('"song_name"')),
    )
  })

  test('ends well when its reader has enough', async () => {
    const program = fileURLToPath(new URL('../runify.ts', import.meta.url))
    const child = spawn(process.execPath, [program, 'generate', '--users', '1000'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    child.stdout.destroy()
    const [code] = await once(child, 'exit')
    assert.equal(code, 0)
  })

  for (const [args, message] of [
    [['--users', '0'], '--users must be a whole number from 1 to 1000000, not "0"'],
    [['--days', '1.5'], '--days must be a whole number from 1 to 36525, not "1.5"'],
    [['--seed', 'x'], '--seed must be a whole number from 0 to 4294967295, not "x"'],
    [['--until', '2024-02-30'], '--until must be a day like 2024-12-31, not "2024-02-30"'],
    [['--type', 'swim'], '--type must be running_stats or music_info, not "swim"'],
    [['--days', '10', '--until', '1970-01-05'], '--days 10 until 1970-01-05 begin before 1970'],
    [['--user', '3'], "Unknown option '--user'"],
    [['file'], '"file" is not an option'],
  ] as const) {
    test(`refuses ${args.join(' ')} in one line`, async () => {
      const { code, stdout, stderr } = await runCli(['generate', ...args])
      assert.deepEqual({ code, stdout }, { code: 2, stdout: '' })
      assert.equal(stderr, `runify generate: ${message}, see runify generate --help\n`)
    })
  }

  test('says in one line that it cannot write', async () => {
    const { code, stderr } = await runCli([...SMALL, '--out', '/no/such/folder/events.ndjson'])
    assert.equal(code, 2)
    assert.match(stderr, /^runify generate: cannot write \/no\/such\/folder\/events\.ndjson: ENOENT.*\n$/)
  })
})
