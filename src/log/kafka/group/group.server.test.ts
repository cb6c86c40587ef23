import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createPartitionsV3, offsetDeleteV0 } from '@platformatic/kafka'
import { newGroup, newRecord, newTopic, records, startReader } from '../../testing/event-log.probe.ts'
import {
  kafkaOptions,
  type Member,
  openKafka,
  startMember,
  testBrokers,
  waitUntil,
} from '../../testing/kafka.fixture.ts'
import { KafkaCluster } from '../cluster.ts'
import { GroupCoordinator } from './coordinator.ts'

/** Members in processes of their own, which share a topic by their group. */

const brokers = testBrokers('the groups of the Kafka log')
if (brokers !== undefined) describe('the groups of the Kafka log', () => groupTests(brokers))

const PARTITIONS = 4

function groupTests(brokers: string): void {
  test('share partitions, and hand them over when members join, leave and die', async () => {
    await using place = await openKafka(brokers, { partitions: PARTITIONS })
    const [group, topic] = [newGroup(), newTopic()]
    const sent = new Set<string>()
    const send = async (count: number) => {
      const more = records(topic, count, `${sent.size}-`)
      for (const [i, record] of more.entries()) {
        const value = `${sent.size}`
        more[i] = { ...record, value: Buffer.from(value) }
        sent.add(value)
      }
      await place.log.append(more)
    }
    await send(100)
    await using first = startMember({ brokers, group, topic })
    await waitUntil(() => hasAll(sent, first), 'the first has read all')
    await using second = startMember({ brokers, group, topic })
    await waitUntil(() => startedBy(second).size === PARTITIONS / 2, 'the second has its share')
    await send(200)
    await waitUntil(() => hasAll(sent, first, second), 'both have read all')
    await using third = startMember({ brokers, group, topic })
    await waitUntil(() => startedBy(third).size === 1, 'the third has its share')
    await send(200)
    await waitUntil(() => hasAll(sent, first, second, third), 'all have read all')

    second.kill('SIGTERM')
    assert.equal(await second.exited, 0)
    await send(200)
    await waitUntil(() => hasAll(sent, first, second, third), 'those that stay have read all')

    first.kill('SIGKILL')
    await send(200)
    await waitUntil(() => hasAll(sent, first, second, third), 'the last has read all')
    assert.equal(startedBy(third).size, PARTITIONS)
    for (const member of [first, second, third]) followOnOneAnother(member)
    for (const values of [first, second, third].map(valuesOf)) {
      assert.equal(new Set(values).size, values.length, 'each in order, none twice in one member')
    }
  })

  test('ask a member that was frozen and replaced to begin anew', async () => {
    await using place = await openKafka(brokers, { partitions: 2 })
    const [group, topic] = [newGroup(), newTopic()]
    await place.log.partitions(topic)
    await using frozen = startMember({ brokers, group, topic })
    await waitUntil(() => startedBy(frozen).size === 2, 'it has both partitions')
    await place.log.append(numbered(topic, 0, 50))
    await waitUntil(() => valuesOf(frozen).length === 50, 'it reads')
    frozen.kill('SIGSTOP')
    await using other = startMember({ brokers, group, topic })
    await place.log.append(numbered(topic, 50, 50))
    await waitUntil(() => new Set(valuesOf(other)).size === 50, 'the other has taken over')
    const before = frozen.news.length
    frozen.kill('SIGCONT')
    await waitUntil(() => frozen.news.slice(before).some(({ kind }) => kind === 'start'), 'it begins anew')
    await place.log.append(numbered(topic, 100, 50))
    await waitUntil(() => hasAll(new Set(Array.from({ length: 150 }, (_, i) => `${i}`)), frozen, other), 'all is read')
    const stale = frozen.news.slice(before).findIndex(({ kind }) => kind === 'start')
    assert.ok(stale <= 1, `${stale} batches of what others have by now`)
  })

  test('read partitions that are added', async () => {
    await using place = await openKafka(brokers, { partitions: 1 })
    const topic = newTopic()
    await place.log.append([newRecord(topic, 'a', 'x')])
    const started = new Set<number>()
    const startAt = async ({ partition }: { partition: number }) => {
      started.add(partition)
      return 0
    }
    await using reader = startReader(place.log, { topics: [topic], startAt })
    await reader.next()
    const next = reader.next()
    await using cluster = clusterOf(brokers)
    await cluster.refresh([topic])
    const began = performance.now()
    assert.ok(cluster.controller !== undefined)
    await cluster.request(cluster.controller, createPartitionsV3.api, [{ name: topic, count: 3 }], 5000, false)
    await waitUntil(() => started.size === 3, 'they are read')
    assert.ok(performance.now() - began < 12_000)
    await waitUntil(async () => (await place.log.partitions(topic)).length === 3, 'they are written to')
    await place.log.append(records(topic, 60))
    const batch = await next
    assert.ok(batch.records.length > 0)
  })

  test('go on when the offsets of their group are deleted', async () => {
    await using place = await openKafka(brokers, { partitions: 1 })
    const [group, topic] = [newGroup(), newTopic()]
    await place.log.append([newRecord(topic, 'a', '0')])
    await using reader = startReader(place.log, { group, topics: [topic] })
    const { next } = await reader.next()
    await place.log.commit(group, [{ topic, partition: 0, next }])
    await using cluster = clusterOf(brokers)
    await cluster.refresh([topic])
    const coordinator = new GroupCoordinator(cluster, group)
    const topics = [{ name: topic, partitions: [{ partitionIndex: 0 }] }]
    // A broker refuses this while a member subscribes to the topic; what matters is what comes after the attempt.
    await coordinator.request(cluster, offsetDeleteV0.api, group, topics).catch(() => {})
    await place.log.append([newRecord(topic, 'a', '1')])
    const batch = await reader.next()
    assert.deepEqual([batch.from, batch.next], [1, 2])
    await place.log.commit(group, [{ topic, partition: 0, next: 2 }])
    assert.deepEqual(
      (await place.log.groups(topic)).map((it) => it.next),
      [2],
    )
  })
}

function clusterOf(brokers: string): KafkaCluster {
  return new KafkaCluster({ ...kafkaOptions(brokers), clientId: 'test' })
}

function numbered(topic: string, first: number, count: number) {
  return Array.from({ length: count }, (_, i) => newRecord(topic, `${first + i}`, `${first + i}`))
}

function valuesOf(member: Member): string[] {
  return member.news.flatMap((news) => (news.kind === 'batch' ? news.values : []))
}

function startedBy(member: Member): Set<number> {
  return new Set(member.news.flatMap((news) => (news.kind === 'start' ? [news.partition] : [])))
}

function hasAll(sent: ReadonlySet<string>, ...members: Member[]): boolean {
  return sent.isSubsetOf(new Set(members.flatMap(valuesOf)))
}

/** Between two starts of a partition its batches have no gap. */
function followOnOneAnother({ news }: Member): void {
  const reached = new Map<number, number>()
  for (const it of news) {
    if (it.kind === 'batch') assert.equal(it.from, reached.get(it.partition))
    reached.set(it.partition, it.kind === 'start' ? it.at : it.next)
  }
}
