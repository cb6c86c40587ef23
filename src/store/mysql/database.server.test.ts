import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KyselyPlugin } from 'kysely'
import { isFailure } from '../../errors.ts'
import type { EventStore } from '../event-store.ts'
import { eventMigrations } from '../migrations/events.ts'
import { batchOf, newPlay, newRun, newRuns } from '../testing/event-store.probe.ts'
import { type MysqlPlace, openMysqlPlace, SKIP_WITHOUT_MYSQL } from '../testing/mysql.fixture.ts'
import { openProxy } from '../testing/mysql-proxy.fixture.ts'
import { MysqlDatabase } from './database.ts'
import { openMysqlDatabase } from './migrations.ts'
import { openMysqlStore } from './mysql-store.ts'

const WAIT = { interval: 20, timeout: 20_000 }
const CLOSE_MS_MAX = 8000
/** Kysely's own, of whoever migrates. */
const MIGRATION_LOCK = 'ea586330-2c93-47c8-908d-981d9d270f9d'

describe('migrations of MySQL', { skip: SKIP_WITHOUT_MYSQL }, () => {
  test('are run once by ten instances that begin together on an empty database', async () => {
    await using place = await openMysqlPlace()
    await using stack = new AsyncDisposableStack()
    const stores = await Promise.all(Array.from({ length: 10 }, () => openMysqlStore(place.options)))
    for (const store of stores) stack.use(store)
    await Promise.all(stores.map((store, partition) => store.write(batchOf(newRuns(3), { partition }))))
    assert.equal((await stores[0]?.counts())?.running_stats, 30)
    assert.equal(
      (await place.admin('SELECT * FROM event_migrations')).length,
      Object.keys(eventMigrations('mysql')).length,
    )
  })

  test('are brought to their end by the next instance when one is killed after any of their statements', async () => {
    for (let statements = 1; ; statements++) {
      await using place = await openMysqlPlace()
      const { plugin, done } = killAfter(place, statements)
      const migrations = Object.fromEntries(
        Object.entries(eventMigrations('mysql')).map(([name, { up }]) => [
          name,
          { up: (db: Parameters<typeof up>[0]) => up(db.withPlugin(plugin)) },
        ]),
      )
      const schema = { code: 'store_unavailable', migrations, table: 'event_migrations' } as const
      await openMysqlDatabase(place.options, schema).then(
        (database) => database[Symbol.asyncDispose](),
        (error: unknown) => assert.ok(unavailable(error)),
      )
      await using store = await openMysqlStore(place.options)
      await store.write(batchOf([newPlay()]))
      assert.equal((await store.counts()).music_info, 1)
      if (!done()) {
        assert.ok(statements > 3, 'there were statements to be killed after')
        return
      }
    }
  })
})

describe('the MySQL store when the server is troubled', { skip: SKIP_WITHOUT_MYSQL }, () => {
  test('writes again what a deadlock undid', async () => {
    await using place = await openMysqlPlace()
    await using store = await openMysqlStore(place.options)
    const deadlocks = async () => {
      const rows = await place.admin<{ COUNT: number }>(
        "SELECT COUNT FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'",
      )
      return rows[0]?.COUNT ?? 0
    }
    const before = await deadlocks()
    const deadline = AbortSignal.timeout(WAIT.timeout)
    for (let from = 0; (await deadlocks()) === before; from += 400) {
      deadline.throwIfAborted()
      const events = newRuns(400)
      // The same events in two partitions, in opposite orders: each transaction comes to wait for the other.
      const outcomes = await Promise.all([
        store.write(batchOf(events, { from })),
        store.write(batchOf(events.toReversed(), { from, partition: 1 })),
      ])
      const stored = outcomes.map((outcome) => (outcome.kind === 'stored' ? outcome.stored : Number.NaN))
      assert.deepEqual(stored.toSorted(), [0, 400])
      assert.equal((await store.counts()).running_stats, from + 400)
    }
  })

  test('writes again what a killed connection left undone, once', async (t) => {
    await using place = await openMysqlPlace()
    await using store = await openMysqlStore(place.options)
    await store.write(batchOf(newRuns(3)))
    // Whoever is to write waits for the cursor, in the midst of its transaction.
    await place.admin('BEGIN')
    await place.admin('SELECT * FROM stored_cursors FOR UPDATE')
    const writing = store.write(batchOf(newRuns(5), { from: 3 }))
    await untilQuery(t, place, 'SELECT next%FOR UPDATE')
    assert.ok((await killAll(place)) > 0)
    await place.admin('ROLLBACK')
    assert.deepEqual(await writing, { kind: 'stored', stored: 5, repeated: 0 })
    assert.equal((await store.counts()).running_stats, 8)
  })

  test('does not notice that idle connections were killed', async () => {
    await using place = await openMysqlPlace()
    await using store = await openMysqlStore(place.options)
    await Promise.all([1, 2, 3, 4].map(() => store.counts()))
    assert.ok((await killAll(place)) > 1)
    assert.deepEqual(await store.write(batchOf(newRuns(2))), { kind: 'stored', stored: 2, repeated: 0 })
    await killAll(place)
    assert.equal((await store.counts()).running_stats, 2)
  })

  test('fails while the server takes no writes, and goes on when it does', async () => {
    await using place = await openMysqlPlace()
    await using store = await openMysqlStore(place.options)
    const { database } = place.options
    const events = newRuns(6)
    await store.write(batchOf(events.slice(0, 3)))
    const batch = batchOf(events.slice(3), { from: 3 })
    await place.admin(`ALTER DATABASE ${database} READ ONLY = 1`)
    for (let i = 0; i < 6; i++) await assert.rejects(store.write(batch), unavailable)
    assert.equal((await store.counts()).running_stats, 3)
    await place.admin(`ALTER DATABASE ${database} READ ONLY = 0`)
    assert.deepEqual(await store.write(batch), { kind: 'stored', stored: 3, repeated: 0 })
  })

  test('fails while the server is unavailable, and goes on by itself when it is back', async (t) => {
    await using place = await openMysqlPlace()
    await using proxy = await openProxy(place.options)
    await using store = await openMysqlStore(proxy.options)
    const events = newRuns(4)
    await store.write(batchOf(events.slice(0, 2)))
    await Promise.all([1, 2, 3, 4].map(() => store.counts()))
    await proxy.cut()
    for (const call of callsOf(store)) await assert.rejects(call(), unavailable)
    await assert.rejects(openMysqlStore(proxy.options), unavailable)
    await proxy.giveBack()
    await t.waitFor(() => store.checkReady(), WAIT)
    assert.equal((await store.write(batchOf(events.slice(2), { from: 2 }))).kind, 'stored')
    assert.equal((await store.counts()).running_stats, 4)
  })

  test('is opened before there is a server, an account or a database, and goes on by itself when there is', async (t) => {
    await using place = await openMysqlPlace()
    const { database, user, password } = place.options
    await using proxy = await openProxy(place.options)
    await proxy.cut()
    await using store = await openMysqlStore(proxy.options, { atOnce: true })
    const waitsFor = (why: string) => {
      const message = `waiting for MySQL at 127.0.0.1:${proxy.options.port}: ${why}`
      const check = (error: unknown) => unavailable(error) && (error as Error).message === message
      return t.waitFor(() => assert.rejects(store.checkReady(), check), WAIT)
    }
    await waitsFor('ECONNREFUSED')
    await place.admin(`ALTER USER ${user} IDENTIFIED BY 'another'`)
    await proxy.giveBack()
    await waitsFor('it refuses the user or the password (ER_ACCESS_DENIED_ERROR)')
    await place.admin(`DROP DATABASE ${database}`)
    await place.admin(`ALTER USER ${user} IDENTIFIED BY '${password}'`)
    await waitsFor('ER_BAD_DB_ERROR')
    await place.admin(`CREATE DATABASE ${database}`)
    await t.waitFor(() => store.checkReady(), WAIT)
    assert.equal((await store.write(batchOf(newRuns(2)))).kind, 'stored')
  })

  test('ends soon while another instance migrates', async () => {
    await using place = await openMysqlPlace()
    await using other = new MysqlDatabase<unknown>(place.options, { code: 'store_unavailable' })
    await other.transact(async (session) => {
      await session.query(`SELECT GET_LOCK('${MIGRATION_LOCK}', 0)`)
      const store = await openMysqlStore(place.options, { atOnce: true })
      await assert.rejects(store.checkReady(), /its tables are being changed$/)
      const began = performance.now()
      await store[Symbol.asyncDispose]()
      assert.ok(performance.now() - began < CLOSE_MS_MAX)
      return { keep: false, result: undefined }
    })
  })

  test('never says of a store that is emptied meanwhile that it was read to its end', async (t) => {
    await using place = await openMysqlPlace()
    await using store = await openMysqlStore(place.options)
    await using other = await openMysqlStore(place.options)
    await store.write(batchOf(newRuns(3)))
    // Whoever empties the store waits for this transaction, and whoever reads rows then waits behind it.
    await place.admin('BEGIN')
    await place.admin('SELECT trace_id FROM running_stats')
    const emptying = other.clear()
    await untilQuery(t, place, 'RENAME TABLE')
    const reading = store.changes({ after: [], limit: 10 })
    await untilQuery(t, place, 'from `running_stats`')
    await place.admin('COMMIT')
    const { changes, next } = await reading
    await emptying
    assert.deepEqual([changes, next], [[], []])
  })

  test('fails with store_unavailable when it is closed', async () => {
    await using place = await openMysqlPlace()
    const store = await openMysqlStore(place.options)
    await store[Symbol.asyncDispose]()
    for (const call of callsOf(store)) await assert.rejects(call(), unavailable)
  })

  test('gives up a statement that takes too long, and the connection with it', async () => {
    await using place = await openMysqlPlace()
    const options = { ...place.options, connectionsMax: 1 }
    await using database = new MysqlDatabase<unknown>(options, { code: 'store_unavailable', statementMs: 100 })
    const select = (sql: string) =>
      database.transact(async (session) => ({ keep: true, result: await session.query<{ x: number }[]>(sql) }))
    await assert.rejects(select('SELECT sleep(20) AS x'), unavailable)
    assert.deepEqual(await select('SELECT 1 AS x'), [{ x: 1 }])
  })
})

function callsOf(store: EventStore): (() => Promise<unknown>)[] {
  return [
    () => store.write(batchOf([newRun()])),
    () => store.cursors(),
    () => store.counts(),
    () => store.event('00000000-0000-0000-0000-000000000000'),
    () => store.page({ type: 'running_stats', by: 'timestamp', order: 'asc', limit: 1 }),
    () => store.changes({ after: [], limit: 1 }),
    () => store.checkReady(),
  ]
}

function unavailable(error: unknown): boolean {
  return isFailure(error, 'store_unavailable') && error.retryable && error.cause !== undefined
}

type Process = { id: number; info: string | null }

function processes({ admin, options }: MysqlPlace): Promise<Process[]> {
  return admin(`SELECT id AS id, info AS info FROM information_schema.processlist WHERE user = '${options.user}'`)
}

/** Kills all connections of the store, and gives how many there were. */
async function killAll(place: MysqlPlace): Promise<number> {
  const all = await processes(place)
  for (const { id } of all) await place.admin(`KILL ${id}`)
  // It takes a moment until the server has closed them.
  while ((await processes(place)).some(({ id }) => all.some((one) => one.id === id))) await sleep(5)
  return all.length
}

async function untilQuery(t: TestContext, place: MysqlPlace, like: string): Promise<void> {
  const pattern = new RegExp(like.replaceAll('%', '.*'))
  await t.waitFor(async () => assert.ok((await processes(place)).some(({ info }) => pattern.test(info ?? ''))), WAIT)
}

/** Kills the connection that a migration runs on after some statements of it. */
function killAfter(place: MysqlPlace, statements: number): { plugin: KyselyPlugin; done: () => boolean } {
  let seen = 0
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      if (++seen === statements) await killAll(place)
      return result
    },
  }
  return { plugin, done: () => seen >= statements }
}
