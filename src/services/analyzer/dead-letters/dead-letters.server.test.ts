import { randomUUID } from 'node:crypto'
import { openKafka, testBrokers } from '../../../log/testing/kafka.fixture.ts'
import { renamedLog } from '../../../log/testing/renamed-log.fixture.ts'
import type { LogUnderTest } from '../testing/analyzer.fixture.ts'
import { deadLettersContract } from '../testing/dead-letters.contract.ts'

const brokers = testBrokers('dead letters')
if (brokers !== undefined) {
  const open = async (): Promise<LogUnderTest> => {
    const { log, ...opened } = await openKafka(brokers, { partitions: 3 })
    const prefix = randomUUID()
    return {
      log: renamedLog(log, prefix),
      deleteBefore: (at) => log.deleteBefore({ ...at, topic: `${prefix}.${at.topic}` }),
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    }
  }
  deadLettersContract('Kafka', open, { numRuns: 4 })
}
