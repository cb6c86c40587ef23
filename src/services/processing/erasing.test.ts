import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedLog } from '../../log/embedded-log.ts'
import { openSqliteStore } from '../../store/sqlite-store.ts'
import { erasingFlowContract } from './erasing-flow.contract.ts'
import { openSqliteStatistics } from './sqlite-statistics.ts'

erasingFlowContract('the embedded log and SQLite', async () => {
  await using opened = new AsyncDisposableStack()
  const { path: dir } = opened.use(await mkdtempDisposable(join(tmpdir(), 'runify-')))
  const log = opened.use(new EmbeddedLog({ dir, partitions: 3 }))
  const all = opened.move()
  return {
    log,
    openStore: () => openSqliteStore({ dir }),
    openStatistics: () => openSqliteStatistics({ dir }),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
})
