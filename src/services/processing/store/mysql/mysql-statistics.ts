import type { Kysely } from 'kysely'
import { type KeptCursor, markColumns, nextOf, type PartitionCursor } from '../../../../log/position.ts'
import { adoptCursor, readKeptCursors } from '../../../../store/kept-cursors.ts'
import type { Ending, MysqlDatabase, MysqlOptions } from '../../../../store/mysql/database.ts'
import { mysqlErrorKind, mysqlErrorName } from '../../../../store/mysql/error.ts'
import { rowLiteral } from '../../../../store/mysql/literal.ts'
import { emptyTables, type Opening, openMysqlDatabase } from '../../../../store/mysql/migrations.ts'
import type { MysqlSession } from '../../../../store/mysql/session.ts'
import type { DailyTotals, Totals } from '../../days/day-statistics.ts'
import { DayStatistics } from '../../days/day-statistics.ts'
import { type ErasedUser, sameErasures, standAt } from '../../erasure/erasing.ts'
import { type FoldOutcome, isEmptyFold, isUncountable, refusedFold } from '../../fold.ts'
import { PlayLists } from '../../plays/play-lists.ts'
import type { DailyQuery, HourRange, PlayedQuery, ScopeAt, TotalsQuery, UsersQuery } from '../../query.ts'
import { readUsers } from '../../users/counted-users.ts'
import type { Fold, ShadowStatistics, StatisticsStore } from '../statistics-store.ts'
import { addHours, readHours } from '../tables/counted-hours-tables.ts'
import {
  readCursors,
  STATISTICS_TABLES,
  type StatisticsDatabase,
  statisticsMigrations,
} from '../tables/statistics-tables.ts'
import { addUncounted, readUncounted, readUncountedOf, removeUncounted } from '../tables/uncounted-tables.ts'
import { addDays, lockGlobalScope, readScope } from './days.ts'
import { eraseUser } from './erasing.ts'
import { addPlays } from './plays.ts'
import { openShadow } from './shadow.ts'

/** Brings the statistics' tables to their newest form and opens them. Any number of instances may do so at once. */
export async function openMysqlStatistics(options: MysqlOptions, opening?: Opening): Promise<StatisticsStore> {
  const migrations = statisticsMigrations('mysql')
  const schema = { code: 'statistics_unavailable', migrations, table: 'statistics_migrations' } as const
  return new MysqlStatistics(options, await openMysqlDatabase<StatisticsDatabase>(options, schema, opening))
}

/**
 * The statistics on a server, for any number of instances. Every fold changes everybody's totals, so that row is the
 * lock: whoever has it is the only one that folds, in every partition, and reads what the last one left.
 */
class MysqlStatistics implements StatisticsStore {
  readonly #options: MysqlOptions
  readonly #database: MysqlDatabase<StatisticsDatabase>
  readonly #dayStatistics: DayStatistics
  readonly #lists = new PlayLists()

  constructor(options: MysqlOptions, database: MysqlDatabase<StatisticsDatabase>) {
    this.#options = options
    this.#database = database
    this.#dayStatistics = new DayStatistics((query) => readScope(database, query))
  }

  cursors(): Promise<KeptCursor[]> {
    return this.#database.read((db) => readKeptCursors(db, 'counted_cursors'))
  }

  adopt(cursor: KeptCursor): Promise<void> {
    return this.#database.read((db) => adoptCursor(db, 'counted_cursors', cursor))
  }

  fold(fold: Fold): Promise<FoldOutcome> {
    return this.#database.transact(async (session): Promise<Ending<FoldOutcome>> => {
      try {
        const folded = await foldParts(session, fold)
        return { keep: folded, result: { kind: folded ? 'folded' : 'overtaken' } }
      } catch (error) {
        const kind = mysqlErrorKind(error)
        const isRefusal = kind === 'refused' || kind === 'duplicate' || isUncountable(error)
        if (!isRefusal) throw error
        return { keep: false, result: refusedFold(mysqlErrorName(error)) }
      }
    })
  }

  erase(erased: ErasedUser): Promise<boolean> {
    return this.#database.transact(async (session) => {
      await lockGlobalScope(session)
      if (!standAt(await countedCursors(session), erased.from)) return { keep: false, result: false }
      await eraseUser(session, erased)
      await addHours(session, erased.hours)
      await removeUncounted(session, erased.uncounted)
      await moveCursors(session, { to: [erased.to], updated: erased.now })
      return { keep: true, result: true }
    })
  }

  totals(of: TotalsQuery): Promise<Totals> {
    return this.#dayStatistics.totals(of)
  }

  daily(of: DailyQuery): Promise<DailyTotals> {
    return this.#dayStatistics.daily(of)
  }

  records(of: ScopeAt): ReturnType<StatisticsStore['records']> {
    return this.#dayStatistics.records(of)
  }

  played(of: PlayedQuery): ReturnType<StatisticsStore['played']> {
    return this.#snapshot((db) => this.#lists.read(db, of))
  }

  hours(range: HourRange): ReturnType<StatisticsStore['hours']> {
    return this.#snapshot(async (db) => ({
      hours: await readHours(db, range),
      uncounted: await readUncounted(db, range),
      cursors: (await readCursors(db)).cursors,
    }))
  }

  uncountedOf(userId: string): ReturnType<StatisticsStore['uncountedOf']> {
    return this.#database.read((db) => readUncountedOf(db, userId))
  }

  users(of: UsersQuery): ReturnType<StatisticsStore['users']> {
    return this.#database.read((db) => readUsers(db, of))
  }

  shadow(): Promise<ShadowStatistics> {
    const open = (database: MysqlDatabase<StatisticsDatabase>) => new MysqlStatistics(this.#options, database)
    return openShadow(this.#options, this.#database, open)
  }

  clear(): Promise<void> {
    return this.#database.transact((session) => emptyTables(session, STATISTICS_TABLES))
  }

  async checkReady(): Promise<void> {
    await this.cursors()
  }

  /** The same moment for all that is read. */
  #snapshot<T>(work: (db: Kysely<StatisticsDatabase>) => Promise<T>): Promise<T> {
    return this.#database.read((db) => db.transaction().setIsolationLevel('repeatable read').execute(work))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#database[Symbol.asyncDispose]()
  }
}

/** False where the cursors are not at `from`. */
async function foldParts(session: MysqlSession, { from, to, parts, uncounted, now }: Fold): Promise<boolean> {
  await lockGlobalScope(session)
  const at = await countedCursors(session)
  if (to.some((cursor) => nextOf(at, cursor) !== nextOf(from, cursor))) return false
  if (!sameErasures(at, from)) return false
  await addDays(session, parts.days)
  await addHours(session, parts.hours)
  await addPlays(session, parts.plays)
  await moveCursors(session, { to, updated: isEmptyFold(parts) ? null : now })
  if (uncounted !== undefined) await addUncounted(session, uncounted)
  return true
}

async function countedCursors(session: MysqlSession): Promise<PartitionCursor[]> {
  const rows = await session.query<{ topic: string; partition_id: number; next: number }[]>(
    'SELECT topic, partition_id, next FROM counted_cursors FOR UPDATE',
  )
  return rows.map(({ topic, partition_id, next }) => ({ topic, partition: partition_id, next }))
}

async function moveCursors(
  session: MysqlSession,
  { to, updated }: { to: readonly KeptCursor[]; updated: number | null },
): Promise<void> {
  if (to.length === 0) return
  const rows = to.map(({ topic, partition, next, mark }) => {
    const { log_id, append_time } = markColumns(mark)
    return rowLiteral([topic, partition, next, updated, log_id, append_time])
  })
  await session.query(
    `INSERT INTO counted_cursors (topic, partition_id, next, updated, log_id, append_time) VALUES ${rows} ` +
      'ON DUPLICATE KEY UPDATE next = VALUES(next), updated = coalesce(VALUES(updated), updated), ' +
      'log_id = coalesce(VALUES(log_id), log_id), append_time = VALUES(append_time)',
  )
}
