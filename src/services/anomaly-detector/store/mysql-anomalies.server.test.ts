import { describe } from 'node:test'
import { openMysqlPlace, SKIP_WITHOUT_MYSQL } from '../../../store/testing/mysql.fixture.ts'
import { anomalyStoreContract, type OpenedAnomalies } from '../testing/anomaly-store.contract.ts'
import { openMysqlAnomalies } from './mysql-anomalies.ts'

async function openMysql(): Promise<OpenedAnomalies> {
  const stack = new AsyncDisposableStack()
  const { options } = stack.use(await openMysqlPlace())
  const openAgain = async () => stack.use(await openMysqlAnomalies(options))
  return { anomalies: await openAgain(), openAgain, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

describe('MySQL', { skip: SKIP_WITHOUT_MYSQL }, () => {
  anomalyStoreContract({ name: 'MySQL', open: openMysql })
})
