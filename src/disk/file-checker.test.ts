import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { temporaryFolder, waitFor } from '../../test-support/harness.ts'
import { type Checked, keepChecking } from './file-checker.ts'

describe('The check of the data files', () => {
  test('runs in a process that Ctrl-C does not reach', async () => {
    await using folder = await temporaryFolder()
    const path = join(folder.path, 'some.db')
    new DatabaseSync(path).exec('CREATE TABLE some (id INTEGER)')
    const before = childrenOf(process.pid)
    const checked: Checked[] = []
    await using _checking = keepChecking({
      ...{ paths: [path], periodMs: 1 },
      told: (one) => void checked.push(one),
      failed: (error) => assert.fail(error as Error),
    })
    let checker: number | undefined
    await waitFor(async () => {
      checker ??= childrenOf(process.pid).find((pid) => !before.includes(pid))
      return checker !== undefined
    })
    assert.notEqual(processGroupOf(checker as number), processGroupOf(process.pid))
    await waitFor(async () => checked.length > 0)
    assert.equal(checked[0]?.damage, undefined)
  })
})

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  )
}

function processGroupOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2])
}
