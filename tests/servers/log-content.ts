import assert from 'node:assert/strict'
import { readConfig } from '../../src/config.ts'
import { openKafkaLog } from '../../src/log/kafka/kafka-log.ts'
import type { Json } from '../../test-support/harness.ts'

const TOPICS = ['runify.running_stats', 'runify.music_info']
const READ_RECORDS = 5000

/** The values of one field of all events that the log at `address` holds. */
export async function valuesInLog(address: string, field: 'event_id' | 'trace_id'): Promise<Set<string>> {
  const { log: choice } = readConfig({ RUNIFY_LOG: address })
  assert.ok(choice.kind === 'kafka')
  await using log = await openKafkaLog(choice)
  const values = new Set<string>()
  for (const topic of TOPICS) {
    for (const { partition, first, next } of await log.partitions(topic)) {
      for (let from = first; from < next; ) {
        const records = await log.read({ topic, partition, from, limit: READ_RECORDS })
        for (const { value } of records) values.add((JSON.parse(String(value)) as Json)[field] as string)
        from = (records.at(-1)?.offset ?? next) + 1
      }
    }
  }
  return values
}
