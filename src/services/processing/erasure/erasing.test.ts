import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedLog } from '../../../log/embedded/embedded-log.ts'
import { openSqliteStore } from '../../../store/sqlite/sqlite-store.ts'
import { openSqliteStatistics } from '../store/sqlite/sqlite-statistics.ts'
import { erasingFlowContract } from '../testing/erasing-flow.contract.ts'

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
