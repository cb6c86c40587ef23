/**
 * A look-up that many ask for at the same time is done once for them, and never twice at a time: an answer is never older
 * than the question, for whoever asks while one is under way gets the next one, with all others who have asked meanwhile.
 */
export class SharedLookup<T> {
  readonly #look: () => Promise<T>
  #underWay: Promise<T> | undefined
  #next: Promise<T> | undefined

  constructor(look: () => Promise<T>) {
    this.#look = look
  }

  ask(): Promise<T> {
    if (this.#underWay === undefined) {
      this.#underWay = this.#look().finally(() => {
        this.#underWay = undefined
      })
      return this.#underWay
    }
    // Somebody else may have begun one in between, so those who waited ask like everybody.
    const askAnew = () => {
      this.#next = undefined
      return this.ask()
    }
    this.#next ??= this.#underWay.then(askAnew, askAnew)
    return this.#next
  }
}
