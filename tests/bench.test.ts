import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readBenchOptions, SECTION_NAMES } from '../bench/bench-options.ts'
import { atLeast, atMost, isReached, type Results, type Row, type SectionResult } from '../bench/report/results.ts'
import { renderChart } from '../bench/report/results-chart.ts'
import { BENCH_FOLDER, keepResult, renderAll } from '../bench/report/results-file.ts'
import { renderTable } from '../bench/report/results-page.ts'
import { UsageError } from '../src/cli/command.ts'
import { temporaryFolder } from '../test-support/harness.ts'

const HOSTILE = [
  '</text><script>alert(1)</script>',
  'a & b " \' > <',
  '&amp;amp;',
  ']]>',
  'bell \u0007, half \ud800 a pair',
  `${'long '.repeat(60)}𝄞`,
  'a | b `c` *d* [e](f)\n| g',
]

describe('What the benchmarks wrote', () => {
  test('follows from the results that are kept with it', async () => {
    const results = JSON.parse(await readFile(`${BENCH_FOLDER}results.json`, 'utf8')) as Results
    for (const [name, content] of renderAll(results)) {
      assert.equal(await readFile(`${BENCH_FOLDER}${name}`, 'utf8'), content, name)
    }
  })

  test('takes the place of the same section of the same system, and of nothing else', async () => {
    await using folder = await temporaryFolder()
    const at = folder.path
    keepResult(at, { on: 'servers', section: 'single', result: resultOf({ name: 'first', value: 1, unit: 'ms' }) })
    keepResult(at, { on: 'embedded', section: 'memory', result: resultOf({ name: 'other', value: 2, unit: 'MiB' }) })
    keepResult(at, { on: 'embedded', section: 'single', result: resultOf({ name: 'third', value: 3, unit: 'ms' }) })
    keepResult(at, { on: 'servers', section: 'single', result: resultOf({ name: 'again', value: 4, unit: 'ms' }) })
    const kept = JSON.parse(await readFile(`${at}/results.json`, 'utf8')) as Results
    const names = Object.entries(kept).map(([system, sections]) => [
      system,
      ...Object.entries(sections).map(([section, { rows }]) => `${section}: ${rows[0]?.name}`),
    ])
    assert.deepEqual(names, [
      ['embedded', 'single: third', 'memory: other'],
      ['servers', 'single: again'],
    ])
    for (const [name, content] of renderAll(kept)) assert.equal(await readFile(`${at}/${name}`, 'utf8'), content)
  })

  test('is XML whatever names come from the command line', () => {
    const rows = HOSTILE.map((name) => ({ name, value: 12.5, unit: name, ratio: 0.5, target: atLeast(0.9, 'limit') }))
    const svg = renderChart(HOSTILE.join(), { [HOSTILE[0] as string]: resultOf(...rows) })
    assertWellFormed(svg)
    assert.ok(!svg.includes('<script'))
    assert.ok(svg.includes('&lt;/text&gt;&lt;script&gt;alert(1)&lt;/script&gt;'))
    assert.ok(svg.includes('&amp;amp;amp;'))
    assertWellFormed(renderChart('nothing', { empty: resultOf() }))
  })

  test('is a table whatever names come from the command line', () => {
    const table = renderTable(HOSTILE.map((name) => ({ name, value: 1, unit: 'ms' })))
    const lines = table.split('\n')
    assert.equal(lines.length, 2 + HOSTILE.length)
    for (const line of lines) assert.equal(line.match(/(?<!\\)\|/g)?.length, 6, line)
    assert.ok(!table.includes('<'))
  })

  test('says whether a figure is what it should be', () => {
    const row = { name: 'a', value: 10, unit: 'ms', ratio: 0.5 }
    assert.equal(isReached(row), undefined)
    assert.equal(isReached({ ...row, target: atMost(10) }), true)
    assert.equal(isReached({ ...row, target: atMost(9) }), false)
    assert.equal(isReached({ ...row, target: atLeast(11) }), false)
    assert.equal(isReached({ ...row, target: atLeast(0.5, 'limit') }), true)
    assert.equal(isReached({ ...row, target: atLeast(0.51, 'limit') }), false)
  })
})

describe('The command line of the benchmarks', () => {
  test('is all sections of the embedded system where nothing is said', () => {
    const { on, events, seconds, connections, sections, peers } = readBenchOptions([]) ?? assert.fail()
    assert.deepEqual([on, events, seconds, connections, peers], ['embedded', 1_000_000, 3, 64, []])
    assert.deepEqual(sections, SECTION_NAMES)
  })

  test('names sections in any order, which run in theirs', () => {
    const args = [
      '--on',
      'servers',
      'memory',
      '--events',
      '10000000',
      'single',
      'memory',
      '--peer',
      'a b=http://[::1]:1/x?y=z',
    ]
    const options = readBenchOptions(args) ?? assert.fail()
    assert.deepEqual(options.sections, ['single', 'memory'])
    assert.deepEqual([options.on, options.events], ['servers', 10_000_000])
    assert.deepEqual(options.peers, [{ name: 'a b', url: 'http://[::1]:1/x?y=z' }])
  })

  test('is refused where it is wrong', () => {
    const wrong = [
      ['soak'],
      ['--on', 'kafka'],
      ['--events', '999'],
      ['--events', '10000001'],
      ['--events', '1e6'],
      ['--seconds', '0'],
      ['--connections', '-1'],
      ['--peer', 'http://localhost:1'],
      ['--peer', '=http://localhost:1'],
      ['--peer', 'a=ftp://localhost:1'],
      ['--peer', 'a=http://b', '--peer', 'a=http://c'],
      ['--peer', 'a=http://b', 'memory'],
      ['--fast'],
    ]
    for (const args of wrong) assert.throws(() => readBenchOptions(args), UsageError, args.join(' '))
  })

  test('ends with 2 and one line when it is wrong, and with 0 for help', async () => {
    const wrong = await bench('--events', '5')
    assert.deepEqual([wrong.code, wrong.stdout], [2, ''])
    assert.match(wrong.stderr, /^bench: --events must be a whole number from 1000 to 10000000, not "5", see [^\n]+\n$/)
    const help = await bench('--help')
    assert.deepEqual([help.code, help.stderr], [0, ''])
    for (const name of SECTION_NAMES) assert.match(help.stdout, new RegExp(`^  ${name} `, 'm'))
  })
})

function resultOf(...rows: Row[]): SectionResult {
  const kept = { about: 'about', date: '2025-01-01 12:00', machine: 'machine', versions: { Node: '26' } }
  return { ...kept, options: { events: 1000 }, rows }
}

/** Tags that are closed in their order, and text without anything that XML would take for markup. */
function assertWellFormed(xml: string): void {
  const open: string[] = []
  const tokens = xml.match(/<\/?[a-z]+(?: [a-zA-Z]+="[^"<&]*")*\/?>|[^<>&]+|&(?:amp|lt|gt|quot);/g) ?? []
  assert.equal(tokens.join(''), xml)
  for (const token of tokens) {
    const [, end, name = '', single] = /^<(\/?)([a-z]+).*?(\/?)>$/.exec(token) ?? []
    if (name === '' || single === '/') continue
    if (end === '/') assert.equal(open.pop(), name)
    else open.push(name)
  }
  assert.deepEqual(open, [])
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML cannot have.
  assert.doesNotMatch(xml, /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/)
  assert.ok(xml.isWellFormed())
}

function bench(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const file = fileURLToPath(new URL('../bench/run.ts', import.meta.url))
  return new Promise((resolve) => {
    execFile(process.execPath, [file, ...args], (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), stdout, stderr })
    })
  })
}
