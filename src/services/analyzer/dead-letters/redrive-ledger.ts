import type { EpochMs } from '../../../events/instant.ts'
import type { EventLog, LogRecord, NewRecord } from '../../../log/event-log.ts'
import { readOffsetRange, TopicFollower } from '../topic-follower.ts'
import { formatId, type Letter, originalText } from './letter.ts'

export const REDRIVE_TOPIC = 'runify.redrives'

/** What one letter's redrive has come to. */
export type Redrive = {
  /** Claimed: somebody is sending it again, or was stopped in between and it was sent or not. */
  state: 'claimed' | 'redriven'
  /** The id of the claim that was granted last. */
  claim: string
  /** How many claims were granted for this letter: more than one where somebody forced it. */
  generation: number
  time: EpochMs
  /** The letter's id. */
  id: string
}

/** All redrives of one content: those of a letter, and of the letters that its record has become again. */
export type Family = {
  attempts: number
  redrives: Map<string, Redrive>
  /** When each letter was first dismissed. */
  dismissals: Map<string, EpochMs>
}

type Entry = {
  state: Redrive['state'] | 'dismissed'
  claim: string
  letter: string
  original: string
  generation: number
}

/** About 15 MB at most, and none before somebody asks. */
const FAMILIES_MAX = 50_000
const NONE: Family = { attempts: 0, redrives: new Map(), dismissals: new Map() }

/**
 * What was redriven or dismissed, kept in the log itself, so that every Analyzer and every later one knows. Keeps the invariant that a
 * letter's claim is granted once: all entries of one content are in one partition, everybody reads them in the same
 * order, and the first claim of a letter is the one that counts.
 */
export class RedriveLedger {
  readonly #log: EventLog
  readonly #families = new Map<string, Family>()
  readonly #familiesMax: number
  readonly #follower: TopicFollower
  #evicted = false

  constructor(log: EventLog, familiesMax = FAMILIES_MAX) {
    this.#log = log
    this.#familiesMax = familiesMax
    this.#follower = new TopicFollower({
      log,
      topic: REDRIVE_TOPIC,
      recordsMax: 2 * familiesMax,
      visit: (_partition, record) => this.#add(record),
      forget: () => {
        this.#families.clear()
        this.#evicted = false
      },
    })
  }

  catchUp(): Promise<void> {
    return this.#follower.catchUp()
  }

  /** What is known in memory, for showing it. */
  familyOf({ fingerprint }: Pick<Letter, 'fingerprint'>): Family {
    return this.#families.get(fingerprint) ?? NONE
  }

  /**
   * What is known for certain, for deciding; up to date when it resolves. Where memory does not hold all that was ever
   * redriven, the whole topic is read through for these letters.
   */
  async lookUp(letters: readonly Letter[]): Promise<(letter: Letter) => Family> {
    await this.catchUp()
    if (!this.#follower.leftOut && !this.#evicted) return (letter) => this.familyOf(letter)
    const asked = new Set(letters.map(({ fingerprint }) => fingerprint))
    const found = new Map<string, Family>()
    for (const { partition, first, next } of await this.#log.partitions(REDRIVE_TOPIC)) {
      await readOffsetRange(this.#log, { topic: REDRIVE_TOPIC, partition, from: first, to: next }, (record) => {
        if (asked.has(record.key)) addEntry(found, record)
      })
    }
    return ({ fingerprint }) => found.get(fingerprint) ?? NONE
  }

  #add(record: LogRecord): void {
    addEntry(this.#families, record)
    if (this.#families.size <= this.#familiesMax) return
    const [oldest] = this.#families.keys()
    this.#families.delete(oldest as string)
    this.#evicted = true
  }
}

/** The entry that says that a letter is to be left alone. An Analyzer that is older passes it over. */
export function dismissalEntry(letter: Letter): NewRecord {
  return ledgerEntry(letter, { state: 'dismissed', claim: '', generation: 0 })
}

/** The entry that claims a letter's redrive, or says that it is done. */
export function ledgerEntry(letter: Letter, entry: Pick<Entry, 'state' | 'claim' | 'generation'>): NewRecord {
  const { state, claim, generation } = entry
  const value: Entry = { state, claim, letter: formatId(letter.at), original: originalText(letter), generation }
  return { topic: REDRIVE_TOPIC, key: letter.fingerprint, value: Buffer.from(JSON.stringify(value)) }
}

/** The next claim that can be granted for a letter. */
export function nextGeneration(redrive: Redrive | undefined): number {
  return (redrive?.generation ?? 0) + 1
}

function addEntry(families: Map<string, Family>, { key, value, appendTime: time }: LogRecord): void {
  const entry = readEntry(value)
  if (entry === undefined) return
  const { state, claim, letter: id, original, generation } = entry
  let family = families.get(key)
  if (family === undefined) {
    family = { attempts: 0, redrives: new Map(), dismissals: new Map() }
    families.set(key, family)
  }
  if (state === 'dismissed') {
    if (!family.dismissals.has(original)) family.dismissals.set(original, time)
    return
  }
  const before = family.redrives.get(original)
  if (state === 'redriven') {
    if (before?.claim === claim) family.redrives.set(original, { ...before, state, time })
    return
  }
  // A claim that comes second, or that nobody may give any more, changes nothing.
  if (before?.state === 'redriven' || generation !== nextGeneration(before)) return
  family.redrives.set(original, { state, claim, generation, time, id })
  family.attempts++
}

const STATES: readonly Entry['state'][] = ['claimed', 'redriven', 'dismissed']

function readEntry(value: Uint8Array): Entry | undefined {
  try {
    const entry = Object(JSON.parse(Buffer.from(value).toString('utf8'))) as Partial<Entry>
    const { state, claim, letter, original, generation } = entry
    const texts = [claim, letter, original].every((text) => typeof text === 'string')
    return texts && Number.isSafeInteger(generation) && STATES.includes(state as Entry['state'])
      ? (entry as Entry)
      : undefined
  } catch {
    return undefined
  }
}
