import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runCli } from './testing/run-cli.fixture.ts'

test('runify --help lists every command, and each command has its own help', async () => {
  const { code, stdout } = await runCli(['--help'])
  assert.equal(code, 0)
  for (const name of ['send', 'generate', 'dead-letters', 'audit', 'rebuild', 'backup', 'restore']) {
    assert.match(stdout, new RegExp(`^ {2}${name} `, 'm'))
    const help = await runCli([name, '--help'])
    assert.equal(help.code, 0)
    assert.ok(help.stdout.includes(`usage: runify ${name}`))
  }
})

test('runify --version is the version of the package', async () => {
  assert.match((await runCli(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/)
})

test('runify without a command, or with one that is not there, exits with 2', async () => {
  assert.equal((await runCli([])).code, 2)
  for (const name of ['fly', 'toString', '--fly']) {
    const { code, stdout, stderr } = await runCli([name])
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' })
    assert.equal(stderr, `runify: there is no command "${name}", see runify --help\n`)
  }
})
