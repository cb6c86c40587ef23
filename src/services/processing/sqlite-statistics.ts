import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Kysely } from 'kysely'
import { nextOf, type PartitionCursor } from '../../log/position.ts'
import { guard, openReader, openSqlite, transact } from '../../store/sqlite-database.ts'
import { type HourRange, prepareHours, readHours } from './counted-hours-tables.ts'
import { isEmptyFold } from './fold.ts'
import { prepareDays } from './sqlite-days.ts'
import type { Fold, StatisticsStore, Totals } from './statistics-store.ts'
import {
  readCursors,
  readTotals,
  STATISTICS_TABLES,
  type StatisticsDatabase,
  statisticsMigrations,
} from './statistics-tables.ts'

/** Opens the statistics' database `statistics.db` in the folder, and brings it to its newest form. */
export async function openSqliteStatistics({ dir }: { dir: string }): Promise<StatisticsStore> {
  return guard('statistics_unavailable', async () => {
    const file = join(dir, 'statistics.db')
    const reader = await openReader<StatisticsDatabase>(file, statisticsMigrations('sqlite'), 'statistics_migrations')
    return new SqliteStatistics(reader, openSqlite(file, { cacheMib: 8 }))
  })
}

class SqliteStatistics implements StatisticsStore {
  readonly #reader: Kysely<StatisticsDatabase>
  readonly #writer: DatabaseSync
  readonly #statements: ReturnType<typeof prepareStatements>

  constructor(reader: Kysely<StatisticsDatabase>, writer: DatabaseSync) {
    this.#reader = reader
    this.#writer = writer
    this.#statements = prepareStatements(writer)
  }

  cursors(): Promise<PartitionCursor[]> {
    return guard('statistics_unavailable', async () => (await readCursors(this.#reader)).cursors)
  }

  fold({ from, to, parts, now }: Fold): Promise<boolean> {
    return guard('statistics_unavailable', () =>
      transact(this.#writer, () => {
        for (const { topic, partition } of to) {
          const row = this.#statements.cursor.get(topic, partition) as { next: number } | undefined
          if ((row?.next ?? 0) !== nextOf(from, { topic, partition })) return false
        }
        this.#statements.addDays(parts.days)
        this.#statements.addHours(parts.hours)
        const updated = isEmptyFold(parts) ? null : now
        for (const { topic, partition, next } of to) this.#statements.moveCursor.run(topic, partition, next, updated)
        return true
      }),
    )
  }

  totals(of: Parameters<StatisticsStore['totals']>[0]): Promise<Totals> {
    return guard('statistics_unavailable', () => this.#reader.transaction().execute((db) => readTotals(db, of)))
  }

  hours(range: HourRange): ReturnType<StatisticsStore['hours']> {
    return guard('statistics_unavailable', () =>
      this.#reader.transaction().execute(async (db) => ({
        hours: await readHours(db, range),
        cursors: (await readCursors(db)).cursors,
      })),
    )
  }

  clear(): Promise<void> {
    return guard('statistics_unavailable', () =>
      transact(this.#writer, () => {
        for (const table of STATISTICS_TABLES) this.#writer.exec(`DELETE FROM ${table}`)
      }),
    )
  }

  async checkReady(): Promise<void> {
    await this.cursors()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.destroy()
    if (this.#writer.isOpen) this.#writer.close()
  }
}

function prepareStatements(database: DatabaseSync) {
  return {
    cursor: database.prepare('SELECT next FROM counted_cursors WHERE topic = ? AND partition_id = ?'),
    moveCursor: database.prepare(
      'INSERT INTO counted_cursors (topic, partition_id, next, updated) VALUES (?, ?, ?, ?) ' +
        'ON CONFLICT (topic, partition_id) DO UPDATE SET next = excluded.next, updated = coalesce(excluded.updated, updated)',
    ),
    addDays: prepareDays(database),
    addHours: prepareHours(database),
  }
}
