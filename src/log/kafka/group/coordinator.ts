import { type API, findCoordinatorV4, ProtocolError } from '@platformatic/kafka'
import type { Broker, BrokerConnections } from '../broker-connections.ts'
import type { KafkaCluster } from '../cluster.ts'
import { hasCode } from '../failure.ts'

const GROUP_KEY = 0
const UNKNOWN = -1

/** The broker that looks after a group. It may change at any time, and is then looked for again. */
export class GroupCoordinator {
  readonly #cluster: KafkaCluster
  readonly #group: string
  #broker: Broker | undefined

  constructor(cluster: KafkaCluster, group: string) {
    this.#cluster = cluster
    this.#group = group
  }

  /** By connections of the caller's, because some of these requests wait for long. */
  async request<A extends unknown[], R>(
    connections: Pick<BrokerConnections, 'request'>,
    api: API<A, R>,
    ...args: A
  ): Promise<R> {
    this.#broker ??= await this.#find()
    const broker = this.#broker
    try {
      return await connections.request(broker, api, ...args)
    } catch (error) {
      const stays = hasCode(
        error,
        'REBALANCE_IN_PROGRESS',
        'UNKNOWN_MEMBER_ID',
        'ILLEGAL_GENERATION',
        'MEMBER_ID_REQUIRED',
      )
      if (!stays && this.#broker === broker) this.#broker = undefined
      throw error
    }
  }

  async #find(): Promise<Broker> {
    const { coordinators } = await this.#cluster.requestAny(findCoordinatorV4.api, GROUP_KEY, [this.#group])
    const [found] = coordinators
    if (found?.errorCode !== 0) throw new ProtocolError(found?.errorCode ?? UNKNOWN)
    return { host: found.host, port: found.port }
  }
}
