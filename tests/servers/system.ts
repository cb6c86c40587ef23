import type { ServiceName } from '../../src/config.ts'
import type { Environment } from '../../test-support/harness.ts'
import { Supervised } from '../../test-support/supervised.ts'

export type System = AsyncDisposable & {
  receiver: Supervised[]
  storage: Supervised[]
  processing: Supervised[]
  /** One more instance. */
  add(service: ServiceName): Promise<Supervised>
}

/** A receiver, and two of each that share the work. */
export async function startSystem(kafka: { address: string }, mysql: { address: string }): Promise<System> {
  await using opened = new AsyncDisposableStack()
  const environment = { RUNIFY_LOG: kafka.address, RUNIFY_STORE: mysql.address, PROCESSING_PERIOD_MS: '200' }
  const add = async (service: ServiceName) => {
    const storage = system.storage[0]?.address
    const reading: Environment = service === 'processing' && storage ? { RUNIFY_STORAGE_URL: storage } : {}
    return opened.use(await Supervised.start(service, { ...environment, ...reading }))
  }
  const system: Omit<System, typeof Symbol.asyncDispose> = { receiver: [], storage: [], processing: [], add }
  system.receiver.push(await add('receiver'))
  system.storage.push(...(await Promise.all([add('storage'), add('storage')])))
  system.processing.push(...(await Promise.all([add('processing'), add('processing')])))
  const running = opened.move()
  return Object.assign(system, {
    add: async (service: ServiceName) => {
      const added = await Supervised.start(service, environment)
      running.use(added)
      return added
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  })
}
