import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { PORT_VARIABLES, SERVICES } from '../src/config.ts'
import { temporaryFolder, waitFor, within } from '../test-support/harness.ts'

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const CTRL_C = '\x03'
const START_MS_MAX = 60_000
const STOP_MS_MAX = 20_000

/** As in a terminal: `script` gives it one, and hands on what is typed. */
async function runInTerminal(dir: string, args: readonly string[] = []) {
  const ports = Object.fromEntries(SERVICES.map((service) => [PORT_VARIABLES[service], '0']))
  const env = { ...process.env, ...ports, RUNIFY_DATA_DIR: dir, SHELL: '/bin/sh' }
  // In the place of the shell: one that waits for what it started would end by Ctrl-C too, with a code of its own.
  const command = ['exec', process.execPath, MAIN, ...args].join(' ')
  const child = spawn('script', ['--quiet', '--flush', '--return', '--command', command, '/dev/null'], { env })
  const ended = once(child, 'close') as Promise<[number]>
  let received = ''
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    received += piece
  })
  // Whole, as a control sequence may come in two pieces.
  const shown = () => stripVTControlCharacters(received)
  try {
    await waitFor(async () => /Runify is ready: .*\r?\n/.test(shown()), START_MS_MAX)
    child.stdin.write(CTRL_C)
    const [code] = await within(STOP_MS_MAX, ended, 'stopping')
    return {
      code,
      lines: shown()
        .split(/[\r\n]+/)
        .filter((line) => line !== '' && line !== '^C'),
    }
  } finally {
    // With its terminal, what runs in it ends too.
    child.kill('SIGKILL')
  }
}

describe('Started in a terminal, Runify', () => {
  test('says in words where to look, and ends by Ctrl-C', async () => {
    await using folder = await temporaryFolder()
    const { code, lines } = await runInTerminal(folder.path)
    assert.equal(code, 0)
    const [line] = lines.filter((line) => line.includes('is ready'))
    assert.match(line as string, /^Runify is ready: http:\/\/localhost:\d+ \(Ctrl-C stops it\)$/)
    const listening = lines.filter((line) => line.includes('listening'))
    assert.equal(listening.length, SERVICES.length)
    for (const line of listening) assert.match(line, /^\[\d\d:\d\d:\d\d\] INFO: [a-z-]+: listening \{"address":"http:/)
    for (const line of lines) assert.doesNotMatch(line, /^\{/)
  })

  test('names each service where there is no dashboard', async () => {
    await using folder = await temporaryFolder()
    const { lines } = await runInTerminal(folder.path, ['receiver', 'storage'])
    const ready = /Runify is ready: http:\/\/localhost:\d+ http:\/\/localhost:\d+ \(/
    assert.equal(lines.filter((line) => ready.test(line)).length, 1)
  })
})
