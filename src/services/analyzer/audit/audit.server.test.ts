import { randomUUID } from 'node:crypto'
import { describe } from 'node:test'
import { openKafka, testBrokers } from '../../../log/testing/kafka.fixture.ts'
import { renamedLog } from '../../../log/testing/renamed-log.fixture.ts'
import { openMysqlStore } from '../../../store/mysql/mysql-store.ts'
import { openMysqlPlace, SKIP_WITHOUT_MYSQL } from '../../../store/testing/mysql.fixture.ts'
import { openMysqlStatistics } from '../../processing/store/mysql/mysql-statistics.ts'
import { REFUSE_SONG_IN_MYSQL } from '../../processing/testing/refused-song.fixture.ts'
import type { LogUnderTest } from '../testing/analyzer.fixture.ts'
import { auditContract } from '../testing/audit.contract.ts'
import { type Database, openFlow } from '../testing/audit.fixture.ts'

const brokers = testBrokers('audit')
if (brokers !== undefined) {
  describe('With MySQL', { skip: SKIP_WITHOUT_MYSQL }, () => {
    const open = async () => openFlow(await openKafkaLog(brokers), await openMysql(), { byHttp: true })
    auditContract('Kafka and MySQL, by HTTP', open, { live: true })
  })
}

async function openKafkaLog(brokers: string): Promise<LogUnderTest> {
  const { log, ...opened } = await openKafka(brokers, { partitions: 3 })
  const prefix = randomUUID()
  return {
    log: renamedLog(log, prefix),
    deleteBefore: (at) => log.deleteBefore({ ...at, topic: `${prefix}.${at.topic}` }),
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  }
}

async function openMysql(): Promise<Database> {
  await using opened = new AsyncDisposableStack()
  const place = opened.use(await openMysqlPlace())
  const store = opened.use(await openMysqlStore(place.options))
  const statistics = opened.use(await openMysqlStatistics(place.options))
  const all = opened.move()
  return {
    ...{ store, statistics },
    sql: async (statement) => void (await place.admin(statement)),
    refuseSong: async () => void (await place.admin(REFUSE_SONG_IN_MYSQL)),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}
