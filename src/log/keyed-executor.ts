/**
 * Runs tasks by key: those of one key one after the other, in the order in which they were started, and at most `atOnce` in
 * all. The first failure stops everything: `signal` aborts, and `drain` throws it.
 */
export class KeyedExecutor implements AsyncDisposable {
  readonly #atOnce: number
  readonly #underWay = new Map<string, Promise<void>>()
  readonly #failed = new AbortController()
  readonly signal: AbortSignal

  constructor(atOnce: number, signal: AbortSignal) {
    this.#atOnce = atOnce
    this.signal = AbortSignal.any([signal, this.#failed.signal])
  }

  /** Resolves when there is room for another task; with `atOnce` 1, when this one is done. */
  async start(key: string, work: () => Promise<void>): Promise<void> {
    await this.#underWay.get(key)
    if (this.#failed.signal.aborted) return
    const done = work().then(
      () => this.#end(key),
      (error: unknown) => {
        this.#end(key)
        this.#failed.abort(error)
      },
    )
    this.#underWay.set(key, done)
    while (this.#underWay.size >= this.#atOnce) await Promise.race(this.#underWay.values())
  }

  /** Resolves when nothing is under way; throws what went wrong first. */
  async drain(): Promise<void> {
    await Promise.all(this.#underWay.values())
    if (this.#failed.signal.aborted) throw this.#failed.signal.reason
  }

  /** Waits for what is under way, so that nothing of it goes on behind the back of what comes next. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#underWay.values())
  }

  #end(key: string): void {
    this.#underWay.delete(key)
  }
}
