/**
 * A look-up that many ask for at the same time costs one at a time: an answer is never older than the question, for whoever
 * asks while one is under way gets the next one, with all others who have asked meanwhile.
 */
export class SharedLookup<T> {
  readonly #look: () => Promise<T>
  #underWay: Promise<T> | undefined
  #next: Promise<T> | undefined

  constructor(look: () => Promise<T>) {
    this.#look = look
  }

  ask(): Promise<T> {
    if (this.#underWay === undefined) return this.#begin()
    this.#next ??= this.#underWay.then(
      () => this.#begin(),
      () => this.#begin(),
    )
    return this.#next
  }

  #begin(): Promise<T> {
    this.#next = undefined
    const looking = this.#look().finally(() => {
      if (this.#underWay === looking) this.#underWay = undefined
    })
    this.#underWay = looking
    return looking
  }
}
