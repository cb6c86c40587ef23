import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createConnection } from 'mysql2/promise'
import { temporaryFolder, waitFor } from '../../test-support/harness.ts'
import { type CliRun, runCli } from '../cli/testing/run-cli.fixture.ts'
import { isFailure } from '../errors.ts'
import { openMysqlAnomalies } from '../services/anomaly-detector/store/mysql-anomalies.ts'
import { openMysqlStatistics } from '../services/processing/store/mysql/mysql-statistics.ts'
import { eventMigrations } from '../store/migrations/events.ts'
import { openMysqlDatabase } from '../store/mysql/migrations.ts'
import { openMysqlStore } from '../store/mysql/mysql-store.ts'
import { batchOf, newPlay, newRuns } from '../store/testing/event-store.probe.ts'
import { type MysqlPlace, openMysqlPlace, SKIP_WITHOUT_MYSQL } from '../store/testing/mysql.fixture.ts'

/** Backups of MySQL, here beside an embedded log, in which nothing is: the positions are those of no record. */

const PROGRAM = fileURLToPath(new URL('../cli/runify.ts', import.meta.url))
const ROWS = 4000

describe('runify backup and restore on MySQL', { skip: SKIP_WITHOUT_MYSQL }, () => {
  test('put back every table, row and value as it was, in the place of whatever is there', async () => {
    await using at = await openPlace()
    await fill(at.place)
    await at.place.admin('DELETE FROM stored_cursors')
    const before = await contentOf(at.place)
    await at.succeeds('backup', '--out', at.file)
    await at.place.admin('DELETE FROM running_stats WHERE log_offset % 3 = 1')
    await at.place.admin('DROP TABLE music_info')
    await at.place.admin('ALTER TABLE canaries ADD COLUMN more INT')
    await at.place.admin('CREATE TABLE from_a_newer_version (id INT PRIMARY KEY)')
    await at.succeeds('restore', at.file, '--skip-audit')
    assert.deepEqual(await contentOf(at.place), before)
    for (const table of Object.keys(before)) await at.place.admin(`DROP TABLE ${table}`)
    await at.succeeds('restore', at.file, '--skip-audit')
    assert.deepEqual(await contentOf(at.place), before, 'also where nothing was')
  })

  test('refuse while a session of the services is there, and go on when it has gone', async () => {
    await using at = await openPlace()
    await fill(at.place)
    await at.place.admin('DELETE FROM stored_cursors')
    await at.succeeds('backup', '--out', at.file)
    const before = await contentOf(at.place)
    {
      await using detector = await openMysqlAnomalies(at.place.options)
      await detector.counts()
      const { code, stdout, stderr } = await at.run('restore', at.file)
      assert.deepEqual([code, stdout], [2, ''])
      const { database } = at.place.options
      assert.match(
        stderr,
        new RegExp(`^runify restore: others use ${database} \\(\\d+ of ${database} from [^)]+\\): stop every service`),
      )
      assert.deepEqual(await contentOf(at.place), before)
    }
    await at.succeeds('restore', at.file, '--skip-audit')
  })

  test('keep services that start meanwhile out until all is in its place', async () => {
    await using at = await openPlace()
    await fill(at.place)
    await at.place.admin('DELETE FROM stored_cursors')
    await at.succeeds('backup', '--out', at.file)
    const bytes = await readFile(at.file)
    const restore = at.spawn('restore', '-', '--skip-audit')
    restore.stdin.write(bytes.subarray(0, bytes.length - 10))
    await waitFor(async () => (await passingTables(at.place)).length > 10)
    await assert.rejects(openMysqlStore(at.place.options), (error: unknown) => {
      assert.ok(isFailure(error, 'store_unavailable') && error.retryable)
      return /a restore of the database is under way/.test(error.message)
    })
    // Of another folder, which is free.
    const second = await runCli(['restore', at.file], '', { ...at.variables, RUNIFY_DATA_DIR: `${at.file}.data` })
    assert.match(second.stderr, /another restore of this database is under way/)
    restore.stdin.end(bytes.subarray(bytes.length - 10))
    assert.deepEqual(await once(restore, 'close'), [0, null])
    await using store = await openMysqlStore(at.place.options)
    assert.equal((await store.counts()).running_stats, 0, 'the counts go with the cursors')
  })

  test('leave everything as it was when they are killed, and clear up the next time', async () => {
    await using at = await openPlace()
    await fill(at.place)
    await at.place.admin('DELETE FROM stored_cursors')
    await at.succeeds('backup', '--out', at.file)
    const saved = await contentOf(at.place)
    await at.place.admin('DELETE FROM running_stats')
    const before = await contentOf(at.place)
    const bytes = await readFile(at.file)
    const restore = at.spawn('restore', '-')
    restore.stdin.write(bytes.subarray(0, bytes.length - 10))
    await waitFor(async () => (await passingTables(at.place)).length > 10)
    restore.kill('SIGKILL')
    await once(restore, 'close')
    assert.deepEqual(await contentOf(at.place), before)
    assert.notDeepEqual(await passingTables(at.place), [])
    await at.succeeds('restore', at.file, '--skip-audit')
    assert.deepEqual(await contentOf(at.place), saved)
    assert.deepEqual(await passingTables(at.place), [])
  })

  test('wait for the session of one that was killed, which the server notices a moment later', async () => {
    await using at = await openPlace()
    await fill(at.place)
    await at.place.admin('DELETE FROM stored_cursors')
    await at.succeeds('backup', '--out', at.file)
    const { host, port, user, password, database } = at.place.options
    const killed = await createConnection({ host, port, user, password, database })
    try {
      const lock = "GET_LOCK(CONCAT('runify_restore_', LEFT(SHA2(DATABASE(), 256), 40)), 0)"
      await killed.query(`SELECT ${lock}`)
      const restoring = at.succeeds('restore', at.file, '--skip-audit')
      await waitFor(async () => {
        const [waiting] = await killed.query('SHOW PROCESSLIST')
        return (waiting as { State: string | null }[]).some(({ State }) => State === 'User lock')
      })
      killed.destroy()
      await restoring
    } finally {
      killed.destroy()
    }
  })

  test('put back what an older Runify has written, which the next start brings to the newest form', async () => {
    await using at = await openPlace()
    const { '004_canaries': _, ...older } = eventMigrations('mysql')
    const schema = { code: 'store_unavailable', migrations: older, table: 'event_migrations' } as const
    await (await openMysqlDatabase(at.place.options, schema))[Symbol.asyncDispose]()
    await at.place.admin("DELETE FROM event_migrations WHERE name > '004'")
    await at.succeeds('backup', '--out', at.file)
    {
      await using store = await openMysqlStore(at.place.options)
      await store.writeCanaries({ partition: 0, from: 0, next: 1, canaries: [] })
    }
    await at.place.admin('DELETE FROM stored_cursors')
    await at.succeeds('restore', at.file, '--skip-audit')
    assert.ok(!(await tablesOf(at.place)).includes('canaries'))
    await using store = await openMysqlStore(at.place.options)
    await store.write(batchOf([newPlay()]))
    assert.ok((await tablesOf(at.place)).includes('canaries'))
  })
})

async function openPlace() {
  await using opened = new AsyncDisposableStack()
  const place = opened.use(await openMysqlPlace())
  const { path } = opened.use(await temporaryFolder())
  const { host, port, user, password, database } = place.options
  const variables = {
    RUNIFY_STORE: `mysql://${user}:${password}@${host}:${port}/${database}`,
    RUNIFY_DATA_DIR: join(path, 'data'),
  }
  const run = (...args: string[]): Promise<CliRun> => runCli(args, '', variables)
  const all = opened.move()
  return {
    place,
    variables,
    file: join(path, 'it.backup'),
    run,
    async succeeds(...args: string[]) {
      const { code, stderr } = await run(...args)
      assert.equal(code, 0, stderr)
    },
    spawn: (...args: string[]) => {
      const env = { ...process.env, ...variables }
      const child = spawn(process.execPath, [PROGRAM, ...args], { env, stdio: ['pipe', 'ignore', 'inherit'] })
      // One that waits for its input would keep a test that has failed from ending.
      all.defer(() => void child.kill('SIGKILL'))
      return child
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

/** Tables of all three services, and rows with the values that are the hardest to keep. */
async function fill({ options, admin }: MysqlPlace): Promise<void> {
  await using store = await openMysqlStore(options)
  await using _statistics = await openMysqlStatistics(options)
  await using _anomalies = await openMysqlAnomalies(options)
  await store.write(batchOf(newRuns(ROWS)))
  await store.write(batchOf([newPlay()]))
  await admin(`UPDATE running_stats SET distance = 4.9e-324, duration = 1e16 WHERE log_offset = 1`)
  await admin(`UPDATE running_stats SET distance = -0e0, duration = 0.1 WHERE log_offset = 2`)
  await admin(`UPDATE running_stats SET distance = 1.7976931348623157e308 WHERE log_offset = 3`)
  await admin(`UPDATE music_info SET song_name = _utf8mb4 X'00F09F8F8327220A5C25', event_id = NULL`)
  await admin(`UPDATE running_stats SET timestamp = -9007199254740993 WHERE log_offset = 4`)
  await admin(
    "INSERT INTO anomaly_users VALUES ('t', X'000102030405060708090A0B0C0D0E0F', X''), ('t', X'FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF', X'00FF27')",
  )
}

async function tablesOf({ admin }: MysqlPlace): Promise<string[]> {
  const rows = await admin<{ name: string }>(
    'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name',
  )
  return rows.map(({ name }) => name)
}

async function passingTables(place: MysqlPlace): Promise<string[]> {
  return (await tablesOf(place)).filter((name) => /_(restored|replaced)$/.test(name))
}

/** The form of every table that lasts, and a sum of each of its rows, made by the server. */
async function contentOf(place: MysqlPlace): Promise<Record<string, unknown>> {
  const content: Record<string, unknown> = {}
  const passing = await passingTables(place)
  for (const table of (await tablesOf(place)).filter((name) => !passing.includes(name))) {
    const [made] = await place.admin<Record<string, string>>(`SHOW CREATE TABLE ${table}`)
    const columns = await place.admin<{ Field: string }>(`SHOW COLUMNS FROM ${table}`)
    const texts = columns.map(({ Field }) => `IFNULL(HEX(CAST(\`${Field}\` AS CHAR)), 'NULL')`)
    const rows = await place.admin<{ line: string }>(`SELECT CONCAT_WS(',', ${texts}) AS line FROM ${table} ORDER BY 1`)
    content[table] = [made?.['Create Table'], rows.map(({ line }) => line)]
  }
  return content
}
