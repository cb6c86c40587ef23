import { setTimeout as sleep } from 'node:timers/promises'
import { findErrorBy, heartbeatV4, joinGroupV7, leaveGroupV4, NetworkError, syncGroupV5 } from '@platformatic/kafka'
import type { BrokerConnections } from '../broker-connections.ts'
import type { KafkaCluster } from '../cluster.ts'
import { hasCode, isRetryable } from '../failure.ts'
import { assignPartitions, partitionId, type TopicPartition } from './assignment.ts'
import { GroupCoordinator } from './coordinator.ts'
import {
  decodeShare,
  decodeSubscription,
  encodeShare,
  encodeSubscription,
  PROTOCOL,
  PROTOCOL_TYPE,
} from './group-protocol.ts'

/** A member that is silent for so long is replaced. */
const SESSION_MS = 10_000
/** How soon a member hears that others join or leave, and how soon added partitions are seen. */
const HEARTBEAT_MS = 1000
/** How long the others wait for a member to come to rest and join again. */
const REBALANCE_MS = 10_000
const REST_MS_MAX = 5000
/** How long joining may fail before the consumer is told. */
const UNREACHABLE_MS = 5000
const RETRY_MS = 200
const LEAVE_MS_MAX = 80
const REQUEST_TIMEOUT_MS = REBALANCE_MS + 5000

export type Membership = {
  /** Partitions may move now: resolves when no batch is being handled, and none begins until `assigned`. */
  quiesce(): Promise<void>
  /** What this member has now. Those that it `kept` were nobody else's in between. */
  assigned(assignment: { partitions: readonly TopicPartition[]; kept: ReadonlySet<string> }): void
  /** Others may have everything by now. */
  lost(): void
  /** It is a member still: news where `fresh` was false. */
  alive(): void
}

export type GroupMemberOptions = {
  group: string
  topics: readonly string[]
  membership: Membership
  /**
   * The ids of members that could not leave, by their group. The next one goes on under that id: the others would wait
   * for the end of its session otherwise, and so would it.
   */
  abandoned: Map<string, string>
}

type Joined = ReturnType<typeof joinGroupV7.parseResponse>

/**
 * A member of a consumer group by Kafka's classic protocol, which every broker has: only for sharing partitions out.
 * Where reading begins is not the group's business. All members give up their partitions before any gets another's
 * (eager), but keep what they get again; and they come to rest before, so that no two handle one partition.
 */
export class GroupMember {
  readonly #cluster: KafkaCluster
  readonly #group: string
  readonly #topics: readonly string[]
  readonly #membership: Membership
  readonly #abandoned: Map<string, string>
  readonly #coordinator: GroupCoordinator
  readonly #connections: BrokerConnections
  #memberId = ''
  #generation = -1
  #owned: readonly TopicPartition[] = []
  /** When the request was sent that last showed that this is a member. */
  #aliveAt = Number.NEGATIVE_INFINITY
  /** What the leader has shared out, for seeing that there are more partitions now; undefined for others. */
  #shared: string | undefined

  constructor(cluster: KafkaCluster, { group, topics, membership, abandoned }: GroupMemberOptions) {
    this.#cluster = cluster
    this.#group = group
    this.#topics = topics
    this.#membership = membership
    this.#abandoned = abandoned
    this.#memberId = abandoned.get(group) ?? ''
    abandoned.delete(group)
    this.#coordinator = new GroupCoordinator(cluster, group)
    this.#connections = cluster.connect(REQUEST_TIMEOUT_MS)
  }

  /** For committing as this member; undefined while it is none. */
  get identity(): { generation: number; memberId: string } | undefined {
    return this.#generation === -1 ? undefined : { generation: this.#generation, memberId: this.#memberId }
  }

  /** Whether nobody else can have this member's partitions by now. */
  get fresh(): boolean {
    return performance.now() - this.#aliveAt < SESSION_MS
  }

  /** Is a member until the signal aborts. Throws when joining has failed for too long. */
  async run(signal: AbortSignal): Promise<void> {
    // The time since the first failure, not since the last success: this process may have been frozen in between.
    let failingSince: number | undefined
    while (!signal.aborted) {
      try {
        await this.#join()
        failingSince = undefined
        await this.#stay(signal)
      } catch (error) {
        if (signal.aborted) return
        if (this.#adapt(error)) continue
        failingSince ??= performance.now()
        if (!isRetryable(error) || performance.now() - failingSince > UNREACHABLE_MS) throw error
        await sleep(RETRY_MS, undefined, { signal }).catch(() => {})
      }
    }
  }

  /** Leaves, so that others need not wait for the session to end; but not for long. */
  async leave(): Promise<void> {
    const memberId = this.#memberId
    this.#forget()
    if (memberId !== '') {
      const done = new AbortController()
      // Not by these connections, where a join may be waiting.
      this.#abandoned.set(this.#group, memberId)
      const leaving = this.#coordinator.request(this.#cluster, leaveGroupV4.api, this.#group, [{ memberId }]).then(
        () => this.#abandoned.delete(this.#group),
        () => {},
      )
      await Promise.race([leaving, sleep(LEAVE_MS_MAX, undefined, { signal: done.signal }).catch(() => {})])
      done.abort()
    }
    await this.#connections[Symbol.asyncDispose]()
  }

  async #join(): Promise<void> {
    const protocols = [{ name: PROTOCOL, metadata: encodeSubscription({ topics: this.#topics, owned: this.#owned }) }]
    const [session, rebalance] = [SESSION_MS, REBALANCE_MS]
    const joined = await this.#coordinator.request(
      this.#connections,
      joinGroupV7.api,
      this.#group,
      session,
      rebalance,
      this.#memberId,
      null,
      PROTOCOL_TYPE,
      protocols,
    )
    const continuous = joined.memberId === this.#memberId && joined.generationId === this.#generation + 1
    this.#memberId = joined.memberId
    const shares = joined.leader === joined.memberId ? await this.#share(joined) : []
    if (joined.leader !== joined.memberId) this.#shared = undefined
    const sentAt = performance.now()
    const { assignment } = await this.#coordinator.request(
      this.#connections,
      syncGroupV5.api,
      this.#group,
      joined.generationId,
      joined.memberId,
      null,
      PROTOCOL_TYPE,
      PROTOCOL,
      shares,
    )
    const before = new Set(continuous ? this.#owned.map(partitionId) : [])
    this.#generation = joined.generationId
    this.#aliveAt = sentAt
    this.#owned = decodeShare(assignment)
    const kept = new Set(this.#owned.map(partitionId)).intersection(before)
    this.#membership.assigned({ partitions: this.#owned, kept })
  }

  /** Heartbeats until the members must join again. */
  async #stay(signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(HEARTBEAT_MS, undefined, { signal })
      const sentAt = performance.now()
      try {
        await this.#heartbeat()
        this.#aliveAt = sentAt
        this.#membership.alive()
        if (await this.#hasGrown()) break
      } catch (error) {
        if (hasCode(error, 'REBALANCE_IN_PROGRESS')) break
        // A broker that is unavailable for a moment changes nothing.
        if (isMembershipLost(error) || !isRetryable(error) || !this.fresh) throw error
      }
    }
    const rested = new AbortController()
    const tooLong = sleep(REST_MS_MAX, undefined, { signal: AbortSignal.any([signal, rested.signal]) }).catch(() => {})
    await Promise.race([this.#membership.quiesce(), tooLong])
    rested.abort()
  }

  async #heartbeat(): Promise<void> {
    const [group, generation, memberId] = [this.#group, this.#generation, this.#memberId]
    await this.#coordinator.request(this.#connections, heartbeatV4.api, group, generation, memberId, null)
  }

  async #share({ members }: Joined) {
    const subscriptions = members.map(decodeSubscription)
    const topics = [...new Set(subscriptions.flatMap((it) => it.topics))].sort()
    await this.#cluster.refresh(topics)
    const partitions = topics.flatMap((topic) => {
      const count = this.#cluster.partitionCount(topic)
      // A leader that does not know a topic yet must not share out less than there is.
      if (count === undefined) throw new NetworkError(`the topic ${topic} is not known`, { canRetry: true })
      return Array.from({ length: count }, (_, partition) => ({ topic, partition }))
    })
    this.#shared = this.#counts(topics)
    const shares = assignPartitions(subscriptions, partitions)
    return [...shares].map(([memberId, share]) => ({ memberId, assignment: encodeShare(share) }))
  }

  /** Only the leader looks. */
  async #hasGrown(): Promise<boolean> {
    if (this.#shared === undefined) return false
    const topics = this.#shared.split(',').map((it) => it.split(':')[0] as string)
    await this.#cluster.refresh(topics).catch(() => {})
    return this.#counts(topics) !== this.#shared
  }

  #counts(topics: readonly string[]): string {
    return topics.map((topic) => `${topic}:${this.#cluster.partitionCount(topic) ?? 0}`).join()
  }

  /** Takes what an error says about the membership; true when to join again at once. */
  #adapt(error: unknown): boolean {
    if (hasCode(error, 'MEMBER_ID_REQUIRED')) {
      const given = findErrorBy(error as Error, 'apiId', 'MEMBER_ID_REQUIRED') as { memberId?: string } | null
      this.#memberId = given?.memberId ?? ''
      return true
    }
    if (hasCode(error, 'REBALANCE_IN_PROGRESS')) return true
    if (isMembershipLost(error)) {
      if (!hasCode(error, 'ILLEGAL_GENERATION')) this.#memberId = ''
      this.#forget()
      return true
    }
    if (!this.fresh) this.#forget()
    return false
  }

  #forget(): void {
    this.#generation = -1
    this.#owned = []
    this.#shared = undefined
    this.#aliveAt = Number.NEGATIVE_INFINITY
    this.#membership.lost()
  }
}

function isMembershipLost(error: unknown): boolean {
  return hasCode(error, 'UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID')
}
