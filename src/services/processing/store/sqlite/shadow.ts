import { rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Kysely } from 'kysely'
import type { DataFile } from '../../../../disk/data-file.ts'
import { openReader, type SqliteConnection, transact } from '../../../../store/sqlite/database.ts'
import { compareTables, rowReader } from '../../rebuild/comparison.ts'
import type { ShadowStatistics, StatisticsStore } from '../statistics-store.ts'
import {
  readCursors,
  STATISTICS_TABLES,
  type StatisticsDatabase,
  statisticsMigrations,
} from '../tables/statistics-tables.ts'

type Live = {
  file: DataFile
  live: Kysely<StatisticsDatabase>
  writer: SqliteConnection
  /** Opens the database of such statistics in a file. */
  open: (path: string) => Promise<StatisticsStore>
}

/** Statistics in a folder within the folder. They come into the place of the live ones as rows, in one transaction. */
export async function openShadow({ file, live, writer, open }: Live): Promise<ShadowStatistics> {
  const place = join(dirname(file.path), 'statistics-beside')
  const shadow = join(place, basename(file.path))
  await rm(place, { recursive: true, force: true })
  await using opened = new AsyncDisposableStack()
  opened.defer(() => rm(place, { recursive: true, force: true }))
  const statistics = opened.use(await open(shadow))
  const rows = await openReader<StatisticsDatabase>(shadow, statisticsMigrations('sqlite'), 'statistics_migrations')
  opened.defer(() => rows.destroy())
  const all = opened.move()
  return {
    statistics,
    compare: (countUpTo) =>
      file.guard(() =>
        live.transaction().execute(async (snapshot) => {
          await countUpTo((await readCursors(snapshot)).cursors)
          return compareTables(rowReader(snapshot), rowReader(rows))
        }),
      ),
    swapIn: () =>
      file.guard(() => {
        writer.prepare('ATTACH DATABASE ? AS shadow').run(shadow)
        try {
          transact(writer, () => {
            for (const table of STATISTICS_TABLES) {
              writer.exec(`DELETE FROM main.${table}; INSERT INTO main.${table} SELECT * FROM shadow.${table}`)
            }
          })
        } finally {
          writer.exec('DETACH DATABASE shadow')
        }
      }),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}
