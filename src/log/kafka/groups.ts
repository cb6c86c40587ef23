import { listGroupsV4, offsetCommitV8, offsetFetchV8 } from '@platformatic/kafka'
import type { GroupCursor } from '../event-log.ts'
import type { PartitionCursor } from '../position.ts'
import type { KafkaCluster } from './cluster.ts'
import { answerOf, hasCode } from './failure.ts'
import type { GroupCoordinator } from './group/coordinator.ts'

/** The committed offsets of groups, which are for those who watch lag. */

type Identity = { generation: number; memberId: string }

/** What is not a member may commit only while there is none. */
const OUTSIDER: Identity = { generation: -1, memberId: '' }

/**
 * Commits as the member that `identity` names. Where partitions have just moved to others, nothing is committed: they
 * will do it, and go further.
 */
export async function commitOffsets(
  cluster: KafkaCluster,
  coordinator: GroupCoordinator,
  {
    group,
    cursors,
    identity,
  }: { group: string; cursors: readonly PartitionCursor[]; identity: () => Identity | undefined },
): Promise<void> {
  const topics = [...Map.groupBy(cursors, ({ topic }) => topic)].map(([name, some]) => ({
    name,
    partitions: some.map(({ partition, next }) => ({
      partitionIndex: partition,
      committedOffset: BigInt(next),
      committedLeaderEpoch: -1,
      committedMetadata: '',
    })),
  }))
  await cluster.retry(async () => {
    const { generation, memberId } = identity() ?? OUTSIDER
    try {
      await coordinator.request(cluster, offsetCommitV8.api, group, generation, memberId, null, topics)
    } catch (error) {
      if (!hasCode(error, 'REBALANCE_IN_PROGRESS', 'UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION')) throw error
    }
  })
}

/** Of every group that has committed something in the topic, whether anybody is in it or not. */
export async function committedCursors(cluster: KafkaCluster, topic: string, count: number): Promise<GroupCursor[]> {
  const partitionIndexes = Array.from({ length: count }, (_, partition) => partition)
  return cluster.retry(async () => {
    const ofBrokers = cluster.brokers.map(async (broker) => {
      // A broker lists the groups that it coordinates, so it also has their offsets.
      const { groups } = await answerOf(cluster.request(broker, listGroupsV4.api, [], []))
      if (groups.length === 0) return []
      const wanted = groups.map(({ groupId }) => ({
        groupId,
        memberId: null,
        memberEpoch: -1,
        topics: [{ name: topic, partitionIndexes }],
      }))
      const answer = await answerOf(cluster.request(broker, offsetFetchV8.api, wanted, false))
      return answer.groups.flatMap(({ groupId, topics }) =>
        topics.flatMap(({ partitions }) =>
          partitions
            .filter(({ committedOffset }) => committedOffset >= 0n)
            .map((it) => ({ group: groupId, topic, partition: it.partitionIndex, next: Number(it.committedOffset) })),
        ),
      )
    })
    const cursors = (await Promise.all(ofBrokers)).flat()
    return cursors.sort((a, b) => (a.group === b.group ? a.partition - b.partition : a.group < b.group ? -1 : 1))
  })
}
