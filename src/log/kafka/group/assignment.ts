export type TopicPartition = { topic: string; partition: number }

export type GroupSubscription = {
  memberId: string
  topics: readonly string[]
  /** What it had before, which it keeps as far as the others get their share. */
  owned: readonly TopicPartition[]
}

/**
 * Shares partitions among the members of a group: each partition to one that subscribes to its topic, the same number
 * to each up to one, and as few moves as that allows. The same input gives the same output whoever computes it.
 */
export function assignPartitions(
  subscriptions: readonly GroupSubscription[],
  partitions: readonly TopicPartition[],
): Map<string, TopicPartition[]> {
  const members = subscriptions.toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1))
  const shares = new Map<string, TopicPartition[]>(members.map(({ memberId }) => [memberId, []]))
  const free = new Map(partitions.map((it) => [partitionId(it), it]))
  const share = Math.floor(partitions.length / Math.max(members.length, 1))
  let larger = partitions.length % Math.max(members.length, 1)
  for (const { memberId, topics, owned } of members) {
    const mine = shares.get(memberId) as TopicPartition[]
    for (const it of owned) {
      const id = partitionId(it)
      if (!free.has(id) || !topics.includes(it.topic) || mine.length > share) continue
      if (mine.length === share && larger-- <= 0) break
      free.delete(id)
      mine.push(it)
    }
  }
  for (const it of free.values()) {
    const [poorest] = members
      .filter(({ topics }) => topics.includes(it.topic))
      .map(({ memberId }) => shares.get(memberId) as TopicPartition[])
      .sort((a, b) => a.length - b.length)
    poorest?.push(it)
  }
  return shares
}

export function partitionId({ topic, partition }: TopicPartition): string {
  return `${topic}:${partition}`
}
