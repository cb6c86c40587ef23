import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { letterOf, listen, openEmbedded, writeLetters } from '../../services/analyzer/testing/analyzer.fixture.ts'
import { append, openFlow, openSqliteDatabase } from '../../services/analyzer/testing/audit.fixture.ts'
import { newRun } from '../../store/testing/event-store.probe.ts'
import { runCli } from '../testing/run-cli.fixture.ts'

type Line = Record<string, unknown>

describe('runify dead-letters', () => {
  test('lists letters, chosen by options, a line each', async () => {
    await using opened = await openEmbedded(1)
    await using analyzer = await listen(opened.log)
    const address = ['--analyzer', analyzer.address]
    assert.deepEqual(await runCli(['dead-letters', 'list', ...address]), { code: 0, stdout: '', stderr: '' })
    const { user_id } = newRun().fields
    const letters = Array.from({ length: 250 }, (_, n) =>
      letterOf(n, n % 2 === 0 ? { reason: 'conflict' } : { event: newRun({ user_id }) }),
    )
    await writeLetters(opened.log, ...letters)
    const offsets = async (...args: string[]) => {
      const { code, stdout } = await runCli(['dead-letters', 'list', ...address, ...args])
      assert.equal(code, 0)
      return linesOf(stdout).map(({ offset }) => offset as number)
    }
    assert.deepEqual(await offsets('--limit', '250'), letters.map(({ offset }) => offset).reverse())
    assert.deepEqual(await offsets('--limit', '3', '--reason', 'conflict'), [248, 246, 244])
    assert.deepEqual((await offsets('--user', user_id)).length, 100)
    assert.deepEqual(await offsets('--to', '2001-01-01T00:00:00Z'), [])
  })

  test('redrives what is chosen, to the end, and says what became of each', async () => {
    await using opened = await openEmbedded(1)
    await using analyzer = await listen(opened.log)
    const redrive = (...args: string[]) =>
      runCli(['dead-letters', 'redrive', ...args], '', { RUNIFY_ANALYZER_URL: analyzer.address })
    await writeLetters(opened.log, ...Array.from({ length: 7 }, (_, n) => letterOf(n)))
    const dry = await redrive('--all', '--dry-run')
    assert.deepEqual([dry.code, dry.stderr], [0, 'would_redrive      7\n'])
    const one = linesOf(dry.stdout)[4]?.id as string
    const named = await redrive(one, 'nobody')
    assert.deepEqual([named.code, linesOf(named.stdout).map(({ outcome }) => outcome)], [1, ['redriven', 'not_found']])
    const rest = await redrive('--reason', 'unstorable', '--limit', '2')
    assert.deepEqual([rest.code, rest.stderr, linesOf(rest.stdout).length], [0, 'redriven           6\n', 6])
    assert.deepEqual(await redrive('--all'), { code: 0, stdout: '', stderr: 'there are no such letters\n' })
    const [range] = await opened.log.partitions('runify.running_stats')
    assert.equal(range?.next, 7)
  })

  test('dismisses what is chosen, which is left alone from then on', async () => {
    await using opened = await openEmbedded(1)
    await using analyzer = await listen(opened.log)
    const run = (...args: string[]) => runCli(['dead-letters', ...args], '', { RUNIFY_ANALYZER_URL: analyzer.address })
    await writeLetters(
      opened.log,
      ...Array.from({ length: 5 }, (_, n) => letterOf(n, n < 3 ? { reason: 'conflict' } : {})),
    )
    const some = await run('dismiss', '--reason', 'conflict', '--limit', '2')
    assert.deepEqual([some.code, some.stderr, linesOf(some.stdout).length], [0, 'dismissed          3\n', 3])
    const [{ id } = {}] = linesOf(some.stdout)
    const again = await run('dismiss', id as string, 'nobody')
    assert.deepEqual(
      linesOf(again.stdout).map(({ outcome }) => outcome),
      ['already_dismissed', 'not_found'],
    )
    assert.equal(again.code, 1)
    assert.equal((await run('redrive', '--all')).stderr, 'redriven           2\n')
  })

  test('says what is wrong with a command line, and who does not answer', async () => {
    for (const [args, wrong] of [
      [['eat'], 'say what to do: list or redrive or dismiss'],
      [['list', '0-0'], 'list takes no ids'],
      [['redrive'], 'name ids, choose letters by options, or say --all'],
      [['redrive', '--all', '--force'], '--force is for ids'],
      [['dismiss', '0-0', '--force'], '--force is for redrive'],
      [
        ['list', '--reason', 'weather'],
        '--reason must be undecodable or conflict or unstorable or unjudged or uncounted, not "weather"',
      ],
      [['list', '--from', 'today'], '--from must be an RFC 3339 date-time with a zone'],
    ] as const) {
      const { code, stderr } = await runCli(['dead-letters', ...args])
      assert.deepEqual([code, stderr.startsWith(`runify dead-letters: ${wrong}`)], [2, true], stderr)
    }
    const { code, stderr } = await runCli(['dead-letters', 'list', '--analyzer', 'http://127.0.0.1:1'])
    assert.equal(code, 2)
    assert.match(stderr, /^runify dead-letters: http:\S+ does not answer: .+\n$/)
  })
})

test('runify audit ends with 1 when something differs, and says what', async () => {
  await using flow = await openFlow(await openEmbedded(1), await openSqliteDatabase(), { byHttp: false })
  const run = (...args: string[]) => runCli(['audit', '--analyzer', flow.address, ...args])
  const events = Array.from({ length: 5 }, () => ({ ...newRun(), date_created: Date.now() }))
  await append(flow.log, events)
  await flow.settle()
  const equal = await run()
  assert.deepEqual([equal.code, equal.stderr], [0, ''])
  assert.match(
    equal.stdout,
    /^type +hour +accepted +stored .*\nrunning_stats +\S+Z +5 +5 +5 +0 +0 +0 +equal\nnothing differs\n$/,
  )
  await flow.sql('UPDATE running_stats SET distance = 1 WHERE log_offset = 3')
  const differs = await run()
  assert.equal(differs.code, 1)
  assert.match(differs.stdout, new RegExp(`changed +running_stats ${events[3]?.trace_id} at 0:3: .* distance`))
  assert.equal((JSON.parse((await run('--json')).stdout) as Line).equal, false)
  const long = await run('--from', '2001-01-01T00:00:00Z')
  assert.deepEqual([long.code, /answered 400 \(to must be at most/.test(long.stderr)], [2, true])
})

function linesOf(stdout: string): Line[] {
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line)
}
