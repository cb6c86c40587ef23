import type { EpochMs } from '../../../events/instant.ts'
import { DEAD_LETTER_TOPIC } from '../../../log/dead-letter.ts'
import type { EventLog } from '../../../log/event-log.ts'
import { TopicFollower } from '../topic-follower.ts'
import { type Letter, type LetterPlace, originalText } from './letter.ts'

/** What is known of a letter beside one copy of it. */
export type Copies = { first: LetterPlace; times: number; lastTime: EpochMs }

/** About 10 MB at most, and none before somebody asks for dead letters. */
const LETTERS_MAX = 50_000

/**
 * Which records of the dead letters are the same letter: one whose consumer began again is written once more, and all of
 * them are when a store is rebuilt. Held in memory for the newest `LETTERS_MAX`; older copies stand for themselves.
 */
export class LetterIndex {
  readonly #copies = new Map<string, Copies>()
  readonly #lettersMax: number
  readonly #follower: TopicFollower

  constructor(log: EventLog, lettersMax = LETTERS_MAX) {
    this.#lettersMax = lettersMax
    this.#follower = new TopicFollower({
      log,
      topic: DEAD_LETTER_TOPIC,
      recordsMax: lettersMax,
      forget: () => this.#copies.clear(),
      visit: (partition, { key, offset, appendTime }) => this.#add(key, { partition, offset }, appendTime),
    })
  }

  catchUp(): Promise<void> {
    return this.#follower.catchUp()
  }

  /** Up to where the partition's letters are known. */
  next(partition: number): number {
    return this.#follower.next(partition)
  }

  copiesOf(letter: Letter): Copies {
    return this.#copies.get(originalText(letter)) ?? { first: letter.at, times: 1, lastTime: letter.since }
  }

  /** Whether this copy is the one that is listed: the first, so that a letter keeps its id and its place. */
  isFirst(letter: Letter): boolean {
    const { first } = this.copiesOf(letter)
    return first.partition === letter.at.partition && first.offset === letter.at.offset
  }

  #add(key: string, at: LetterPlace, time: EpochMs): void {
    const known = this.#copies.get(key)
    if (known !== undefined) {
      known.times++
      known.lastTime = Math.max(known.lastTime, time)
      return
    }
    this.#copies.set(key, { first: at, times: 1, lastTime: time })
    if (this.#copies.size <= this.#lettersMax) return
    const [oldest] = this.#copies.keys()
    this.#copies.delete(oldest as string)
  }
}
