import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Kysely } from 'kysely'
import { guard, openReader, transact } from '../../store/sqlite-database.ts'
import { compareTables, rowReader } from './comparison.ts'
import { fileIn, openSqliteStatistics } from './sqlite-statistics.ts'
import type { StatisticsBeside } from './statistics-store.ts'
import { readCursors, STATISTICS_TABLES, type StatisticsDatabase, statisticsMigrations } from './statistics-tables.ts'

type Live = { live: Kysely<StatisticsDatabase>; writer: DatabaseSync; dir: string }

/** Statistics in a folder within the folder. They come into the place of the live ones as rows, in one transaction. */
export async function openBeside({ live, writer, dir }: Live): Promise<StatisticsBeside> {
  const place = join(dir, 'statistics-beside')
  await rm(place, { recursive: true, force: true })
  await using opened = new AsyncDisposableStack()
  opened.defer(() => rm(place, { recursive: true, force: true }))
  const statistics = opened.use(await openSqliteStatistics({ dir: place }))
  const file = fileIn(place)
  const rows = await openReader<StatisticsDatabase>(file, statisticsMigrations('sqlite'), 'statistics_migrations')
  opened.defer(() => rows.destroy())
  const all = opened.move()
  return {
    statistics,
    compare: (countUpTo) =>
      guard('statistics_unavailable', () =>
        live.transaction().execute(async (snapshot) => {
          await countUpTo((await readCursors(snapshot)).cursors)
          return compareTables(rowReader(snapshot), rowReader(rows))
        }),
      ),
    swapIn: () =>
      guard('statistics_unavailable', () => {
        writer.prepare('ATTACH DATABASE ? AS beside').run(file)
        try {
          transact(writer, () => {
            for (const table of STATISTICS_TABLES) {
              writer.exec(`DELETE FROM main.${table}; INSERT INTO main.${table} SELECT * FROM beside.${table}`)
            }
          })
        } finally {
          writer.exec('DETACH DATABASE beside')
        }
      }),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}
