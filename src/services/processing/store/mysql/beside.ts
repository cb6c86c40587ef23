import { MysqlDatabase, type MysqlOptions } from '../../../../store/mysql/database.ts'
import { dropBeside, makeBeside, renameToBeside, swapBeside } from '../../../../store/mysql/migrations.ts'
import { compareTables, rowReader } from '../../rebuild/comparison.ts'
import type { StatisticsBeside, StatisticsStore } from '../statistics-store.ts'
import { readCursors, STATISTICS_TABLES, type StatisticsDatabase } from '../tables/statistics-tables.ts'

/** Statistics in tables of the same form and other names, in the same database. */
export async function openBeside(
  options: MysqlOptions,
  live: MysqlDatabase<StatisticsDatabase>,
  open: (database: MysqlDatabase<StatisticsDatabase>) => StatisticsStore,
): Promise<StatisticsBeside> {
  await live.transact((session) => makeBeside(session, STATISTICS_TABLES))
  const purpose = { code: 'statistics_unavailable', rename: renameToBeside(STATISTICS_TABLES) } as const
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
            return database.read((beside) => compareTables(rowReader(snapshot), rowReader(beside)))
          }),
      ),
    swapIn: () => live.transact((session) => swapBeside(session, STATISTICS_TABLES)),
    async [Symbol.asyncDispose]() {
      await statistics[Symbol.asyncDispose]()
      await live.transact((session) => dropBeside(session, STATISTICS_TABLES))
    },
  }
}
