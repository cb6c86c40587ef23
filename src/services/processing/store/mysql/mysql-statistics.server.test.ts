import { describe } from 'node:test'
import { openMysqlPlace, SKIP_WITHOUT_MYSQL } from '../../../../store/testing/mysql.fixture.ts'
import { REFUSE_SONG_IN_MYSQL } from '../../testing/refused-song.fixture.ts'
import { type OpenedStatistics, statisticsStoreContract } from '../../testing/statistics-store.contract.ts'
import { openMysqlStatistics } from './mysql-statistics.ts'

async function openMysql(): Promise<OpenedStatistics> {
  const stack = new AsyncDisposableStack()
  const { options, admin } = stack.use(await openMysqlPlace())
  const openAgain = async () => stack.use(await openMysqlStatistics(options))
  const refuseSong = async () => void (await admin(REFUSE_SONG_IN_MYSQL))
  return { statistics: await openAgain(), openAgain, refuseSong, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

describe('MySQL', { skip: SKIP_WITHOUT_MYSQL }, () => {
  statisticsStoreContract({ name: 'MySQL', open: openMysql })
})
