import { randomUUID } from 'node:crypto'
import { openKafka, testBrokers } from '../../../log/testing/kafka.fixture.ts'
import { renamedLog } from '../../../log/testing/renamed-log.fixture.ts'
import { openMysqlStore } from '../../../store/mysql/mysql-store.ts'
import { openMysqlPlace } from '../../../store/testing/mysql.fixture.ts'
import { openMysqlStatistics } from '../store/mysql/mysql-statistics.ts'
import { erasingFlowContract } from '../testing/erasing-flow.contract.ts'

const brokers = testBrokers('erasing')
if (brokers !== undefined) {
  erasingFlowContract('Kafka and MySQL', async () => {
    await using opened = new AsyncDisposableStack()
    const kafka = opened.use(await openKafka(brokers, { partitions: 3 }))
    const place = opened.use(await openMysqlPlace())
    const prefix = randomUUID()
    const renamed = renamedLog(kafka.log, prefix)
    const all = opened.move()
    return {
      // A group of its own too: others use the broker at the same time.
      log: { ...renamed, consume: (options) => renamed.consume({ ...options, group: `${prefix}.${options.group}` }) },
      openStore: () => openMysqlStore(place.options),
      openStatistics: () => openMysqlStatistics(place.options),
      [Symbol.asyncDispose]: () => all.disposeAsync(),
    }
  })
}
