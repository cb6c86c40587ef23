import { setImmediate as others } from 'node:timers/promises'
import type { AuditRange, Counted, CountedReader } from '../../../clients/http-counted.ts'
import { CATALOGUE, EVENT_TYPES, type EventType, fieldsOf, type RunifyEvent } from '../../../events/catalogue.ts'
import { decodeKnown, sameContent } from '../../../events/codec.ts'
import type { EpochMs } from '../../../events/instant.ts'
import { MS_PER_HOUR } from '../../../events/instant.ts'
import { DEAD_LETTER_TOPIC, isNotStored, positionText } from '../../../log/dead-letter.ts'
import type { EventLog, LogRecord, PartitionRange } from '../../../log/event-log.ts'
import { nextOf, type PartitionCursor } from '../../../log/position.ts'
import { decodeTombstone, FORGOTTEN_TOPIC, ForgottenUsers } from '../../../log/tombstone.ts'
import type { StoredEvent } from '../../../store/event-store.ts'
import { readOffsetRange, readOrSkip, TopicFollower } from '../topic-follower.ts'
import type { AuditedStore } from './sources.ts'
import { StoredRows } from './stored-rows.ts'
import { AuditTally } from './tally.ts'

export type AuditDeps = {
  log: EventLog
  store: AuditedStore
  counted: CountedReader
}

export type AuditResult = {
  tally: AuditTally
  /** False when so much differed that the audit ended early: what it found is right, but not all there is. */
  complete: boolean
  /** Up to where the store had everything when the audit began: what lies behind it is pending. */
  stored: PartitionCursor[]
  counted: Counted
}

/** A record that has no row at its place. */
type Unmatched = {
  type: EventType
  partition: number
  record: LogRecord
  event: RunifyEvent | undefined
  time: EpochMs
}

/**
 * How far the times of the log and of the Receivers may be apart: an event of the range that was appended later than
 * this is found by its row.
 */
const MARGIN_MS = 5 * 60_000
/** Records that are looked up one by one before they are judged, and how many of these at the same time. */
const UNMATCHED_MAX = 1000
const LOOK_UPS_AT_ONCE = 8
/** Users who were forgotten, as many as are kept in memory: about 20 MB. */
const FORGOTTEN_MAX = 100_000
/** When more than this is unexplained or out of place, there is no use in going on. */
const ODD_MAX = 10_000

/**
 * Compares what the log, the store and the statistics have of the events that were received in a range of time, in three
 * passes, each in bounded memory: the log and the store's rows side by side by position; what is only in the log against
 * the dead letters; and all rows of that time against those that were seen, for rows may be where nobody looks.
 */
export class Audit {
  readonly #deps: AuditDeps
  readonly #signal: AbortSignal
  readonly #tally: AuditTally
  readonly #result: AuditResult
  #looked = new Map<string, { from: number; to: number }>()
  #unmatched: Unmatched[] = []
  /** Records that neither a row nor a repeat explains, by position. */
  readonly #unexplained = new Map<string, Unmatched>()
  readonly #missingIds = new Set<string>()
  #forgotten = new ForgottenUsers()
  readonly #tombstones: TopicFollower

  private constructor(deps: AuditDeps, range: AuditRange, signal: AbortSignal) {
    this.#deps = deps
    this.#signal = signal
    this.#tally = new AuditTally(range)
    this.#result = {
      tally: this.#tally,
      complete: true,
      stored: [],
      counted: { hours: [], uncounted: { hours: [], events: [] }, cursors: [] },
    }
    const visit = (_partition: number, { value }: LogRecord) => this.#forget(value)
    const forget = () => {
      this.#forgotten = new ForgottenUsers()
    }
    this.#tombstones = new TopicFollower({ log: deps.log, topic: FORGOTTEN_TOPIC, visit, forget })
  }

  /** `from` and `to` are whole hours. Throws what log, store and statistics throw, and the signal's reason. */
  static async run(deps: AuditDeps, range: AuditRange, signal: AbortSignal): Promise<AuditResult> {
    const audit = new Audit(deps, range, signal)
    await audit.#run()
    return audit.#result
  }

  async #run(): Promise<void> {
    const { store, counted } = this.#deps
    const result = this.#result
    // In this order: what is counted is then stored, and what is stored is in the log.
    result.counted = await counted(this.#tally.range)
    result.stored = (await store.changes({ after: [], limit: 1 })).stored
    await this.#tombstones.catchUp()
    for (const type of EVENT_TYPES) await this.#compareTopic(type)
    await this.#lookUp()
    await this.#explain()
    for (const type of EVENT_TYPES) if (result.complete) await this.#findOthers(type)
  }

  async #compareTopic(type: EventType): Promise<void> {
    const { log } = this.#deps
    const { from, to } = this.#tally.range
    const { topic } = CATALOGUE[type]
    const begins = await log.offsetsAt({ topic, time: from - MARGIN_MS })
    const ends = await log.offsetsAt({ topic, time: to + MARGIN_MS })
    for (const range of await log.partitions(topic)) {
      const { partition, first } = range
      const begin = Math.max(first, begins.find((at) => at.partition === partition)?.offset ?? first)
      const end = ends.find((at) => at.partition === partition)?.offset ?? range.next
      this.#looked.set(`${topic}:${partition}`, { from: begin, to: end })
      await this.#markRemoved(type, range)
      if (this.#result.complete) await this.#comparePartition(type, { partition, from: begin, to: end })
    }
  }

  /** Where retention has removed records of an hour, nothing can be said of all of the hour. */
  async #markRemoved(type: EventType, { partition, first, next }: PartitionRange): Promise<void> {
    if (first === 0) return
    const { from, to } = this.#tally.range
    const range = { topic: CATALOGUE[type].topic, partition, from: first, to: Math.min(first + 1, next) }
    const [oldest] = first < next ? await readOrSkip(this.#deps.log, range) : []
    const until = oldest === undefined ? to : Math.min(to, oldest.appendTime + MARGIN_MS)
    for (let hour = from; hour < until; hour += MS_PER_HOUR) this.#tally.hour(type, hour).removed = true
  }

  async #comparePartition(type: EventType, { partition, from, to }: { partition: number; from: number; to: number }) {
    const { log, store } = this.#deps
    const { topic } = CATALOGUE[type]
    const stored = nextOf(this.#result.stored, { topic, partition })
    const range = { topic, partition, from, to: Math.min(to, stored) }
    const rows = new StoredRows(store, range, this.#result.stored)
    let expected = from
    for (let at = from; at < to && this.#result.complete; ) {
      const records = await readOrSkip(log, { topic, partition, from: at, to })
      for (const record of records) {
        if (record.offset >= to) break
        let row = await rows.before(record.offset + 1)
        let alone = 0
        for (; row !== undefined && row.offset < record.offset; row = await rows.before(record.offset + 1)) {
          await this.#rowAlone(type, row)
          alone++
        }
        if (record.offset > expected) await this.#gap(type, { partition, from: expected, before: record, rows: alone })
        expected = record.offset + 1
        this.#pair(type, partition, record, { row, stored: record.offset < stored })
      }
      at = (records.at(-1)?.offset ?? to) + 1
      if (this.#unmatched.length >= UNMATCHED_MAX) await this.#lookUp()
      this.#signal.throwIfAborted()
      // An embedded log and store never wait for anything: without this, an audit would keep requests waiting.
      await others()
    }
    let row = await rows.before(to)
    for (; row !== undefined && this.#result.complete; row = await rows.before(to)) await this.#rowAlone(type, row)
  }

  /** What retention has not removed, from the beginning on, and is not there all the same: compaction has. */
  async #gap(
    type: EventType,
    { partition, from, before, rows }: { partition: number; from: number; before: LogRecord; rows: number },
  ): Promise<void> {
    if (!this.#tally.has(before.appendTime)) return
    const range = (await this.#deps.log.partitions(CATALOGUE[type].topic)).find((one) => one.partition === partition)
    const hour = this.#tally.hour(type, before.appendTime)
    if (range === undefined || range.first > from) hour.removed = true
    else hour.lost += before.offset - from - rows
  }

  #pair(
    type: EventType,
    partition: number,
    record: LogRecord,
    { row, stored }: { row: StoredEvent | undefined; stored: boolean },
  ): void {
    const decoded = decodeKnown(type, record.value)
    const event = decoded.ok ? decoded.event : undefined
    const time = event?.date_created ?? record.appendTime
    const { offset } = record
    const ours = this.#tally.has(time)
    if (ours && event === undefined) this.#tally.hour(type, time).undecodable++
    if (ours && event !== undefined) this.#tally.hour(type, time).inLog++
    if (row !== undefined) this.#row(type, row)
    if (row !== undefined && event?.trace_id === row.event.trace_id) {
      const fields = differingFields(event, row.event)
      if (fields.length > 0 && (ours || this.#tally.has(row.event.date_created))) this.#changed(event, row, fields)
      return
    }
    if (row !== undefined) this.#doubled(row, 'the log has another record at its place')
    if (!ours) return
    if (!stored) this.#tally.hour(type, time).pending++
    else if (event !== undefined && this.#isForgotten(event, { partition, offset }))
      this.#tally.hour(type, time).forgotten++
    else this.#unmatched.push({ type, partition, record, event, time })
  }

  #row(type: EventType, { partition, offset, event }: StoredEvent): void {
    if (!this.#tally.has(event.date_created)) return
    const { topic } = CATALOGUE[type]
    const counted = offset < nextOf(this.#result.counted.cursors, { topic, partition })
    this.#tally.row(type, event, { counted })
    this.#tally.buckets(type).add(event)
  }

  #changed(event: RunifyEvent, { partition, offset }: StoredEvent, fields: readonly string[]): void {
    const time = this.#tally.has(event.date_created) ? event.date_created : this.#tally.range.from
    const { type, trace_id, date_created } = event
    const detail = `the store has another ${fields.join(', ')} than the log`
    this.#tally.differ('changed', time, { type, trace_id, partition, offset, date_created, detail })
  }

  #doubled({ partition, offset, event }: StoredEvent, detail: string): void {
    const { type, trace_id, date_created } = event
    if (!this.#tally.has(date_created)) return
    this.#tally.differ('doubled', date_created, { type, trace_id, partition, offset, date_created, detail })
  }

  /** A row at a place where nothing was read from the log. */
  async #rowAlone(type: EventType, row: StoredEvent): Promise<void> {
    this.#row(type, row)
    if (this.#tally.has(row.event.date_created)) await this.#checkPlace(row)
  }

  /** Asks the store for the ids of the records that have no row at their place: most are repeats. */
  async #lookUp(): Promise<void> {
    const unmatched = this.#unmatched
    this.#unmatched = []
    for (let at = 0; at < unmatched.length; at += LOOK_UPS_AT_ONCE) {
      this.#signal.throwIfAborted()
      const some = unmatched.slice(at, at + LOOK_UPS_AT_ONCE)
      const found = await Promise.all(some.map(({ event }) => event && this.#deps.store.event(event.trace_id)))
      for (const [i, one] of some.entries()) this.#judge(one, found[i])
    }
  }

  #judge(unmatched: Unmatched, found: StoredEvent | undefined): void {
    const { type, partition, record, event, time } = unmatched
    if (event !== undefined && found !== undefined && sameContent(event, found.event)) {
      this.#tally.hour(type, time).repeats++
      return
    }
    this.#unexplained.set(positionText({ topic: CATALOGUE[type].topic, partition, offset: record.offset }), unmatched)
    if (this.#unexplained.size >= ODD_MAX) this.#result.complete = false
  }

  /** What is neither stored, nor a dead letter, nor forgotten is missing. */
  async #explain(): Promise<void> {
    const { log } = this.#deps
    if (this.#unexplained.size === 0) return
    const earliest = [...this.#unexplained.values()].reduce(
      (time, { record }) => Math.min(time, record.appendTime),
      Infinity,
    )
    // A letter is written after its record was; brokers' clocks may differ a little.
    const begins = await log.offsetsAt({ topic: DEAD_LETTER_TOPIC, time: earliest - MARGIN_MS })
    for (const { partition, next } of await log.partitions(DEAD_LETTER_TOPIC)) {
      const from = begins.find((at) => at.partition === partition)?.offset ?? 0
      await readOffsetRange(log, { topic: DEAD_LETTER_TOPIC, partition, from, to: next }, ({ key, value }) => {
        const dead = this.#unexplained.get(key)
        if (dead === undefined || !isNotStored(value)) return
        this.#unexplained.delete(key)
        if (dead.event !== undefined) this.#tally.hour(dead.type, dead.time).deadLetters++
      })
    }
    // Somebody may have been forgotten in the meantime.
    await this.#tombstones.catchUp()
    for (const unmatched of this.#unexplained.values()) {
      const { type, partition, record, event, time } = unmatched
      const at = { partition, offset: record.offset }
      if (event !== undefined && this.#isForgotten(event, at)) this.#tally.hour(type, time).forgotten++
      else this.#missing(unmatched)
    }
  }

  #forget(value: Uint8Array): void {
    const tombstone = decodeTombstone(value)
    if (tombstone === undefined) return
    this.#forgotten.add(tombstone)
    // What is said of the others would be wrong.
    if (this.#forgotten.size > FORGOTTEN_MAX) this.#result.complete = false
  }

  #isForgotten({ type, fields, date_created }: RunifyEvent, at: { partition: number; offset: number }): boolean {
    return this.#forgotten.has(fields.user_id, date_created, { topic: CATALOGUE[type].topic, ...at })
  }

  #missing({ type, partition, record: { offset }, event, time }: Unmatched): void {
    const trace_id = event?.trace_id ?? null
    if (trace_id !== null && this.#missingIds.has(trace_id)) {
      this.#tally.hour(type, time).repeats++
      return
    }
    if (trace_id !== null) this.#missingIds.add(trace_id)
    const detail =
      event === undefined
        ? 'the log has a record that is no event, and it is not among the dead letters'
        : 'it is in the log, and neither stored nor a dead letter'
    const date_created = event?.date_created ?? null
    this.#tally.differ('missing', time, { type, trace_id, partition, offset, date_created, detail })
  }

  /** Rows of the range that were not where it was looked for them: appended much later, or out of place. */
  async #findOthers(type: EventType): Promise<void> {
    const { store } = this.#deps
    const buckets = this.#tally.buckets(type)
    for await (const events of store.received({ type, ...this.#tally.range })) {
      for (const event of events) buckets.remove(event)
      this.#signal.throwIfAborted()
      await others()
    }
    let odd = 0
    for (const { from, to } of buckets.differing()) {
      for await (const events of store.received({ type, from, to })) {
        for (const { trace_id } of events) {
          if (odd >= ODD_MAX) this.#result.complete = false
          if (!this.#result.complete) return
          odd += await this.#checkOther(type, trace_id)
        }
        this.#signal.throwIfAborted()
      }
    }
  }

  /** 1 for a row that was not seen before. */
  async #checkOther(type: EventType, traceId: string): Promise<number> {
    const { topic } = CATALOGUE[type]
    const row = await this.#deps.store.event(traceId)
    if (row === undefined || row.event.type !== type || !this.#tally.has(row.event.date_created)) return 0
    const { partition, offset, event } = row
    const looked = this.#looked.get(`${topic}:${partition}`)
    const stored = offset < nextOf(this.#result.stored, { topic, partition })
    const seen = looked !== undefined && offset >= looked.from && offset < looked.to && stored
    if (seen) return 0
    const hour = this.#tally.hour(type, event.date_created)
    // Where the log has lost the beginning of the hour, its rows are there without their records.
    if (hour.removed && (looked === undefined || offset < looked.from)) {
      this.#row(type, row)
      return 0
    }
    // Stored since the audit began: what was pending then.
    const right = await this.#checkPlace(row)
    if (right && !stored) return 0
    this.#row(type, row)
    if (right) hour.inLog++
    return 1
  }

  /** Whether the log has the row's event at the row's place; names the row where it has not. */
  async #checkPlace(row: StoredEvent): Promise<boolean> {
    const { partition, offset, event } = row
    const { topic } = CATALOGUE[event.type]
    const range = (await this.#deps.log.partitions(topic)).find((one) => one.partition === partition)
    if (range === undefined || offset < 0 || offset >= range.next) {
      this.#doubled(row, 'the log has nothing at its place')
      return false
    }
    if (offset < range.first) {
      this.#tally.hour(event.type, event.date_created).removed = true
      return false
    }
    const [record] = await readOrSkip(this.#deps.log, { topic, partition, from: offset, to: offset + 1 })
    const decoded = record?.offset === offset ? decodeKnown(event.type, record.value) : undefined
    if (decoded?.ok && decoded.event.trace_id === event.trace_id) {
      const fields = differingFields(decoded.event, event)
      if (fields.length > 0) this.#changed(decoded.event, row, fields)
      return true
    }
    this.#doubled(
      row,
      decoded === undefined ? 'the log has nothing at its place' : 'the log has another record at its place',
    )
    return false
  }
}

function differingFields(a: RunifyEvent, b: RunifyEvent): string[] {
  const [left, right] = [a.fields as Record<string, unknown>, b.fields as Record<string, unknown>]
  const names = fieldsOf(a.type).map(([name]) => name)
  const differing = names.filter((name) => left[name] !== right[name])
  return a.date_created === b.date_created ? differing : [...differing, 'date_created']
}
