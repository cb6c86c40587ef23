import { openKafkaLog } from '../kafka/kafka-log.ts'

/**
 * A member of a group as a process: tells where it begins each partition and every batch, a line each, until SIGTERM.
 * It begins where the group has committed, and commits each batch, so the committed offsets stand for a store. Where
 * that fails, for instance when the process was stopped in the middle of it, the batch comes again.
 */

const [, , brokers = '', group = '', topic = ''] = process.argv
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())

const parsed = brokers.split(',').map((broker) => {
  const [host = '', port = '9092'] = broker.split(':')
  return { host, port: Number(port) }
})
await using log = await openKafkaLog({ brokers: parsed, partitions: 1, replication: 1 })

async function startAt({ partition }: { partition: number }): Promise<number> {
  const cursors = await log.groups(topic)
  const at = cursors.find((cursor) => cursor.group === group && cursor.partition === partition)?.next ?? 0
  tell({ kind: 'start', partition, at })
  return at
}

for await (const batch of log.consume({ group, topics: [topic], startAt, batchRecordsMax: 10, signal: stop.signal })) {
  const { partition, from, next, records } = batch
  tell({ kind: 'batch', partition, from, next, values: records.map(({ value }) => Buffer.from(value).toString()) })
  await log.commit(group, [{ topic, partition, next }]).catch(() => {})
}

function tell(news: object): void {
  process.stdout.write(`${JSON.stringify(news)}\n`)
}
