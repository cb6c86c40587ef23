/**
 * sfc32 (Chris Doty-Humphrey, PractRand): small, fast, and the same numbers everywhere for the same three seeds.
 * Only + - * / and square roots are used on them anywhere, because IEEE 754 fixes those to the last bit and leaves
 * logarithms and sines to the engine.
 */
export class Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  /** Each seed counts modulo 2^32. */
  constructor(seedA: number, seedB: number, seedC: number) {
    this.#a = seedA | 0
    this.#b = seedB | 0
    this.#c = seedC | 0
    for (let round = 0; round < WARM_UP_ROUNDS; round++) this.uniform()
  }

  /** 0 ≤ x < 1, in steps of 2^-32. */
  uniform(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return (sum >>> 0) / 2 ** 32
  }

  between(min: number, max: number): number {
    return min + (max - min) * this.uniform()
  }

  /** A whole number, `min` ≤ n ≤ `max`. */
  whole(min: number, max: number): number {
    return min + Math.floor(this.uniform() * (max - min + 1))
  }

  chance(probability: number): boolean {
    return this.uniform() < probability
  }

  /** Roughly normal, mean 0 and deviation 1, never beyond ±3.5: the sum of four uniform numbers. */
  bell(): number {
    return (this.uniform() + this.uniform() + this.uniform() + this.uniform() - 2) * SQRT_3
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('there is nothing to pick from')
    return items[this.whole(0, items.length - 1)] as T
  }
}

/** What PractRand runs for three seed words before the first number is used. */
const WARM_UP_ROUNDS = 15
const SQRT_3 = Math.sqrt(3)
