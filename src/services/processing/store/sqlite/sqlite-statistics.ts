import { join, resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Kysely } from 'kysely'
import { DataFile } from '../../../../disk/data-file.ts'
import { openDerived, type SetAside } from '../../../../disk/set-aside.ts'
import { type KeptCursor, markColumns, nextOf, type PartitionCursor } from '../../../../log/position.ts'
import { adoptCursor, readKeptCursors } from '../../../../store/kept-cursors.ts'
import {
  isRefusal,
  openReader,
  openSqlite,
  type SqliteConnection,
  transact,
} from '../../../../store/sqlite/database.ts'
import type { DailyTotals, Totals } from '../../days/day-statistics.ts'
import { DayStatistics } from '../../days/day-statistics.ts'
import { type ErasedUser, sameErasures, standAt } from '../../erasure/erasing.ts'
import { type FoldOutcome, isEmptyFold, isUncountable, refusedFold } from '../../fold.ts'
import { PlayLists } from '../../plays/play-lists.ts'
import type { DailyQuery, HourRange, PlayedQuery, ScopeAt, TotalsQuery, UsersQuery } from '../../query.ts'
import { readUsers } from '../../users/counted-users.ts'
import type { Fold, ShadowStatistics, StatisticsStore } from '../statistics-store.ts'
import { prepareHours, readHours } from '../tables/counted-hours-tables.ts'
import type { ScopeReader } from '../tables/day-tables.ts'
import {
  type CursorRow,
  coverageOf,
  readCursors,
  STATISTICS_TABLES,
  type StatisticsDatabase,
  statisticsMigrations,
} from '../tables/statistics-tables.ts'
import { prepareUncounted, readUncounted, readUncountedOf } from '../tables/uncounted-tables.ts'
import { prepareDays, prepareScopeReading } from './days.ts'
import { prepareErasing } from './erasing.ts'
import { preparePlays } from './plays.ts'
import { openShadow } from './shadow.ts'

/**
 * Opens the statistics' database `statistics.db` in the folder, and brings it to its newest form. One that is damaged is set
 * aside: all is counted anew from the store.
 */
export async function openSqliteStatistics(
  { dir }: { dir: string },
  setAside: (news: SetAside) => void = () => {},
): Promise<StatisticsStore> {
  const path = join(resolve(dir), 'statistics.db')
  return openDerived(path, () => openFile(path), setAside)
}

function openFile(path: string): Promise<StatisticsStore> {
  const file = new DataFile(path)
  return file.open(async () => {
    await using opened = new AsyncDisposableStack()
    const reader = await openReader<StatisticsDatabase>(path, statisticsMigrations('sqlite'), 'statistics_migrations')
    opened.defer(() => reader.destroy())
    const writer = opened.use(openSqlite(path, { cacheMib: 8 }))
    const scopes = opened.use(openSqlite(path, { cacheMib: 2 }))
    const statistics = new SqliteStatistics({ file, reader, writer, scopes })
    opened.move()
    return statistics
  })
}

type Opened = {
  file: DataFile
  reader: Kysely<StatisticsDatabase>
  writer: SqliteConnection
  scopes: SqliteConnection
}

class SqliteStatistics implements StatisticsStore {
  readonly #file: DataFile
  readonly #reader: Kysely<StatisticsDatabase>
  readonly #writer: SqliteConnection
  readonly #statements: ReturnType<typeof prepareStatements>
  readonly #scopes: DatabaseSync
  readonly #dayStatistics: DayStatistics
  readonly #lists = new PlayLists()

  constructor({ file, reader, writer, scopes }: Opened) {
    this.#file = file
    this.#reader = reader
    this.#writer = writer
    this.#statements = prepareStatements(writer)
    this.#scopes = scopes
    this.#dayStatistics = new DayStatistics(prepareReading(scopes))
  }

  cursors(): Promise<KeptCursor[]> {
    return this.#file.guard(() => readKeptCursors(this.#reader, 'counted_cursors'))
  }

  adopt(cursor: KeptCursor): Promise<void> {
    return this.#file.guard(() => adoptCursor(this.#reader, 'counted_cursors', cursor))
  }

  fold(fold: Fold): Promise<FoldOutcome> {
    return this.#file.guard((): FoldOutcome => {
      try {
        return { kind: transact(this.#writer, () => this.#fold(fold)) ? 'folded' : 'overtaken' }
      } catch (error) {
        if (isRefusal(error) || isUncountable(error)) return refusedFold((error as Error).message)
        throw error
      }
    })
  }

  erase(erased: ErasedUser): Promise<boolean> {
    return this.#file.guard(() =>
      transact(this.#writer, () => {
        if (!standAt(this.#counted(), erased.from)) return false
        this.#statements.erase(erased)
        this.#statements.addHours(erased.hours)
        this.#statements.uncounted.remove(erased.uncounted)
        this.#moveCursor(erased.to, erased.now)
        return true
      }),
    )
  }

  totals(of: TotalsQuery): Promise<Totals> {
    return this.#file.guard(() => this.#dayStatistics.totals(of))
  }

  daily(of: DailyQuery): Promise<DailyTotals> {
    return this.#file.guard(() => this.#dayStatistics.daily(of))
  }

  records(of: ScopeAt): ReturnType<StatisticsStore['records']> {
    return this.#file.guard(() => this.#dayStatistics.records(of))
  }

  played(of: PlayedQuery): ReturnType<StatisticsStore['played']> {
    return this.#file.guard(() => this.#reader.transaction().execute((db) => this.#lists.read(db, of)))
  }

  hours(range: HourRange): ReturnType<StatisticsStore['hours']> {
    return this.#file.guard(() =>
      this.#reader.transaction().execute(async (db) => ({
        hours: await readHours(db, range),
        uncounted: await readUncounted(db, range),
        cursors: (await readCursors(db)).cursors,
      })),
    )
  }

  uncountedOf(userId: string): ReturnType<StatisticsStore['uncountedOf']> {
    return this.#file.guard(() => readUncountedOf(this.#reader, userId))
  }

  users(of: UsersQuery): ReturnType<StatisticsStore['users']> {
    return this.#file.guard(() => readUsers(this.#reader, of))
  }

  shadow(): Promise<ShadowStatistics> {
    const opened = { file: this.#file, live: this.#reader, writer: this.#writer, open: openFile }
    return this.#file.guard(() => openShadow(opened))
  }

  clear(): Promise<void> {
    return this.#file.guard(() =>
      transact(this.#writer, () => {
        for (const table of STATISTICS_TABLES) this.#writer.exec(`DELETE FROM ${table}`)
      }),
    )
  }

  /** False where the cursors are not at `from`. */
  #fold({ from, to, parts, uncounted, now }: Fold): boolean {
    for (const { topic, partition } of to) {
      const row = this.#statements.cursor.get(topic, partition) as { next: number } | undefined
      if ((row?.next ?? 0) !== nextOf(from, { topic, partition })) return false
    }
    if (!sameErasures(this.#counted(), from)) return false
    this.#statements.addDays(parts.days)
    this.#statements.addHours(parts.hours)
    this.#statements.addPlays(parts.plays)
    const updated = isEmptyFold(parts) ? null : now
    for (const cursor of to) this.#moveCursor(cursor, updated)
    if (uncounted !== undefined) this.#statements.uncounted.add(uncounted)
    return true
  }

  #counted(): PartitionCursor[] {
    return coverageOf(this.#statements.cursors.all() as CursorRow[]).cursors
  }

  #moveCursor({ topic, partition, next, mark }: KeptCursor, updated: number | null): void {
    const { log_id, append_time } = markColumns(mark)
    this.#statements.moveCursor.run(topic, partition, next, updated, log_id, append_time)
  }

  async checkReady(): Promise<void> {
    await this.cursors()
    this.#file.check()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#file[Symbol.dispose]()
    await this.#reader.destroy()
    for (const database of [this.#writer, this.#scopes]) if (database.isOpen) database.close()
  }
}

/** Straight on the driver, for it is what statistics are asked most: one moment, and nothing awaits in between. */
function prepareReading(database: DatabaseSync): ScopeReader {
  const cursors = database.prepare('SELECT topic, partition_id, next, updated, uncounted FROM counted_cursors')
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
    cursors: database.prepare('SELECT topic, partition_id, next, updated, uncounted FROM counted_cursors'),
    cursor: database.prepare('SELECT next FROM counted_cursors WHERE topic = ? AND partition_id = ?'),
    moveCursor: database.prepare(
      'INSERT INTO counted_cursors (topic, partition_id, next, updated, log_id, append_time) VALUES (?, ?, ?, ?, ?, ?) ' +
        'ON CONFLICT (topic, partition_id) DO UPDATE SET next = excluded.next, updated = coalesce(excluded.updated, updated), ' +
        'log_id = coalesce(excluded.log_id, log_id), append_time = excluded.append_time',
    ),
    addDays: add.days,
    addHours: prepareHours(database),
    addPlays: add.plays,
    erase: prepareErasing(database, add),
    uncounted: prepareUncounted(database),
  }
}
