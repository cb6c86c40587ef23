import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { anyEvent } from '../../events/testing/event.arbitrary.ts'
import { batchOf, changesOf, newRun, storedBy } from '../testing/event-store.probe.ts'
import { openMysqlPlace, SKIP_WITHOUT_MYSQL } from '../testing/mysql.fixture.ts'
import { MysqlDatabase } from './database.ts'
import { literal } from './literal.ts'
import { openMysqlStore } from './mysql-store.ts'

describe('values in MySQL', { skip: SKIP_WITHOUT_MYSQL }, () => {
  test('are read as they were written, whatever the Receiver lets in', async () => {
    await using place = await openMysqlPlace()
    await using store = await openMysqlStore(place.options)
    let from = 0
    for (const type of ['running_stats', 'music_info'] as const) {
      from = 0
      const anyEvents = fc.uniqueArray(anyEvent(type), { selector: ({ trace_id }) => trace_id, minLength: 1 })
      const property = fc.asyncProperty(anyEvents, async (events) => {
        const after = await store.cursors()
        const batch = batchOf(events, { from })
        assert.equal((await store.write(batch)).kind, 'stored')
        from = batch.next
        assert.deepEqual(await changesOf(store, { after, limit: 1000 }), storedBy(batch))
      })
      await fc.assert(property, { numRuns: 60 })
    }
  })

  test('are doubles to the bit, of all that there are', async () => {
    await using place = await openMysqlPlace()
    await using database = new MysqlDatabase<unknown>(place.options, { code: 'store_unavailable' })
    await place.admin('CREATE TABLE numbers (id INT PRIMARY KEY, x DOUBLE NOT NULL)')
    const hard = [5e-324, -5e-324, 1.7976931348623157e308, 2.2250738585072014e-308, 0.1 + 0.2, 9.234567890123456]
    const most = [1e20, 123_456_789_012_345_680_000, 1e21, 2 ** 53 + 2, 1e-6, 1e-7]
    // Negative zero is refused at the door, and is the one that has no literal.
    const anyDouble = fc.double({ noNaN: true, noDefaultInfinity: true }).filter((x) => !Object.is(x, -0))
    const anyDoubles = fc.array(anyDouble, { minLength: 1, maxLength: 200, size: 'max' })
    const property = fc.asyncProperty(anyDoubles, async (doubles) => {
      const rows = doubles.map((x, id) => `(${id},${literal(x)})`)
      const read = await database.transact(async (session) => {
        await session.query(`INSERT INTO numbers VALUES ${rows}`)
        return { keep: false, result: await session.query<{ x: number }[]>('SELECT x FROM numbers ORDER BY id') }
      })
      for (const [id, x] of doubles.entries()) assert.ok(Object.is(read[id]?.x, x), `${x} came back as ${read[id]?.x}`)
    })
    await fc.assert(property, { numRuns: 60, examples: [[[...hard, ...most]]] })
  })

  test('that are texts stay what they are as literals', async () => {
    await using place = await openMysqlPlace()
    await using database = new MysqlDatabase<unknown>(place.options, { code: 'store_unavailable' })
    const anyText = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.string({ unit: fc.constantFrom("'", '"', '\\', '\0', '\x1a', '%', '?', '-', '/', '*', '\n', 'a', ' ') }),
    )
    const property = fc.asyncProperty(fc.array(anyText, { minLength: 1 }), async (texts) => {
      const columns = texts.map((text, index) => `hex(${literal(text)}) AS x${index}`)
      const [row] = await database.transact(async (session) => ({
        keep: false,
        result: await session.query<Record<string, string>[]>(`SELECT ${columns}`),
      }))
      const read = texts.map((_, index) => Buffer.from(row?.[`x${index}`] as string, 'hex').toString())
      assert.deepEqual(read, texts)
    })
    await fc.assert(property)
  })

  test('do not depend on what the server has for time zone and SQL mode', async () => {
    await using place = await openMysqlPlace()
    const [before] = await place.admin<{ mode: string }>('SELECT @@GLOBAL.sql_mode AS mode')
    await place.admin("SET GLOBAL time_zone = '+05:45', GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'")
    try {
      await using store = await openMysqlStore(place.options)
      const event = newRun({ timestamp: Date.UTC(2024, 2, 31, 1, 30, 0, 123), event_id: `'"\\` })
      await store.write(batchOf([event]))
      assert.deepEqual((await store.event(event.trace_id))?.event, event)
      await using database = new MysqlDatabase<unknown>(place.options, { code: 'store_unavailable' })
      const [session] = await database.transact(async (its) => ({
        keep: false,
        result: await its.query<object[]>('SELECT @@time_zone AS zone, @@transaction_isolation AS isolation'),
      }))
      assert.deepEqual({ ...session }, { zone: '+00:00', isolation: 'READ-COMMITTED' })
    } finally {
      await place.admin(`SET GLOBAL time_zone = 'SYSTEM', GLOBAL sql_mode = '${before?.mode}'`)
    }
  })
})
