import { describe } from 'node:test'
import { openMysqlPlace, SKIP_WITHOUT_MYSQL } from '../../../../store/testing/mysql.fixture.ts'
import { type OpenedStatistics, statisticsStoreContract } from '../../testing/statistics-store.contract.ts'
import { openMysqlStatistics } from './mysql-statistics.ts'

async function openMysql(): Promise<OpenedStatistics> {
  const stack = new AsyncDisposableStack()
  const { options } = stack.use(await openMysqlPlace())
  const openAgain = async () => stack.use(await openMysqlStatistics(options))
  return { statistics: await openAgain(), openAgain, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

describe('MySQL', { skip: SKIP_WITHOUT_MYSQL }, () => {
  statisticsStoreContract({ name: 'MySQL', open: openMysql })
})
