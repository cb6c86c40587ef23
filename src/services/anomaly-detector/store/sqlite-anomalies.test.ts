import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { anomalyStoreContract, type OpenedAnomalies } from '../testing/anomaly-store.contract.ts'
import { openSqliteAnomalies } from './sqlite-anomalies.ts'

async function openSqlite(): Promise<OpenedAnomalies> {
  const stack = new AsyncDisposableStack()
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'runify-anomalies-')))
  const openAgain = async () => stack.use(await openSqliteAnomalies({ dir }))
  return { anomalies: await openAgain(), openAgain, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

anomalyStoreContract({ name: 'SQLite', open: openSqlite })
