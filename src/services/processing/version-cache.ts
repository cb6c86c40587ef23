import { LRUCache } from 'lru-cache'

type Versioned<V> = { version: number; value: V }

/**
 * Answers by what was asked, each with the version of what it was made of: whoever asks again compares the version, so an
 * old answer is never given.
 *
 * @param weightMax - of all answers together; what was asked for longest ago goes first
 * @param weigh - a positive integer
 */
export class VersionCache<V extends object | string> {
  readonly #entries: LRUCache<string, Versioned<V>>

  constructor(weightMax: number, weigh: (value: V) => number) {
    this.#entries = new LRUCache({ maxSize: weightMax, sizeCalculation: ({ value }) => weigh(value) })
  }

  get(key: string): Versioned<V> | undefined {
    return this.#entries.get(key)
  }

  put(key: string, entry: Versioned<V>): void {
    this.#entries.set(key, entry)
  }
}
