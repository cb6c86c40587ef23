import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqliteStatistics } from './sqlite-statistics.ts'
import { type OpenedStatistics, statisticsStoreContract } from './statistics-store.contract.ts'

async function openSqlite(): Promise<OpenedStatistics> {
  const stack = new AsyncDisposableStack()
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'runify-statistics-')))
  const openAgain = async () => stack.use(await openSqliteStatistics({ dir }))
  return { statistics: await openAgain(), openAgain, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

statisticsStoreContract({ name: 'SQLite', open: openSqlite })
