import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Migration } from 'kysely/migration'
import { openReader } from '../../../../store/sqlite/database.ts'
import { refuseSongInSqlite } from '../../testing/refused-song.fixture.ts'
import { type OpenedStatistics, statisticsStoreContract } from '../../testing/statistics-store.contract.ts'
import { type StatisticsDatabase, statisticsMigrations } from '../tables/statistics-tables.ts'
import { openSqliteStatistics } from './sqlite-statistics.ts'

async function openSqlite(): Promise<OpenedStatistics> {
  const stack = new AsyncDisposableStack()
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'runify-statistics-')))
  const openAgain = async () => stack.use(await openSqliteStatistics({ dir }))
  const refuseSong = async () => refuseSongInSqlite(dir)
  return { statistics: await openAgain(), openAgain, refuseSong, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

statisticsStoreContract({ name: 'SQLite', open: openSqlite })

test('Statistics of the first release are counted anew from the beginning of the feed', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-statistics-'))
  const file = join(folder.path, 'statistics.db')
  const { '001_rollups': first } = statisticsMigrations('sqlite')
  const released = await openReader<Released>(file, { '001_rollups': first as Migration }, 'statistics_migrations')
  await released
    .insertInto('counted_cursors')
    .values({ topic: 'runify.running_stats', partition_id: 0, next: 7, updated: 1 })
    .execute()
  await released.destroy()

  await using statistics = await openSqliteStatistics({ dir: folder.path })
  assert.deepEqual(await statistics.cursors(), [])
  assert.equal((await statistics.totals({})).rollup.runs, 0)
})

type Released = { counted_cursors: Omit<StatisticsDatabase['counted_cursors'], 'uncounted'> }
