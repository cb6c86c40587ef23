import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { cp, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { type ArchiveEntry, readAll, readArchive, writeArchive } from '../src/backup/archive.ts'
import type { Manifest } from '../src/backup/manifest.ts'
import { type CliRun, runCli } from '../src/cli/testing/run-cli.fixture.ts'
import { lockFolder } from '../src/log/folder-lock.ts'
import { makeMany } from '../test-support/events.ts'
import {
  getJson,
  getList,
  type Json,
  post,
  type Runify,
  settled,
  spawnRunify,
  startInProcess,
  temporaryFolder,
  waitFor,
} from '../test-support/harness.ts'
import { checkAllThere, SteadyLoad } from '../test-support/steady-load.ts'

/** `runify backup` and `runify restore` on the embedded log and store. */

const SETTLED_MS_MAX = 60_000
const FILES = ['anomalies.db', 'log.db', 'statistics.db', 'store.db']
const PROGRAM = fileURLToPath(new URL('../src/cli/runify.ts', import.meta.url))
const KILLING = fileURLToPath(new URL('./faults/kill-at-call.fixture.ts', import.meta.url))

describe('runify backup and restore', () => {
  test('keep what was acknowledged: a backup under load, put back beside the log that went on, and on an empty folder', async () => {
    await using folder = await temporaryFolder()
    await using elsewhere = await temporaryFolder()
    const [dir, file] = [join(folder.path, 'data'), join(folder.path, 'it.backup')]
    let expected: object | undefined
    let atBackup: Json[] = []
    let all: Json[] = []
    {
      await using runify = await spawnRunify({ dir })
      const load = new SteadyLoad(runify.addresses.receiver)
      await waitFor(async () => load.acknowledged.length >= 200)
      atBackup = [...load.acknowledged]
      const { code, stdout, stderr } = await backup(dir, '--out', file)
      assert.deepEqual([code, stdout], [0, ''], stderr)
      const sentMeanwhile = load.acknowledged.length - atBackup.length
      assert.ok(sentMeanwhile > 0, 'it was taken while events were being sent')
      await waitFor(async () => load.acknowledged.length > atBackup.length + sentMeanwhile)
      await load.stop()
      all = load.acknowledged
      expected = await whatIsKnown(runify)
      await runify.kill('SIGTERM')
    }
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    assert.deepEqual((await readdir(folder.path)).sort(), ['data', 'it.backup'], 'nothing is left beside it')

    const store = new DatabaseSync(join(dir, 'store.db'))
    store.exec('DELETE FROM running_stats; DELETE FROM stored_cursors')
    store.close()
    const restored = await restore(dir, file)
    assert.deepEqual([restored.code, restored.stderr], [0, ''])
    assert.match(
      restored.stdout,
      /^restored {3}the backup of \S+Z, beside the log that was here\nbehind {5}[1-9]\d* records/,
    )
    assert.match(restored.stdout, /\naudited {4}\d+ accepted, \d+ stored, [1-9]\d* pending: nothing differs\n/)
    await withRunify(dir, async (runify) => {
      assert.deepEqual(await whatIsKnown(runify), expected)
      await checkAllThere(runify.addresses, all)
    })

    const fresh = await restore(elsewhere.path, file)
    assert.deepEqual([fresh.code, fresh.stderr], [0, ''])
    for (const name of FILES) assert.equal((await stat(join(elsewhere.path, name))).mode & 0o077, 0, name)
    await withRunify(elsewhere.path, async (runify) => {
      await allRead(runify)
      await checkAllThere(runify.addresses, atBackup)
    })
  })

  test('write to stdout and into a folder, and read from stdin', async () => {
    await using folder = await temporaryFolder()
    const [dir, other, backups] = ['data', 'other', 'backups'].map((name) => join(folder.path, name)) as [
      string,
      string,
      string,
    ]
    await mkdir(backups)
    await fill(dir, 50)
    const { code, stderr } = await runCli(['restore', '-'], await bytesOfBackup(dir), { RUNIFY_DATA_DIR: other })
    assert.deepEqual([code, stderr], [0, ''])
    assert.deepEqual(contentOf(other), contentOf(dir))
    assert.equal((await backup(dir, '--out', backups)).code, 0)
    const [name, ...more] = await readdir(backups)
    assert.deepEqual(more, [])
    assert.match(name as string, /^runify-\d{8}T\d{6}Z\.backup$/, 'its time')
  })

  test('leave a folder alone that somebody uses, or where there is nothing', async () => {
    await using folder = await temporaryFolder()
    const [dir, file] = [join(folder.path, 'data'), join(folder.path, 'it.backup')]
    const nothing = await backup(dir, '--out', file)
    assert.deepEqual([nothing.code, nothing.stderr], [2, `runify backup: there is nothing in ${dir}\n`])
    await fill(dir, 20)
    assert.equal((await backup(dir, '--out', file)).code, 0)
    await using _ = await spawnRunify({ dir })
    const { code, stdout, stderr } = await restore(dir, file)
    assert.deepEqual([code, stdout], [2, ''])
    assert.equal(
      stderr,
      `runify restore: RUNIFY_DATA_DIR: another process uses ${dir}; one folder is for one process\n`,
    )
  })

  test('refuse a backup that is damaged, no backup, of other kinds, or of a newer Runify, and change nothing', async () => {
    await using folder = await temporaryFolder()
    const [dir, file] = [join(folder.path, 'data'), join(folder.path, 'it.backup')]
    await fill(dir, 200)
    assert.equal((await backup(dir, '--out', file)).code, 0)
    const before = contentOf(dir)
    const bytes = await readFile(file)
    const tar = zstdDecompressSync(bytes)
    const cases: Record<string, [RegExp, () => Promise<void>]> = {
      'is cut off': [/the backup is damaged: /, () => truncate(file, bytes.length - 100)],
      'is cut off at an entry': [
        /its end is missing|truncated/,
        async () => writeFile(file, zstdCompressSync(tar.subarray(0, -2048))),
      ],
      'has a byte changed': [/the backup is damaged: /, () => writeFile(file, flipped(bytes, bytes.length >> 1))],
      'has a byte changed, compressed well': [
        /the backup is damaged: its checksum is another/,
        async () => writeFile(file, zstdCompressSync(flipped(tar, tar.lastIndexOf('runify.running_stats')))),
      ],
      'is something else': [/the backup is damaged: |not a backup/, () => writeFile(file, 'hello')],
      'is empty': [/the backup is damaged: |not a backup/, () => writeFile(file, '')],
      'is newer': [
        /the backup is of a newer Runify \(.*it has 999_wings\): restore it with that version/,
        () =>
          rewrite(file, ({ migrations, ...manifest }) => ({
            ...manifest,
            migrations: { ...migrations, event_migrations: ['999_wings'] },
          })),
      ],
      'was made on MySQL': [
        /the backup was made with RUNIFY_STORE mysql, and it is embedded here/,
        () => rewrite(file, (manifest) => ({ ...manifest, store: 'mysql' })),
      ],
      'is further than its log': [
        /the backup has runify.running_stats:0 up to 201, and the log ends at 200: it belongs to another log/,
        () =>
          rewrite(file, ({ positions, ...manifest }) => ({
            ...manifest,
            positions: { ...positions, stored: 'runify.running_stats:0:201' },
          })),
      ],
    }
    for (const [what, [why, damage]] of Object.entries(cases)) {
      await writeFile(file, bytes)
      await damage()
      const piped = () => readFile(file).then((input) => runCli(['restore', '-'], input, { RUNIFY_DATA_DIR: dir }))
      // A stream is not read twice, so what is wrong with it shows later.
      for (const run of [
        () => restore(dir, file),
        ...(what.startsWith('is cut') || what.startsWith('has') ? [piped] : []),
      ]) {
        const { code, stdout, stderr } = await run()
        assert.deepEqual([code, stdout], [2, ''], what)
        assert.match(stderr, /^runify restore: [^\n]+\n$/, what)
        assert.match(stderr, why, what)
        assert.deepEqual(contentOf(dir), before, what)
        assert.deepEqual(
          (await readdir(dir)).filter((name) => name.startsWith('restore')),
          [],
          what,
        )
      }
    }
  })

  test('give up no event for a backup of another log unless they are told to', async () => {
    await using folder = await temporaryFolder()
    const [dir, other, file] = ['data', 'other', 'it.backup'].map((name) => join(folder.path, name)) as [
      string,
      string,
      string,
    ]
    await fill(dir, 30)
    await fill(other, 30)
    const before = contentOf(dir)
    assert.equal((await backup(other, '--out', file)).code, 0)
    const { code, stderr } = await restore(dir, file)
    assert.equal(code, 2)
    assert.match(stderr, /has another log than the backup: --replace-log puts that of the backup in its place/)
    assert.deepEqual(contentOf(dir), before)
    assert.equal((await restore(dir, file, '--replace-log')).code, 0)
    assert.deepEqual(contentOf(dir), contentOf(other))
  })

  test('exit with 1 and say what differs when the audit finds something', async () => {
    await using folder = await temporaryFolder()
    const [dir, file] = [join(folder.path, 'data'), join(folder.path, 'it.backup')]
    await fill(dir, 30)
    const store = new DatabaseSync(join(dir, 'store.db'))
    store.exec('DELETE FROM running_stats WHERE log_offset = 3')
    store.close()
    assert.equal((await backup(dir, '--out', file)).code, 0)
    const { code, stdout } = await restore(dir, file)
    assert.equal(code, 1)
    assert.match(stdout, /\naudited {4}30 accepted, 29 stored, 0 pending: 2 differences\n/)
    assert.match(
      stdout,
      /\n {2}missing running_stats \S+ at 0:3: it is in the log, and neither stored nor a dead letter\n/,
    )
  })

  test('leave all that was there or put all of the backup there, wherever they are killed', async (t) => {
    await using folder = await temporaryFolder()
    const [older, newer, dir, file] = ['older', 'newer', 'dir', 'it.backup'].map((name) => join(folder.path, name)) as [
      string,
      string,
      string,
      string,
    ]
    await fill(older, 40)
    assert.equal((await backup(older, '--out', file)).code, 0)
    await cp(older, newer, { recursive: true })
    await fill(newer, 60)
    const [old, fresh] = [contentOf(newer), contentOf(older)]
    assert.notDeepEqual(old, fresh)
    const seen = { old: 0, fresh: 0 }
    let at = 1
    for (let killed = true; killed; at++) {
      await cp(newer, dir, { recursive: true })
      const { code } = await runCli(['restore', file, '--replace-log', '--skip-audit'], '', {
        RUNIFY_DATA_DIR: dir,
        RUNIFY_TEST_KILL_AT: String(at),
        NODE_OPTIONS: `--import=${KILLING}`,
      })
      killed = code === null
      if (!killed) assert.equal(code, 0)
      // As every start does.
      lockFolder(dir)[Symbol.dispose]()
      const now = contentOf(dir)
      const which =
        Buffer.compare(Buffer.from(JSON.stringify(now)), Buffer.from(JSON.stringify(old))) === 0 ? 'old' : 'fresh'
      assert.deepEqual(now, which === 'old' ? old : fresh, `killed at call ${at}`)
      if (seen.fresh > 0) assert.equal(which, 'fresh', `not old again, killed at call ${at}`)
      seen[which]++
      await rm(dir, { recursive: true })
    }
    t.diagnostic(
      `killed at ${at - 2} places: ${seen.old} times all was as before, ${seen.fresh} times as in the backup`,
    )
    assert.ok(seen.old >= 3 && seen.fresh >= 8, JSON.stringify(seen))
  })
})

function backup(dir: string, ...args: string[]): Promise<CliRun> {
  return runCli(['backup', ...args], '', { RUNIFY_DATA_DIR: dir })
}

function restore(dir: string, ...args: string[]): Promise<CliRun> {
  return runCli(['restore', ...args], '', { RUNIFY_DATA_DIR: dir })
}

/** What `--out -` writes, byte by byte. */
async function bytesOfBackup(dir: string): Promise<Buffer> {
  const execute = promisify(execFile)
  const options = {
    env: { ...process.env, RUNIFY_DATA_DIR: dir },
    encoding: 'buffer',
    maxBuffer: 64 * 1024 * 1024,
  } as const
  return (await execute(process.execPath, [PROGRAM, 'backup', '--out', '-'], options)).stdout
}

async function withRunify<T>(dir: string, work: (runify: Runify) => Promise<T>): Promise<T> {
  await using runify = await spawnRunify({ dir })
  const result = await work(runify)
  assert.deepEqual(await runify.kill('SIGTERM'), { code: 0, signal: null })
  return result
}

/** Runs that are stored, counted and judged, in a folder that nobody uses afterwards. */
async function fill(dir: string, count: number): Promise<void> {
  await using runify = await startInProcess({ RUNIFY_DATA_DIR: dir })
  const { events } = makeMany('running', count)
  assert.equal((await post(`${runify.addresses.receiver}/stats/running`, events)).status, 201)
  await allRead(runify)
}

async function allRead(runify: Runify): Promise<void> {
  await settled(runify, SETTLED_MS_MAX)
  const detector = runify.addresses['anomaly-detector']
  await waitFor(async () => (await getJson(`${detector}/stats`)).behind === 0, SETTLED_MS_MAX)
}

/** The anomalies, when all that was sent is stored, counted and judged. */
async function whatIsKnown(runify: Runify): Promise<object> {
  await allRead(runify)
  const detector = runify.addresses['anomaly-detector']
  const { num_anomalies, by_type } = await getJson(`${detector}/stats`)
  return { num_anomalies, by_type, newest: await getList(`${detector}/anomalies?limit=1000`) }
}

/** All rows of all tables of a folder's files. */
function contentOf(dir: string): Record<string, string[]> {
  return Object.fromEntries(
    FILES.flatMap((file) => {
      using database = new DatabaseSync(join(dir, file))
      const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all()
      return tables.map(({ name }) => {
        const rows = database.prepare(`SELECT * FROM ${name}`).all()
        return [`${file} ${name}`, rows.map((row) => JSON.stringify(row, asHex)).sort()]
      })
    }),
  )
}

function asHex(_: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] as number) ^ 1
  return copy
}

/** With another manifest, and the right checksum. */
async function rewrite(file: string, change: (manifest: Manifest) => Manifest): Promise<void> {
  const entries: ArchiveEntry[] = []
  for await (const { name, body } of readArchive(createReadStream(file))) {
    const bytes = await readAll(body)
    const changed = name === 'manifest.json' ? Buffer.from(JSON.stringify(change(JSON.parse(bytes.toString())))) : bytes
    entries.push({ name, size: changed.byteLength, body: [changed] })
  }
  const all = (async function* () {
    yield* entries
  })()
  await writeFile(file, await readAll(writeArchive(all)))
}
