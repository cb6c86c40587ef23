import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import type { Migration } from 'kysely/migration'
import { isFailure } from '../../errors.ts'
import { type EventDatabase, textSelects } from '../event-queries.ts'
import { eventMigrations } from '../migrations/events.ts'
import { eventStoreContract, type OpenedStore } from '../testing/event-store.contract.ts'
import { batchOf, everyKindOfPage, newRuns, watchWholeBatches } from '../testing/event-store.probe.ts'
import type { WriterWork } from '../testing/sqlite-writer.fixture.ts'
import { openReader } from './database.ts'
import { openSqliteStore } from './sqlite-store.ts'

async function newFolder(): Promise<AsyncDisposable & { dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'runify-store-'))
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) }
}

async function openSqlite(): Promise<OpenedStore & { dir: string }> {
  const stack = new AsyncDisposableStack()
  const { dir } = stack.use(await newFolder())
  const openAgain = async () => stack.use(await openSqliteStore({ dir }))
  const refuseSong = async (name: string) => {
    using database = new DatabaseSync(join(dir, 'store.db'))
    database.exec(`CREATE TRIGGER refuse BEFORE INSERT ON music_info WHEN NEW.song_name = '${name}'
      BEGIN SELECT RAISE(ABORT, 'not this song'); END`)
  }
  return { store: await openAgain(), dir, openAgain, refuseSong, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

eventStoreContract({ name: 'SQLite', open: openSqlite })

describe('the SQLite store', () => {
  test('never shows half a batch to a reader in another thread', async () => {
    await using place = await openSqlite()
    const workerData: WriterWork = { dir: place.dir, batches: 100, size: 50 }
    const worker = new Worker(new URL('../testing/sqlite-writer.fixture.ts', import.meta.url), { workerData })
    const written = once(worker, 'exit')
    assert.equal(await watchWholeBatches(place.store, { size: 50, written }), 5000)
  })

  test('reads every page along an index: nothing is sorted, and nothing is looked through', async () => {
    await using place = await newFolder()
    const file = join(place.dir, 'store.db')
    const db = await openReader<EventDatabase>(file, eventMigrations('sqlite'), 'event_migrations')
    using database = new DatabaseSync(file)
    for (const query of everyKindOfPage()) {
      for (const select of textSelects(db, query)) {
        const { sql, parameters } = select.limit(1001).compile()
        const plan = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...(parameters as SQLInputValue[]))
        for (const { detail } of plan)
          assert.match(detail as string, /^(SEARCH|SCAN) event USING (COVERING )?INDEX/, sql)
        assert.equal(plan.length, 1, sql)
      }
    }
    await db.destroy()
  })

  test('is opened by several threads at once in a folder where nothing is', async () => {
    await using place = await newFolder()
    const workerData: WriterWork = { dir: place.dir, batches: 0, size: 0 }
    const workers = Array.from(
      { length: 4 },
      () => new Worker(new URL('../testing/sqlite-writer.fixture.ts', import.meta.url), { workerData }),
    )
    const codes = await Promise.all(workers.map((worker) => once(worker, 'exit')))
    assert.deepEqual(codes, [[0], [0], [0], [0]])
  })

  test('is opened several times at once by one thread', async () => {
    await using place = await newFolder()
    const stores = await Promise.all([1, 2, 3].map(() => openSqliteStore({ dir: place.dir })))
    await stores[0]?.write(batchOf(newRuns(2)))
    for (const store of stores) {
      assert.equal((await store.counts()).running_stats, 2)
      await store[Symbol.asyncDispose]()
    }
  })

  test('leaves nothing of a migration that did not come to its end', async () => {
    await using place = await newFolder()
    const open = (failing: boolean) =>
      openReader<unknown>(join(place.dir, 'x.db'), twoTables({ failing }), 'x_migrations')
    await assert.rejects(open(true), /cut off/)
    const db = await open(false)
    const tables = (await db.introspection.getTables()).map(({ name }) => name)
    assert.ok(tables.includes('first') && tables.includes('second'))
    await db.destroy()
  })

  test('fails with store_unavailable when its folder cannot be used', async () => {
    await using place = await openSqlite()
    const file = join(place.dir, 'not-a-folder')
    await writeFile(file, '')
    await assert.rejects(openSqliteStore({ dir: file }), unavailable)
    await using other = await newFolder()
    await writeFile(join(other.dir, 'store.db'), 'this is not a database'.repeat(100))
    await assert.rejects(openSqliteStore({ dir: other.dir }), unavailable)
  })

  test('fails with store_unavailable when it is closed', async () => {
    await using place = await openSqlite()
    const { store } = place
    await store[Symbol.asyncDispose]()
    for (const call of [
      () => store.write(batchOf(newRuns(1))),
      () => store.cursors(),
      () => store.counts(),
      () => store.event('00000000-0000-0000-0000-000000000000'),
      () => store.page({ type: 'running_stats', by: 'timestamp', order: 'asc', limit: 1 }),
      () => store.changes({ after: [], limit: 1 }),
      () => store.checkReady(),
    ]) {
      await assert.rejects(call(), unavailable)
    }
  })
})

/** A migration of two steps that may be cut off between them, as killing the process would. */
function twoTables({ failing }: { failing: boolean }): Record<string, Migration> {
  const up: Migration['up'] = async (db) => {
    await db.schema.createTable('first').addColumn('id', 'integer').execute()
    if (failing) throw new Error('cut off')
    await db.schema.createTable('second').addColumn('id', 'integer').execute()
  }
  return { '001_tables': { up } }
}

function unavailable(error: unknown): boolean {
  return isFailure(error, 'store_unavailable') && error.retryable && error.cause !== undefined
}
