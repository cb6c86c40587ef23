import { Worker } from 'node:worker_threads'
import type { Config, ServiceName } from './config.ts'
import { StartError } from './errors.ts'

/** Where the services of a process listen. */
export type Addresses = Partial<Record<ServiceName, string>>

export type ThreadData = { config: Config; services: readonly ServiceName[] }
export type ThreadCommand = { kind: 'stop' } | { kind: 'addresses'; addresses: Addresses }
export type ThreadNotification =
  | { kind: 'ready'; addresses: Addresses }
  | { kind: 'failed'; message: string; recoverable: boolean }

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
    const notification = await new Promise<ThreadNotification>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    if (notification.kind === 'ready') return new ServiceThread(worker, exited, notification.addresses)
    await exited
    throw notification.recoverable ? new StartError(notification.message) : new Error(notification.message)
  }

  /** Tells the services where those listen that were started after them. */
  tellAddresses(addresses: Addresses): void {
    this.#command({ kind: 'addresses', addresses })
  }

  /** Tells the services to stop, and waits for nothing. */
  stop(): void {
    this.#command({ kind: 'stop' })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop()
    await this.#exited
  }

  #command(command: ThreadCommand): void {
    this.#worker.postMessage(command)
  }
}
