import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Kysely } from 'kysely'
import { nextOf, type PartitionCursor } from '../../log/position.ts'
import { guard, openReader, openSqlite, transact } from '../../store/sqlite-database.ts'
import { type HourRange, prepareHours, readHours } from './counted-hours-tables.ts'
import type { ScopeReader } from './day-tables.ts'
import { type ErasedUser, sameErasures, standAt } from './erasing.ts'
import { isEmptyFold } from './fold.ts'
import { History } from './history.ts'
import { PlayLists } from './play-lists.ts'
import { openBeside } from './sqlite-beside.ts'
import { prepareDays, prepareScopeReading } from './sqlite-days.ts'
import { prepareErasing } from './sqlite-erasing.ts'
import { preparePlays } from './sqlite-plays.ts'
import type {
  DailyQuery,
  DailyTotals,
  Fold,
  PlayedQuery,
  ScopeAt,
  StatisticsBeside,
  StatisticsStore,
  Totals,
  TotalsQuery,
} from './statistics-store.ts'
import {
  type CursorRow,
  coverageOf,
  readCursors,
  STATISTICS_TABLES,
  type StatisticsDatabase,
  statisticsMigrations,
} from './statistics-tables.ts'

/** Opens the statistics' database `statistics.db` in the folder, and brings it to its newest form. */
export async function openSqliteStatistics({ dir }: { dir: string }): Promise<StatisticsStore> {
  return guard('statistics_unavailable', async () => {
    const file = fileIn(dir)
    const reader = await openReader<StatisticsDatabase>(file, statisticsMigrations('sqlite'), 'statistics_migrations')
    return new SqliteStatistics(dir, reader)
  })
}

export function fileIn(dir: string): string {
  return join(dir, 'statistics.db')
}

class SqliteStatistics implements StatisticsStore {
  readonly #dir: string
  readonly #reader: Kysely<StatisticsDatabase>
  readonly #writer: DatabaseSync
  readonly #statements: ReturnType<typeof prepareStatements>
  readonly #scopes: DatabaseSync
  readonly #history: History
  readonly #lists = new PlayLists()

  constructor(dir: string, reader: Kysely<StatisticsDatabase>) {
    const file = fileIn(dir)
    this.#dir = dir
    this.#reader = reader
    this.#writer = openSqlite(file, { cacheMib: 8 })
    this.#statements = prepareStatements(this.#writer)
    this.#scopes = openSqlite(file, { cacheMib: 2 })
    this.#history = new History(prepareReading(this.#scopes))
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
        if (!sameErasures(this.#counted(), from)) return false
        this.#statements.addDays(parts.days)
        this.#statements.addHours(parts.hours)
        this.#statements.addPlays(parts.plays)
        const updated = isEmptyFold(parts) ? null : now
        for (const { topic, partition, next } of to) this.#statements.moveCursor.run(topic, partition, next, updated)
        return true
      }),
    )
  }

  erase(erased: ErasedUser): Promise<boolean> {
    return guard('statistics_unavailable', () =>
      transact(this.#writer, () => {
        if (!standAt(this.#counted(), erased.from)) return false
        this.#statements.erase(erased)
        this.#statements.addHours(erased.hours)
        const { topic, partition, next } = erased.to
        this.#statements.moveCursor.run(topic, partition, next, erased.now)
        return true
      }),
    )
  }

  totals(of: TotalsQuery): Promise<Totals> {
    return guard('statistics_unavailable', () => this.#history.totals(of))
  }

  daily(of: DailyQuery): Promise<DailyTotals> {
    return guard('statistics_unavailable', () => this.#history.daily(of))
  }

  records(of: ScopeAt): ReturnType<StatisticsStore['records']> {
    return guard('statistics_unavailable', () => this.#history.records(of))
  }

  played(of: PlayedQuery): ReturnType<StatisticsStore['played']> {
    return guard('statistics_unavailable', () => this.#reader.transaction().execute((db) => this.#lists.read(db, of)))
  }

  hours(range: HourRange): ReturnType<StatisticsStore['hours']> {
    return guard('statistics_unavailable', () =>
      this.#reader.transaction().execute(async (db) => ({
        hours: await readHours(db, range),
        cursors: (await readCursors(db)).cursors,
      })),
    )
  }

  beside(): Promise<StatisticsBeside> {
    return guard('statistics_unavailable', () =>
      openBeside({ live: this.#reader, writer: this.#writer, dir: this.#dir }),
    )
  }

  clear(): Promise<void> {
    return guard('statistics_unavailable', () =>
      transact(this.#writer, () => {
        for (const table of STATISTICS_TABLES) this.#writer.exec(`DELETE FROM ${table}`)
      }),
    )
  }

  #counted(): PartitionCursor[] {
    return coverageOf(this.#statements.cursors.all() as CursorRow[]).cursors
  }

  async checkReady(): Promise<void> {
    await this.cursors()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.destroy()
    for (const database of [this.#writer, this.#scopes]) if (database.isOpen) database.close()
  }
}

/** Straight on the driver, for it is what statistics are asked most: one moment, and nothing awaits in between. */
function prepareReading(database: DatabaseSync): ScopeReader {
  const cursors = database.prepare('SELECT topic, partition_id, next, updated FROM counted_cursors')
  const readScope = prepareScopeReading(database)
  return async (query) => {
    database.exec('BEGIN')
    try {
      return { ...readScope(query), ...coverageOf(cursors.all() as CursorRow[]) }
    } finally {
      database.exec('COMMIT')
    }
  }
}

function prepareStatements(database: DatabaseSync) {
  const add = { days: prepareDays(database), plays: preparePlays(database) }
  return {
    cursors: database.prepare('SELECT topic, partition_id, next, updated FROM counted_cursors'),
    cursor: database.prepare('SELECT next FROM counted_cursors WHERE topic = ? AND partition_id = ?'),
    moveCursor: database.prepare(
      'INSERT INTO counted_cursors (topic, partition_id, next, updated) VALUES (?, ?, ?, ?) ' +
        'ON CONFLICT (topic, partition_id) DO UPDATE SET next = excluded.next, updated = coalesce(excluded.updated, updated)',
    ),
    addDays: add.days,
    addHours: prepareHours(database),
    addPlays: add.plays,
    erase: prepareErasing(database, add),
  }
}
