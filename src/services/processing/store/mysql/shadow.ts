import { MysqlDatabase, type MysqlOptions } from '../../../../store/mysql/database.ts'
import {
  createShadowTables,
  dropShadowTables,
  renameToShadow,
  swapShadowTables,
} from '../../../../store/mysql/migrations.ts'
import { compareTables, rowReader } from '../../rebuild/comparison.ts'
import type { ShadowStatistics, StatisticsStore } from '../statistics-store.ts'
import { readCursors, STATISTICS_TABLES, type StatisticsDatabase } from '../tables/statistics-tables.ts'

/** Statistics in tables of the same form and other names, in the same database. */
export async function openShadow(
  options: MysqlOptions,
  live: MysqlDatabase<StatisticsDatabase>,
  open: (database: MysqlDatabase<StatisticsDatabase>) => StatisticsStore,
): Promise<ShadowStatistics> {
  await live.transact((session) => createShadowTables(session, STATISTICS_TABLES))
  const purpose = { code: 'statistics_unavailable', rename: renameToShadow(STATISTICS_TABLES) } as const
  const database = new MysqlDatabase<StatisticsDatabase>(options, purpose)
  const statistics = open(database)
  return {
    statistics,
    compare: (countUpTo) =>
      live.read((db) =>
        db
          .transaction()
          .setIsolationLevel('repeatable read')
          .execute(async (snapshot) => {
            await countUpTo((await readCursors(snapshot)).cursors)
            return database.read((shadow) => compareTables(rowReader(snapshot), rowReader(shadow)))
          }),
      ),
    swapIn: () => live.transact((session) => swapShadowTables(session, STATISTICS_TABLES)),
    async [Symbol.asyncDispose]() {
      await statistics[Symbol.asyncDispose]()
      await live.transact((session) => dropShadowTables(session, STATISTICS_TABLES))
    },
  }
}
