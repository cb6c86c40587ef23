import { describe } from 'node:test'
import { eventStoreContract, type OpenedStore } from '../testing/event-store.contract.ts'
import { type MysqlPlace, openMysqlPlace, SKIP_WITHOUT_MYSQL } from '../testing/mysql.fixture.ts'
import { openMysqlStore } from './mysql-store.ts'

async function openMysql(): Promise<OpenedStore & MysqlPlace> {
  const stack = new AsyncDisposableStack()
  const place = stack.use(await openMysqlPlace())
  const openAgain = async () => stack.use(await openMysqlStore(place.options))
  return {
    ...place,
    store: await openAgain(),
    openAgain,
    async refuseSong(name) {
      await place.admin(`ALTER TABLE music_info ADD CONSTRAINT refused CHECK (song_name <> '${name}')`)
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

describe('MySQL', { skip: SKIP_WITHOUT_MYSQL }, () => {
  eventStoreContract({ name: 'MySQL', open: openMysql })
})
