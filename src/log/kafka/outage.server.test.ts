import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { isFailure } from '../../errors.ts'
import type { EventLog } from '../event-log.ts'
import { newRecord, newTopic, readAll, startReader, text } from '../testing/event-log.probe.ts'
import { Network, openKafka, testBrokers, waitUntil } from '../testing/kafka.fixture.ts'

const brokers = testBrokers('outages of Kafka')
if (brokers !== undefined) describe('while Kafka is unavailable', () => outageTests(brokers))

/** How long a caller waits for no, and how soon all is well again. */
const ANSWER_MS_MAX = 2000
const RETURN_MS_MAX = { refuse: 2000, silence: 3000 }

/** Of the 1.6 s that an append may take. */
const SHORT_OUTAGE_MS = 1250

function outageTests(brokers: string): void {
  test('an append is tried until there is no time left', async () => {
    await using network = await Network.take()
    await using place = await openKafka(brokers)
    const topic = newTopic()
    await place.log.append([newRecord(topic, 'a', 'before')])
    network.refuse()
    const append = place.log.append([newRecord(topic, 'a', 'during')])
    append.catch(() => {})
    await sleep(SHORT_OUTAGE_MS)
    network.mend()
    await append
    assert.deepEqual((await readAll(place.log, topic)).map(text), ['before', 'during'])
  })

  for (const kind of ['refuse', 'silence'] as const) {
    const what = kind === 'refuse' ? 'its end' : 'its silence'

    test(`an append is refused in time after ${what}, and taken soon after its return`, async () => {
      await using network = await Network.take()
      await using place = await openKafka(brokers)
      const topic = newTopic()
      await place.log.append([newRecord(topic, 'a', 'before')])
      network[kind]()
      for (let i = 0; i < 3; i++) {
        const appends = Array.from({ length: 5 }, () => refused(place.log.append([newRecord(topic, 'a', 'during')])))
        await Promise.all(appends)
      }
      await refused(place.log.checkReady())
      network.mend()
      const began = performance.now()
      await waitUntil(() => succeeds(place.log.append([newRecord(topic, 'a', 'after')])), 'an append is taken')
      assert.ok(performance.now() - began < RETURN_MS_MAX[kind], `${performance.now() - began} ms`)
      await place.log.checkReady()
      const kept = (await readAll(place.log, topic)).map(text)
      assert.ok(kept[0] === 'before' && kept.at(-1) === 'after', String(kept))
    })

    test(`a consumer goes on by itself after ${what}`, async () => {
      await using network = await Network.take()
      await using place = await openKafka(brokers)
      const topic = newTopic()
      await place.log.append([newRecord(topic, 'a', '0')])
      let starts = 0
      const startAt = async () => starts++
      await using reader = startReader(place.log, { topics: [topic], startAt })
      assert.deepEqual((await reader.next()).records.map(text), ['0'])
      const next = reader.next()
      network[kind]()
      await refused(place.log.append([newRecord(topic, 'a', 'lost or not')]))
      network.mend()
      await waitUntil(() => succeeds(place.log.append([newRecord(topic, 'a', '1')])), 'an append is taken')
      const seen = (await next).records.map(text)
      while (!seen.includes('1')) seen.push(...(await reader.next()).records.map(text))
      assert.equal(starts, 1, 'so short an outage moves no partition')
    })

    test(`closing is quick after ${what}`, async () => {
      await using network = await Network.take()
      await using place = await openKafka(brokers)
      const topic = newTopic()
      await place.log.append([newRecord(topic, 'a', 'x')])
      await using reader = startReader(place.log, { topics: [topic] })
      await reader.next()
      const next = reader.next()
      next.catch(() => {})
      network[kind]()
      const append = refused(place.log.append([newRecord(topic, 'a', 'x')]))
      const began = performance.now()
      await place.log[Symbol.asyncDispose]()
      assert.ok(performance.now() - began < 2000, `${performance.now() - began} ms`)
      await append
      await assert.rejects(next, (error) => isFailure(error, 'closed'))
    })
  }
}

async function refused(call: Promise<unknown>): Promise<void> {
  const began = performance.now()
  await assert.rejects(call, (error) => {
    assert.ok(isFailure(error, 'log_unavailable') || isFailure(error, 'log_overloaded'), String(error))
    assert.ok(error.retryable)
    return true
  })
  assert.ok(performance.now() - began < ANSWER_MS_MAX, `answered after ${performance.now() - began} ms`)
}

async function succeeds(call: ReturnType<EventLog['append']>): Promise<boolean> {
  return call.then(
    () => true,
    () => false,
  )
}
