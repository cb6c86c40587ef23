import { randomUUID } from 'node:crypto'
import { type Failure, isFailure } from '../../../errors.ts'
import { typeOfTopic } from '../../../events/catalogue.ts'
import { decodeEvent } from '../../../events/codec.ts'
import { type EpochMs, formatInstant } from '../../../events/instant.ts'
import { decodeDeadLetter } from '../../../log/dead-letter.ts'
import type { EventLog, LogRecord, NewRecord } from '../../../log/event-log.ts'
import { decodeTombstone, FORGOTTEN_TOPIC, ForgottenUsers } from '../../../log/tombstone.ts'
import type { AnalyzerTelemetry } from '../telemetry.ts'
import { TopicFollower } from '../topic-follower.ts'
import { findLetters, readAt } from './find-letters.ts'
import { formatId, type Letter, originalText } from './letter.ts'
import { type Family, ledgerEntry, nextGeneration, type Redrive, type RedriveLedger } from './redrive-ledger.ts'

export const OUTCOMES = [
  /** Its record is in its topic once more. */
  'redriven',
  /** A dry run: it would be. */
  'would_redrive',
  /** It was before. */
  'already_redriven',
  /** Somebody began it, and it was sent or not: see `force`. */
  'unfinished',
  /** Its bytes are no event, and would come back at once. */
  'undecodable',
  /** The store has its `trace_id` with another content, which sending it again does not change. */
  'conflict',
  /** Its event is stored and in no statistics, which sending it again does not change. */
  'uncounted',
  /** Its user was forgotten after it came into the log: it would be there again. */
  'forgotten',
  /** It has come back so often that it would only come back again. */
  'attempts_exhausted',
  /** There is no such letter, or retention has removed it. */
  'not_found',
] as const
export type Outcome = (typeof OUTCOMES)[number]

export type RedriveResult = { id: string; outcome: Outcome; detail?: string; attempts?: number }

export type RedriveOptions = {
  dryRun: boolean
  /** Whether those that are unfinished are sent again. */
  force: boolean
  /** From how many attempts on a content is left alone. */
  attemptsMax: number
}

export type RedriverDeps = { log: EventLog; ledger: RedriveLedger; telemetry: AnalyzerTelemetry; newId?: () => string }

/** A letter with its whole record. */
type Whole = { letter: Letter; record: LogRecord }
type Claimed = Whole & { claim: string; generation: number }
type Judged = { outcome: Outcome; detail?: string }

/** What is claimed before it is sent: as much is unfinished at most when this process is killed. */
const CHUNK_LETTERS = 100
const CHUNK_BYTES_MAX = 1024 * 1024

/**
 * Sends the records of dead letters again, as they were, to the topic that they came from. The invariant: each letter at
 * most once, whoever is killed and however many do it, because it is claimed in the log first, and only who was granted
 * the claim sends. A repeat would be harmless all the same, for an event is stored once by its `trace_id`.
 */
export class Redriver {
  readonly #deps: RedriverDeps
  readonly #newId: () => string
  #forgotten = new ForgottenUsers()
  readonly #tombstones: TopicFollower

  constructor(deps: RedriverDeps) {
    this.#deps = deps
    this.#newId = deps.newId ?? randomUUID
    const visit = (_partition: number, { value }: LogRecord) => {
      const tombstone = decodeTombstone(value)
      if (tombstone !== undefined) this.#forgotten.add(tombstone)
    }
    const forget = () => {
      this.#forgotten = new ForgottenUsers()
    }
    this.#tombstones = new TopicFollower({ log: deps.log, topic: FORGOTTEN_TOPIC, visit, forget })
  }

  /** The results in the order of `letters`; those of one letter, which may be there as several copies, are the same. */
  async redrive(letters: readonly Letter[], options: RedriveOptions): Promise<RedriveResult[]> {
    const results = new Map<string, RedriveResult>()
    const distinct = new Map(letters.map((letter) => [originalText(letter), letter] as const))
    for (const chunk of chunksOf([...distinct.values()])) {
      for (const [letter, result] of await this.#redriveChunk(chunk, options)) results.set(originalText(letter), result)
    }
    return letters.map((letter) => {
      return { ...(results.get(originalText(letter)) as RedriveResult), id: formatId(letter.at) }
    })
  }

  /** The same for ids, of which some may name nothing. */
  async redriveIds(ids: readonly string[], options: RedriveOptions): Promise<RedriveResult[]> {
    const found = await findLetters(this.#deps.log, ids)
    const results = new Map((await this.redrive([...found.values()], options)).map((result) => [result.id, result]))
    return ids.map((id) => {
      const letter = found.get(id)
      const result = letter === undefined ? undefined : results.get(formatId(letter.at))
      return { ...(result ?? { outcome: 'not_found', detail: 'there is no such letter, or no longer' }), id }
    })
  }

  async #redriveChunk(chunk: readonly Letter[], options: RedriveOptions): Promise<Map<Letter, RedriveResult>> {
    const { ledger, telemetry } = this.#deps
    const judged = new Map<Letter, Judged>()
    await this.#tombstones.catchUp()
    const known = await ledger.lookUp(chunk)
    const claims: Claimed[] = []
    for (const letter of chunk) {
      // Looked at once: another's claim that comes while this one is judged must not be taken for one to follow on.
      const { attempts, redrives } = known(letter)
      const own = redrives.get(originalText(letter))
      const { record, ...judgement } = await this.#judge(letter, { own, attempts }, options)
      judged.set(letter, judgement)
      if (record !== undefined) claims.push({ letter, record, claim: this.#newId(), generation: nextGeneration(own) })
    }
    const after = options.dryRun || claims.length === 0 ? known : await this.#send(claims, judged)
    const results = new Map<Letter, RedriveResult>()
    for (const [letter, judgement] of judged) {
      results.set(letter, { id: formatId(letter.at), ...judgement, attempts: after(letter).attempts })
      if (!options.dryRun) telemetry.redriven({ id: formatId(letter.at), ...letter.original, ...judgement })
    }
    return results
  }

  /** With the record, where it is to be sent. */
  async #judge(
    letter: Letter,
    { own, attempts }: { own: Redrive | undefined; attempts: number },
    options: RedriveOptions,
  ): Promise<Judged & { record?: LogRecord }> {
    if (own?.state === 'redriven') return alreadyRedriven(own.time)
    if (letter.reason === 'conflict') {
      return {
        outcome: 'conflict',
        detail: 'the store has this trace_id with another content, and would refuse it again',
      }
    }
    if (letter.reason === 'uncounted') {
      return {
        outcome: 'uncounted',
        detail:
          'its event is stored, and would not be counted for being sent again: npx runify rebuild statistics counts it',
      }
    }
    if (own !== undefined && !options.force) return unfinished(own.time)
    if (attempts >= options.attemptsMax) {
      return { outcome: 'attempts_exhausted', detail: `it was redriven ${attempts} times and came back` }
    }
    const type = typeOfTopic(letter.original.topic)
    if (type === undefined) {
      return { outcome: 'undecodable', detail: `${letter.original.topic} is no topic of events` }
    }
    const whole = await readWhole(this.#deps.log, letter)
    if (whole === undefined) return { outcome: 'not_found', detail: 'there is no such letter, or no longer' }
    const decoded = decodeEvent(type, whole.value)
    if (!decoded.ok) return { outcome: 'undecodable', detail: decoded.detail }
    const { fields, date_created } = decoded.event
    // Sent again, it would lie behind the tombstone, and be stored.
    if (this.#forgotten.has(fields.user_id, date_created, letter.original)) {
      return { outcome: 'forgotten', detail: 'its user was forgotten after it came into the log' }
    }
    return options.dryRun ? { outcome: 'would_redrive' } : { outcome: 'redriven', record: whole }
  }

  /** Claims, sends what was granted, and says so. What is judged otherwise on the way is put into `judged`. */
  async #send(claims: readonly Claimed[], judged: Map<Letter, Judged>): Promise<(letter: Letter) => Family> {
    const { log, ledger, telemetry } = this.#deps
    await log.append(claims.map((claimed) => ledgerEntry(claimed.letter, { ...claimed, state: 'claimed' })))
    const after = await ledger.lookUp(claims.map(({ letter }) => letter))
    const granted: Claimed[] = []
    for (const claimed of claims) {
      const { letter, claim } = claimed
      const own = after(letter).redrives.get(originalText(letter))
      if (own?.claim === claim) granted.push(claimed)
      else judged.set(letter, own?.state === 'redriven' ? alreadyRedriven(own.time) : unfinished(own?.time))
    }
    try {
      const taken = await this.#append(granted, judged)
      await log.append(taken.map((claimed) => ledgerEntry(claimed.letter, { ...claimed, state: 'redriven' })))
    } catch (error) {
      telemetry.workFailed('redrive', error)
      for (const { letter } of granted) judged.set(letter, unfinished(undefined))
    }
    return after
  }

  /** Gives those that the log took. One that it never takes, as it is too large, does not keep the others from it. */
  async #append(granted: readonly Claimed[], judged: Map<Letter, Judged>): Promise<readonly Claimed[]> {
    const { log, telemetry } = this.#deps
    try {
      await log.append(granted.map(toRecord))
      return granted
    } catch (error) {
      if (!isFailure(error) || error.retryable || error.code === 'closed') throw error
      const [only] = granted
      if (only !== undefined && granted.length === 1) {
        telemetry.workFailed('redrive', error)
        judged.set(only.letter, notTaken(error))
        return []
      }
    }
    const taken: Claimed[] = []
    for (const one of granted) taken.push(...(await this.#append([one], judged)))
    return taken
  }
}

function toRecord({ letter, record }: Claimed): NewRecord {
  return { topic: letter.original.topic, key: record.key, value: record.value }
}

function alreadyRedriven(time: EpochMs): Judged {
  return { outcome: 'already_redriven', detail: `on ${formatInstant(time)}` }
}

/** It may be under way elsewhere, too. */
function unfinished(since: EpochMs | undefined): Judged {
  const begun = since === undefined ? 'the log did not confirm it' : `it was begun on ${formatInstant(since)}`
  return { outcome: 'unfinished', detail: `${begun}: its record was sent or not, force sends it again` }
}

/** Nothing of it is in the log, and to force it is in vain until the log takes such records. */
function notTaken({ message }: Failure): Judged {
  return { outcome: 'unfinished', detail: `the log does not take its record: ${message}` }
}

function chunksOf(letters: readonly Letter[]): Letter[][] {
  const chunks: Letter[][] = []
  let bytes = 0
  for (const letter of letters) {
    const last = chunks.at(-1)
    bytes += letter.bytes
    if (last === undefined || last.length === CHUNK_LETTERS || bytes > CHUNK_BYTES_MAX) {
      chunks.push([letter])
      bytes = letter.bytes
    } else last.push(letter)
  }
  return chunks
}

async function readWhole(log: EventLog, { at }: Letter): Promise<LogRecord | undefined> {
  const record = await readAt(log, at)
  return record === undefined ? undefined : decodeDeadLetter(record.value)?.record
}
