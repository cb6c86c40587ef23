import { ndjsonBodies } from './load/event-bodies.ts'
import { sendAll } from './load/http-load.ts'
import { growthRate } from './progress.ts'
import type { Target } from './target/target.ts'

/**
 * A log, a store and statistics with all the events, filled one after the other, so that each step is measured alone.
 * Each step is done once, when the first section asks for it, and leaves no process of Runify behind.
 */
export class Dataset {
  readonly #target: Target
  readonly #events: number
  #logged: Promise<void> | undefined
  #stored: Promise<number> | undefined
  #counted: Promise<number> | undefined

  constructor(target: Target, events: number) {
    this.#target = target
    this.#events = events
  }

  /** All are in the log. */
  logged(): Promise<void> {
    this.#logged ??= this.#log()
    return this.#logged
  }

  /** From the log to the store, events a second. */
  stored(): Promise<number> {
    this.#stored ??= this.logged().then(() => this.#store())
    return this.#stored
  }

  /** From the store to the statistics, events a second. */
  counted(): Promise<number> {
    this.#counted ??= this.stored().then(() => this.#count())
    return this.#counted
  }

  async #log(): Promise<void> {
    await this.#target.clear()
    await using running = await this.#target.start('receiver')
    await sendAll(running.addresses.receiver, 'application/x-ndjson', ndjsonBodies(this.#events))
  }

  async #store(): Promise<number> {
    const started = performance.now()
    await using running = await this.#target.start('storage')
    return await growthRate(running.addresses.storage, { all: this.#events, started })
  }

  async #count(): Promise<number> {
    const started = performance.now()
    await using running = await this.#target.start('storage', 'processing')
    return await growthRate(running.addresses.processing, { all: this.#events, started })
  }
}
