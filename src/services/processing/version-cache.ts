/**
 * Answers by what was asked, each with the version of what it was made of: whoever asks again compares the version, so an
 * old answer is never given. The weights of all answers together are bounded; what was asked for longest ago goes first.
 */
export class VersionCache<V> {
  readonly #entries = new Map<string, { version: number; value: V }>()
  readonly #weightMax: number
  readonly #weigh: (value: V) => number
  #weight = 0

  constructor(weightMax: number, weigh: (value: V) => number) {
    this.#weightMax = weightMax
    this.#weigh = weigh
  }

  get(key: string): { version: number; value: V } | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry
  }

  put(key: string, entry: { version: number; value: V }): void {
    this.#remove(key)
    const weight = this.#weigh(entry.value)
    if (weight > this.#weightMax) return
    this.#entries.set(key, entry)
    this.#weight += weight
    for (const oldest of this.#entries.keys()) {
      if (this.#weight <= this.#weightMax) return
      this.#remove(oldest)
    }
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#weight -= this.#weigh(entry.value)
  }
}
