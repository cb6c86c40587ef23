import { Worker } from 'node:worker_threads'
import type { Config, ServiceName } from './config.ts'
import { StartError } from './errors.ts'

/** Where the services of a process listen. */
export type Addresses = Partial<Record<ServiceName, string>>

export type ThreadData = { config: Config; services: readonly ServiceName[] }
export type ThreadOrder = { kind: 'stop' } | { kind: 'addresses'; addresses: Addresses }
export type ThreadNews =
  | { kind: 'ready'; addresses: Addresses }
  | { kind: 'failed'; message: string; mendable: boolean }

/**
 * The bounds of the thread's heap. What it holds is a batch or some pages at a time; without bounds V8 would let several
 * times as much gather before it looks. `npm start` gives the main thread its bounds by flags.
 */
const YOUNG_MIB = 8
const OLD_MIB = 72

/** Services in a thread of their own: what one of them computes keeps nobody else waiting. */
export class ServiceThread implements AsyncDisposable {
  readonly addresses: Addresses
  readonly died: Promise<never>
  readonly #worker: Worker
  readonly #exited: Promise<number>

  private constructor(worker: Worker, exited: Promise<number>, addresses: Addresses) {
    this.#worker = worker
    this.#exited = exited
    this.addresses = addresses
    this.died = new Promise((_, reject) => {
      worker.once('error', reject)
      void exited.then((code) => reject(new Error(`the thread of the services ended with code ${code}`)))
    })
    this.died.catch(() => {})
  }

  /** Resolves when all its services listen; throws what kept one from it. */
  static async start(data: ThreadData): Promise<ServiceThread> {
    const worker = new Worker(new URL('./service-thread-main.ts', import.meta.url), {
      workerData: data,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB, maxOldGenerationSizeMb: OLD_MIB },
    })
    const exited = new Promise<number>((resolve) => worker.once('exit', resolve))
    const news = await new Promise<ThreadNews>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    if (news.kind === 'ready') return new ServiceThread(worker, exited, news.addresses)
    await exited
    throw news.mendable ? new StartError(news.message) : new Error(news.message)
  }

  /** Tells the services where those listen that were started after them. */
  tellAddresses(addresses: Addresses): void {
    this.#order({ kind: 'addresses', addresses })
  }

  /** Tells the services to stop, and waits for nothing. */
  stop(): void {
    this.#order({ kind: 'stop' })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop()
    await this.#exited
  }

  #order(order: ThreadOrder): void {
    this.#worker.postMessage(order)
  }
}
