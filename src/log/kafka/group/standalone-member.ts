import { setTimeout as sleep } from 'node:timers/promises'
import type { KafkaCluster } from '../cluster.ts'
import { partitionId, type TopicPartition } from './assignment.ts'
import type { Membership } from './group-member.ts'

/** How soon partitions are read that others have added. */
const POLL_INTERVAL_MS = 1000

/** In the place of a group's member for one that reads alone: it has all partitions, and nobody takes them from it. */
export class StandaloneMember {
  readonly identity = undefined
  readonly fresh = true
  readonly #cluster: KafkaCluster
  readonly #topics: readonly string[]
  readonly #membership: Pick<Membership, 'assigned'>

  constructor(
    cluster: KafkaCluster,
    { topics, membership }: { topics: readonly string[]; membership: Pick<Membership, 'assigned'> },
  ) {
    this.#cluster = cluster
    this.#topics = topics
    this.#membership = membership
  }

  /** Tells of the partitions, and of more whenever there are more. */
  async run(signal: AbortSignal): Promise<void> {
    let partitions: TopicPartition[] = []
    while (!signal.aborted) {
      const found = this.#topics.flatMap((topic) => {
        const count = this.#cluster.partitionCount(topic) ?? 0
        return Array.from({ length: count }, (_, partition) => ({ topic, partition }))
      })
      if (found.length > partitions.length) {
        this.#membership.assigned({ partitions: found, kept: new Set(partitions.map(partitionId)) })
        partitions = found
      }
      await sleep(POLL_INTERVAL_MS, undefined, { signal }).catch(() => {})
      if (!signal.aborted) await this.#cluster.refresh(this.#topics).catch(() => {})
    }
  }

  async leave(): Promise<void> {}
}
