import assert from 'node:assert/strict'
import { closeSync, fstatSync, openSync, readdirSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { runCli } from '../../src/cli/testing/run-cli.fixture.ts'
import { makeMany } from '../../test-support/events.ts'
import { getJson, post, runToExit, settled, spawnRunify, temporaryFolder, waitFor } from '../../test-support/harness.ts'

/** Files of the data folder that are not what they were. */

const RUNS = 2000

/** What was done to a file while nothing had it open. */
const DAMAGES = {
  'a garbled header': (path: string) => overwrite(path, 0, 100),
  'pages in the middle overwritten': (path: string) => overwrite(path, 8192, sizeOf(path) - 8192),
  'cut off in the middle': (path: string) => truncateSync(path, Math.floor(sizeOf(path) / 2)),
} as const

describe('At the start', () => {
  for (const [damage, inflict] of Object.entries(DAMAGES)) {
    test(`store.db with ${damage} ends it with one line, and is filled anew by command`, async () => {
      await using folder = await filledFolder()
      inflict(join(folder.path, 'store.db'))
      const { code, stderr } = await runToExit({ dir: folder.path })
      assert.equal(code, 1)
      assert.match(stderr, /^runify: \S+store\.db is damaged \(.+\): .*npx runify rebuild store\n$/)
      const rebuilt = await runCli(['rebuild', 'store'], '', { RUNIFY_DATA_DIR: folder.path })
      assert.equal(rebuilt.code, 0, rebuilt.stderr)
      assert.match(rebuilt.stderr, /store\.db is damaged .* is now \S+store\.db\.damaged-\d{8}T\d{6}Z/)
      await using runify = await spawnRunify({ dir: folder.path })
      await settled(runify)
      assert.equal((await getJson(`${runify.addresses.storage}/stats`)).num_running_stats, RUNS)
    })
  }

  for (const [damage, inflict] of Object.entries(DAMAGES)) {
    test(`log.db with ${damage} ends it with one line, and stays where it is`, async () => {
      await using folder = await filledFolder()
      inflict(join(folder.path, 'log.db'))
      const { code, stderr } = await runToExit({ dir: folder.path })
      assert.equal(code, 1)
      assert.match(stderr, /^runify: \S+log\.db is damaged \(.+\): .*backup.*\n$/)
      assert.ok(!readdirSync(folder.path).some((name) => name.startsWith('log.db.damaged')))
    })
  }

  for (const [name, service, damage] of [
    ['statistics.db', 'processing', 'cut off in the middle'],
    ['statistics.db', 'processing', 'pages in the middle overwritten'],
    ['anomalies.db', 'anomaly-detector', 'a garbled header'],
  ] as const) {
    test(`${name} with ${damage} is set aside and made anew`, async () => {
      await using folder = await filledFolder()
      DAMAGES[damage](join(folder.path, name))
      await using runify = await spawnRunify({ dir: folder.path })
      await settled(runify)
      assert.equal((await getJson(`${runify.addresses.processing}/stats`)).num_running_stats, RUNS)
      const metrics = await (await fetch(`${runify.addresses[service]}/metrics`)).text()
      assert.match(metrics, new RegExp(`^runify_files_set_aside_total\\{file="${name}",.*\\} 1$`, 'm'))
      assert.ok(readdirSync(folder.path).some((entry) => new RegExp(`^${name}\\.damaged-\\d{8}T\\d{6}Z$`).test(entry)))
    })
  }

  for (const [name, remedy] of [
    ['log.db', 'backup'],
    ['store.db', 'rebuild store'],
  ] as const) {
    test(`${name} of no bytes is not taken for a new one`, async () => {
      await using folder = await filledFolder()
      truncateSync(join(folder.path, name), 0)
      const { code, stderr } = await runToExit({ dir: folder.path })
      assert.equal(code, 1)
      assert.match(stderr, new RegExp(`^runify: \\S+${name} is damaged \\(it is empty, .+${remedy}.*\\n$`))
      assert.equal(sizeOf(join(folder.path, name)), 0)
    })
  }

  test('files of no bytes are no damage where none has anything: the first start was killed', async () => {
    await using folder = await temporaryFolder()
    for (const name of ['log.db', 'store.db']) closeSync(openSync(join(folder.path, name), 'w'))
    await using runify = await spawnRunify({ dir: folder.path })
    assert.equal((await fetch(`${runify.addresses.storage}/health/ready`)).status, 200)
  })
})

describe('While it runs', () => {
  test('a log.db with pages overwritten takes nothing, and every service that has it says which file it is', async () => {
    await using folder = await filledFolder()
    await using runify = await spawnRunify({ dir: folder.path })
    DAMAGES['pages in the middle overwritten'](join(folder.path, 'log.db'))
    const { status, body } = await post(`${runify.addresses.receiver}/stats/running`, makeMany('running', 1).events)
    assert.deepEqual([status, body.code], [503, 'log_unavailable'])
    assert.match(body.detail as string, /log\.db is damaged \(.+\): .*backup/)
    for (const service of ['receiver', 'analyzer'] as const) {
      const { detail } = await waitFor(async () => {
        const response = await fetch(`${runify.addresses[service]}/health/ready`)
        return response.status === 503 && ((await response.json()) as { detail: string })
      })
      assert.match(detail, /log\.db is damaged/, service)
    }
  })
})

async function filledFolder() {
  const folder = await temporaryFolder()
  await using runify = await spawnRunify({ dir: folder.path })
  const { status } = await post(`${runify.addresses.receiver}/stats/running`, makeMany('running', RUNS).events)
  assert.equal(status, 201)
  await settled(runify)
  await waitFor(async () => (await getJson(`${runify.addresses['anomaly-detector']}/stats`)) !== undefined)
  assert.deepEqual(await runify.kill('SIGTERM'), { code: 0, signal: null })
  for (const name of readdirSync(folder.path)) assert.ok(!name.endsWith('-wal'), `all of it is in the files: ${name}`)
  return folder
}

function overwrite(path: string, from: number, bytes: number): void {
  const fd = openSync(path, 'r+')
  try {
    writeSync(fd, Buffer.alloc(bytes, 0xa5), 0, bytes, from)
  } finally {
    closeSync(fd)
  }
}

function sizeOf(path: string): number {
  const fd = openSync(path, 'r')
  try {
    return fstatSync(fd).size
  } finally {
    closeSync(fd)
  }
}
