import {
  decodeConsumerProtocolAssignment,
  decodeConsumerProtocolSubscription,
  encodeConsumerProtocolAssignment,
  encodeConsumerProtocolSubscription,
} from '@platformatic/kafka'
import type { GroupSubscription, TopicPartition } from './assignment.ts'

/** What members tell one another, in the form of Kafka's own consumers, so that its tools show who reads what. */

export const PROTOCOL_TYPE = 'consumer'
/** Ours alone, so that a group cannot be shared with consumers that begin at its committed offsets. */
export const PROTOCOL = 'runify-sticky'

const SUBSCRIPTION_VERSION = 1
const ASSIGNMENT_VERSION = 0

export function encodeSubscription({ topics, owned }: Omit<GroupSubscription, 'memberId'>): Buffer {
  return encodeConsumerProtocolSubscription({
    version: SUBSCRIPTION_VERSION,
    topics: [...topics],
    ownedPartitions: toTopics(owned),
  })
}

export function decodeSubscription({ memberId, metadata }: { memberId: string; metadata: Buffer }): GroupSubscription {
  const { topics, ownedPartitions } = decodeConsumerProtocolSubscription(metadata)
  return { memberId, topics, owned: toPartitions(ownedPartitions) }
}

export function encodeShare(partitions: readonly TopicPartition[]): Buffer {
  return encodeConsumerProtocolAssignment({ version: ASSIGNMENT_VERSION, assignedPartitions: toTopics(partitions) })
}

export function decodeShare(share: Buffer): TopicPartition[] {
  return toPartitions(decodeConsumerProtocolAssignment(share).assignedPartitions)
}

type TopicPartitions = { topic: string; partitions: number[] }

function toTopics(partitions: readonly TopicPartition[]): TopicPartitions[] {
  const byTopic = Map.groupBy(partitions, ({ topic }) => topic)
  return [...byTopic].map(([topic, some]) => ({ topic, partitions: some.map(({ partition }) => partition) }))
}

function toPartitions(topics: readonly TopicPartitions[]): TopicPartition[] {
  return topics.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })))
}
