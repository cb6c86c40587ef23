import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Failure } from '../../../errors.ts'
import { TOPICS } from '../../../events/catalogue.ts'
import { encodeEvent } from '../../../events/codec.ts'
import type { EventLog, NewRecord } from '../../../log/event-log.ts'
import { encodeTombstone } from '../../../log/tombstone.ts'
import { newRun } from '../../../store/testing/event-store.probe.ts'
import { letterOf, listen, openEmbedded, redrive, writeLetters } from '../testing/analyzer.fixture.ts'

test('a letter that the log never takes keeps no other from being sent again', async () => {
  await using opened = await openEmbedded(1)
  const { log } = opened
  const large = newRun({ distance: 12_345 })
  await using analyzer = await listen(refusing(log, encodeEvent(large)))
  await writeLetters(log, letterOf(0), letterOf(1, { event: large }), letterOf(2))
  const { counts, results } = await redrive(analyzer.address, { filter: {} })
  assert.deepEqual(counts, { redriven: 2, unfinished: 1 })
  assert.match(results[1]?.detail ?? '', /^the log does not take its record: a record of 9 bytes/)
  const forced = await redrive(analyzer.address, { ids: [results[1]?.id], force: true })
  assert.deepEqual(forced.counts, { unfinished: 1 })
  const [range] = await log.partitions(TOPICS[0] as string)
  assert.equal(range?.next, 2)
})

test('a letter whose user was forgotten is not sent again, and one that came later is', async () => {
  await using opened = await openEmbedded(1)
  const { log } = opened
  await using analyzer = await listen(log)
  const event = newRun()
  const { user_id } = event.fields
  await writeLetters(log, letterOf(4, { event }), letterOf(5, { event: newRun({ user_id }) }), letterOf(3))
  const positions = [{ topic: TOPICS[0] as string, partition: 0, next: 5 }]
  const request_id = '9b6b2a6e-1f0c-4a53-8d53-0f3f1a1f6a11'
  await log.append([encodeTombstone({ request_id, user_id, forgotten_at: 0, positions })])
  const { counts, results } = await redrive(analyzer.address, { filter: {} })
  assert.deepEqual(counts, { redriven: 2, forgotten: 1 })
  assert.equal(results[0]?.outcome, 'forgotten')
})

/** The log as Kafka is for a record beyond its bound: it refuses the whole append, now and always. */
function refusing(log: EventLog, refused: Uint8Array): EventLog {
  const append = (records: readonly NewRecord[]) => {
    const isRefused = records.some(({ value }) => Buffer.compare(value, refused) === 0)
    if (!isRefused) return log.append(records)
    return Promise.reject(new Failure('log_unavailable', 'a record of 9 bytes is too large', { retryable: false }))
  }
  return new Proxy(log, {
    get: (target, name) => {
      if (name === 'append') return append
      const member = Reflect.get(target, name)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}
