import { Failure } from '../../errors.ts'
import { sameContent } from '../../events/codec.ts'
import { refuseOtherLog } from '../../log/place-in-log.ts'
import type { LogMark, PartitionCursor } from '../../log/position.ts'
import { type ColumnValue, columnsOf, fromRow } from '../columns.ts'
import { CONFLICT, storedOutcome, topicOf } from '../event-queries.ts'
import type { RefusedEvent, StoreBatch, WriteOutcome } from '../event-store.ts'
import type { Ending } from './database.ts'
import { mysqlErrorKind } from './error.ts'
import { withoutForgotten } from './forgetting.ts'
import { eventLiteral, literal, markAssignments, nameList, uuidLiteral } from './literal.ts'
import type { MysqlSession } from './session.ts'

/**
 * The length of one statement, some hundred events. The server is quickest when all that it makes of a statement fits
 * its processor's cache; and the next is written here while it is at work (docs/decisions/0009-mysql-writes.md).
 */
const STATEMENT_CHARACTERS_MAX = 65_536

type Placed = StoreBatch['events'][number]

/** The work of one transaction. The partition's cursor is locked before all that is written, so that one writer of a partition waits for another. */
export async function writeBatch(session: MysqlSession, batch: StoreBatch): Promise<Ending<WriteOutcome>> {
  const { type, partition, from, next, events, mark } = batch
  const topic = topicOf(type)
  const kept = await withoutForgotten(session, batch)
  const at = await lockCursor(session, { topic, partition, from, mark })
  if (at >= next) return { keep: false, result: { kind: 'stored', stored: 0, repeated: events.length } }
  const writer = new EventWriter(session, batch)
  const stored = await writer.write(kept.filter(({ offset }) => offset >= at))
  if (writer.refused.length > 0) {
    return { keep: false, result: { kind: 'refused', events: writer.refused.toSorted((a, b) => a.offset - b.offset) } }
  }
  await moveCursor(session, { topic, partition, next, stored, mark })
  return { keep: true, result: storedOutcome({ stored, events: events.length, kept: kept.length }) }
}

/** Throws where a batch from `from` on would leave records out, or is of another log. */
export async function lockCursor(
  session: MysqlSession,
  { topic, partition, from, mark }: { topic: string; partition: number; from: number; mark: LogMark | undefined },
): Promise<number> {
  const { next: at, log_id: kept } = await lockedCursor(session, { topic, partition })
  refuseOtherLog({ topic, partition, next: at }, { kept, mark })
  if (at >= from) return at
  const detail = `${topic}:${partition} is stored up to ${at}, the batch begins at ${from}`
  throw new Failure('position_conflict', detail, { retryable: true })
}

/** The row is there, and locked. */
export async function moveCursor(
  session: MysqlSession,
  { topic, partition, next, stored, mark }: PartitionCursor & { stored: number; mark: LogMark | undefined },
): Promise<void> {
  const row = `topic = ${literal(topic)} AND partition_id = ${partition}`
  await session.query(
    `UPDATE stored_cursors SET next = ${next}, \`stored\` = \`stored\` + ${stored}, ${markAssignments(mark)} WHERE ${row}`,
  )
}

type CursorRow = { next: number; log_id: string | null }

async function lockedCursor(session: MysqlSession, at: { topic: string; partition: number }): Promise<CursorRow> {
  const [topic, partition] = [literal(at.topic), at.partition]
  const read = () =>
    session.query<CursorRow[]>(
      `SELECT next, log_id FROM stored_cursors WHERE topic = ${topic} AND partition_id = ${partition} FOR UPDATE`,
    )
  const [row] = await read()
  if (row !== undefined) return row
  // A row that is not there cannot be locked. Of two that make it at once, the second waits here for the first.
  await session.query(
    `INSERT INTO stored_cursors (topic, partition_id, next, \`stored\`) VALUES (${topic}, ${partition}, 0, 0) ` +
      'ON DUPLICATE KEY UPDATE next = next',
  )
  const [made] = await read()
  return made ?? { next: 0, log_id: null }
}

/**
 * Inserts events as if each were there alone: nearly always in one go, and only when the database objects is it found
 * out to which of them. A statement that fails leaves nothing of itself in the transaction.
 */
class EventWriter {
  readonly #session: MysqlSession
  readonly #batch: StoreBatch
  readonly refused: RefusedEvent[] = []

  constructor(session: MysqlSession, batch: StoreBatch) {
    this.#session = session
    this.#batch = batch
  }

  /** Gives how many are new. */
  async write(events: readonly Placed[]): Promise<number> {
    let stored = 0
    let ready = this.#rowsFrom(events, 0)
    for (let begin = 0; begin < events.length; ) {
      const end = begin + ready.length
      const inserting = this.#insert(events.slice(begin, end), ready)
      ready = this.#rowsFrom(events, end)
      stored += await inserting
      begin = end
    }
    return stored
  }

  /** The rows of one statement. */
  #rowsFrom(events: readonly Placed[], begin: number): string[] {
    const { partition } = this.#batch
    const rows: string[] = []
    for (let at = begin, characters = 0; at < events.length && characters < STATEMENT_CHARACTERS_MAX; at++) {
      const { offset, event } = events[at] as Placed
      const row = eventLiteral(partition, offset, event)
      rows.push(row)
      characters += row.length
    }
    return rows
  }

  async #insert(events: readonly Placed[], rows: readonly string[]): Promise<number> {
    const { type } = this.#batch
    try {
      await this.#session.query(`INSERT INTO ${type} (${nameList(columnsOf(type))}) VALUES ${rows.join(',')}`)
      return events.length
    } catch (error) {
      const kind = mysqlErrorKind(error)
      if (kind === 'duplicate') return this.#insertNew(events, error)
      if (kind === 'refused') return this.#insertHalves(events, rows, error)
      throw error
    }
  }

  /** Leaves out those whose `trace_id` is there: stored before, or earlier among these. */
  async #insertNew(events: readonly Placed[], duplicate: unknown): Promise<number> {
    const known = await this.#stored(events)
    const fresh: Placed[] = []
    for (const placed of events) {
      const id = uuidLiteral(placed.event.trace_id).toLowerCase()
      const before = known.get(id)
      if (before === undefined) {
        known.set(id, placed.event)
        fresh.push(placed)
      } else if (!sameContent(before, placed.event)) this.#refuse(placed, 'conflict', CONFLICT)
    }
    // Not by its `trace_id` then: the row's position is taken, which the cursor rules out.
    if (fresh.length === events.length) throw duplicate
    return fresh.length === 0 ? 0 : this.write(fresh)
  }

  async #insertHalves(events: readonly Placed[], rows: readonly string[], refusal: unknown): Promise<number> {
    if (events.length === 1) {
      this.#refuse(events[0] as Placed, 'unstorable', `the database refuses it: ${(refusal as Error).message}`)
      return 0
    }
    const middle = events.length >> 1
    return (
      (await this.#insert(events.slice(0, middle), rows.slice(0, middle))) +
      (await this.#insert(events.slice(middle), rows.slice(middle)))
    )
  }

  async #stored(events: readonly Placed[]): Promise<Map<string, Placed['event']>> {
    const { type } = this.#batch
    const ids = events.map(({ event }) => uuidLiteral(event.trace_id))
    const rows = await this.#session.query<Record<string, ColumnValue>[]>(
      `SELECT ${nameList(columnsOf(type))} FROM ${type} WHERE trace_id IN (${ids.join(',')})`,
    )
    const found = rows.map((row) => fromRow(type, row).event)
    return new Map(found.map((event) => [uuidLiteral(event.trace_id), event]))
  }

  #refuse({ offset }: Placed, reason: RefusedEvent['reason'], detail: string): void {
    this.refused.push({ offset, reason, detail })
  }
}
