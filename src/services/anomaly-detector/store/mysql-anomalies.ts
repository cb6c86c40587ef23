import { refuseOtherLog } from '../../../log/place-in-log.ts'
import type { KeptCursor } from '../../../log/position.ts'
import { ForgottenUsers } from '../../../log/tombstone.ts'
import { uuidFromBytes, uuidToBytes } from '../../../store/columns.ts'
import { adoptCursor, readKeptCursors } from '../../../store/kept-cursors.ts'
import type { Ending, MysqlDatabase, MysqlOptions } from '../../../store/mysql/database.ts'
import { mysqlErrorKind } from '../../../store/mysql/error.ts'
import { literal, markAssignments, nameList, rowLiteral, uuidLiteral } from '../../../store/mysql/literal.ts'
import { emptyTables, type Opening, openMysqlDatabase } from '../../../store/mysql/migrations.ts'
import type { MysqlSession } from '../../../store/mysql/session.ts'
import type { Anomaly, AnomalyType } from '../anomaly.ts'
import type { EncodedStates, FoundAnomaly, RefusedRecord } from '../detector.ts'
import {
  type AnomalyQuery,
  type AnomalyStore,
  type ForgettingBatch,
  type JudgedBatch,
  type JudgeOutcome,
  refusedRecord,
  refuseGap,
} from './anomaly-store.ts'
import {
  ANOMALY_COLUMNS,
  ANOMALY_TABLES,
  type AnomalyDatabase,
  anomalyMigrations,
  countTypes,
  isForgotten,
  readAnomaly,
  readCounts,
  readPage,
  toRow,
} from './anomaly-tables.ts'
import { WebhookTables } from './webhook-tables.ts'

/** Far below what the server takes: a state has some kilobytes, each written as two digits. */
const STATES_MAX = 200
const ROWS_MAX = 1000

/** Brings the detector's tables to their newest form and opens them. Any number of instances may do so at once. */
export async function openMysqlAnomalies(options: MysqlOptions, opening?: Opening): Promise<AnomalyStore> {
  const migrations = anomalyMigrations('mysql')
  const schema = { code: 'anomalies_unavailable', migrations, table: 'anomaly_migrations' } as const
  return new MysqlAnomalies(await openMysqlDatabase<AnomalyDatabase>(options, schema, opening))
}

/** The tables on a server, for any number of instances: a partition's cursor is locked by whoever judges the partition. */
class MysqlAnomalies implements AnomalyStore {
  readonly writesAtOnce = 2
  readonly webhooks: WebhookTables
  readonly #database: MysqlDatabase<AnomalyDatabase>

  constructor(database: MysqlDatabase<AnomalyDatabase>) {
    this.#database = database
    this.webhooks = new WebhookTables('mysql', (work) => database.read(work))
  }

  cursors(): Promise<KeptCursor[]> {
    return this.#database.read((db) => readKeptCursors(db, 'anomaly_cursors'))
  }

  adopt(cursor: KeptCursor): Promise<void> {
    return this.#database.read((db) => adoptCursor(db, 'anomaly_cursors', cursor))
  }

  clear(): Promise<void> {
    return this.#database.transact((session) => emptyTables(session, ANOMALY_TABLES))
  }

  judge(batch: JudgedBatch): Promise<JudgeOutcome> {
    return this.#database.transact((session) => judgeBatch(session, batch))
  }

  forget(batch: ForgettingBatch): Promise<void> {
    return this.#database.transact((session) => forgetUsers(session, batch))
  }

  page(query: AnomalyQuery): Promise<Anomaly[]> {
    return this.#database.read((db) => readPage(db, query))
  }

  anomaly(anomalyId: string): Promise<Anomaly | undefined> {
    return this.#database.read((db) => readAnomaly(db, anomalyId))
  }

  counts(): Promise<Record<AnomalyType, number>> {
    return this.#database.read(readCounts)
  }

  async checkReady(): Promise<void> {
    await this.cursors()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#database[Symbol.asyncDispose]()
  }
}

/** The work of one transaction. The partition's cursor is locked first, so that one judge of a partition waits for another. */
async function judgeBatch(session: MysqlSession, batch: JudgedBatch): Promise<Ending<JudgeOutcome>> {
  const { topic, partition, next, mark, users, judge } = batch
  const at = await lockCursor(session, batch)
  if (at >= next) return { keep: false, result: { kind: 'judged', anomalies: [] } }
  const forgotten = await forgottenOf(session, { topic, partition }, users)
  const judgement = judge(at, await lockStates(session, topic, users), forgotten)
  const records = judgement.refused
  if (records.length > 0) return { keep: false, result: { kind: 'refused', records } }
  await putStates(session, topic, judgement.states)
  const fresh = await insertNew(session, { topic, partition }, { found: judgement.found, refused: records })
  if (records.length > 0) return { keep: false, result: { kind: 'refused', records } }
  const anomalies = fresh.map(({ anomaly }) => anomaly)
  await addCounts(session, { topic, partition }, anomalies)
  await session.query(
    `UPDATE anomaly_cursors SET next = ${next}, last_found = greatest(last_found, ${fresh.at(-1)?.offset ?? -1}), ${markAssignments(mark)} ` +
      `WHERE topic = ${literal(topic)} AND partition_id = ${partition}`,
  )
  return { keep: true, result: { kind: 'judged', anomalies } }
}

/** The work of one transaction, likewise. */
async function forgetUsers(session: MysqlSession, batch: ForgettingBatch): Promise<Ending<void>> {
  const { topic, partition, next, mark, tombstones } = batch
  const at = await lockCursor(session, batch)
  if (at >= next) return { keep: false, result: undefined }
  const cursors = await session.query<{ topic: string }[]>('SELECT DISTINCT topic FROM anomaly_cursors')
  const topics = cursors.map((row) => literal(row.topic))
  for (const tombstone of tombstones) {
    const whose = `user_id = ${uuidLiteral(tombstone.user_id)}`
    const isGone = `${whose} AND ${isForgotten(tombstone)}`
    await keepTombstone(session, tombstone)
    // Locked, so that what is counted is what is removed.
    const gone = await session.query<{ log_topic: string; log_partition: number; anomaly_type: string }[]>(
      `SELECT log_topic, log_partition, anomaly_type FROM anomalies WHERE ${isGone} FOR UPDATE`,
    )
    for (const { log_topic, log_partition, anomaly_type } of gone) {
      await session.query(
        `UPDATE anomaly_counts SET found = found - 1 WHERE topic = ${literal(log_topic)} ` +
          `AND partition_id = ${log_partition} AND anomaly_type = ${literal(anomaly_type)}`,
      )
    }
    await session.query(`DELETE FROM anomalies WHERE ${isGone}`)
    await session.query(`DELETE FROM anomaly_users WHERE topic IN (${topics}) AND ${whose}`)
  }
  await session.query(
    `UPDATE anomaly_cursors SET next = ${next}, ${markAssignments(mark)} WHERE topic = ${literal(topic)} AND partition_id = ${partition}`,
  )
  return { keep: true, result: undefined }
}

async function keepTombstone(
  session: MysqlSession,
  { user_id, forgotten_at, positions }: ForgettingBatch['tombstones'][number],
): Promise<void> {
  if (positions === undefined) {
    await session.query(
      `INSERT INTO anomaly_forgotten (user_id, forgotten_at) VALUES (${uuidLiteral(user_id)}, ${forgotten_at}) ` +
        'ON DUPLICATE KEY UPDATE forgotten_at = greatest(forgotten_at, VALUES(forgotten_at))',
    )
    return
  }
  const rows = positions.map((at) => rowLiteral([uuidToBytes(user_id), at.topic, at.partition, at.next]))
  if (rows.length === 0) return
  await session.query(
    `INSERT INTO anomaly_forgotten_positions (user_id, topic, partition_id, next) VALUES ${rows} ` +
      'ON DUPLICATE KEY UPDATE next = greatest(next, VALUES(next))',
  )
}

async function forgottenOf(
  session: MysqlSession,
  place: TopicPartition,
  users: readonly string[],
): Promise<ForgottenUsers> {
  const forgotten = new ForgottenUsers()
  for (const some of chunks(users, ROWS_MAX)) {
    const rows = await session.query<{ user_id: Uint8Array; forgotten_at: number }[]>(
      `SELECT user_id, forgotten_at FROM anomaly_forgotten WHERE user_id IN (${some.map(uuidLiteral)})`,
    )
    for (const { user_id, forgotten_at } of rows) forgotten.add({ user_id: uuidFromBytes(user_id), forgotten_at })
    const places = await session.query<{ user_id: Uint8Array; next: number }[]>(
      `SELECT user_id, next FROM anomaly_forgotten_positions WHERE user_id IN (${some.map(uuidLiteral)}) ` +
        `AND topic = ${literal(place.topic)} AND partition_id = ${place.partition}`,
    )
    for (const { user_id, next } of places) {
      forgotten.add({ user_id: uuidFromBytes(user_id), forgotten_at: 0, positions: [{ ...place, next }] })
    }
  }
  return forgotten
}

type TopicPartition = { topic: string; partition: number }

type CursorRow = { next: number; log_id: string | null }

/** Throws where the batch cannot follow on the cursor. */
async function lockCursor(
  session: MysqlSession,
  { topic, partition, from, mark }: Pick<JudgedBatch, 'topic' | 'partition' | 'from' | 'mark'>,
): Promise<number> {
  const { next: at, log_id: kept } = await lockedCursor(session, { topic, partition })
  refuseOtherLog({ topic, partition, next: at }, { kept, mark })
  refuseGap({ topic, partition, from, at })
  return at
}

async function lockedCursor(session: MysqlSession, { topic, partition }: TopicPartition): Promise<CursorRow> {
  const where = `WHERE topic = ${literal(topic)} AND partition_id = ${partition}`
  const read = () => session.query<CursorRow[]>(`SELECT next, log_id FROM anomaly_cursors ${where} FOR UPDATE`)
  const [row] = await read()
  if (row !== undefined) return row
  // A row that is not there cannot be locked. Of two that make it at once, the second waits here for the first.
  await session.query(
    `INSERT INTO anomaly_cursors (topic, partition_id, next, last_found) VALUES (${literal(topic)}, ${partition}, 0, -1) ` +
      'ON DUPLICATE KEY UPDATE next = next',
  )
  const [made] = await read()
  return made ?? { next: 0, log_id: null }
}

/** Locked, for when partitions are added, a user's events come from two of them for a while. */
async function lockStates(session: MysqlSession, topic: string, users: readonly string[]): Promise<EncodedStates> {
  const states = new Map<string, Uint8Array>()
  for (const some of chunks(users.toSorted(), ROWS_MAX)) {
    const rows = await session.query<{ user_id: Uint8Array; state: Uint8Array }[]>(
      `SELECT user_id, state FROM anomaly_users WHERE topic = ${literal(topic)} ` +
        `AND user_id IN (${some.map(uuidLiteral)}) FOR UPDATE`,
    )
    for (const { user_id, state } of rows) states.set(uuidFromBytes(user_id), state)
  }
  return states
}

async function putStates(session: MysqlSession, topic: string, states: EncodedStates): Promise<void> {
  for (const some of chunks([...states], STATES_MAX)) {
    const rows = some.map(([user, state]) => rowLiteral([topic, uuidToBytes(user), state]))
    await session.query(
      `INSERT INTO anomaly_users (topic, user_id, state) VALUES ${rows} ON DUPLICATE KEY UPDATE state = VALUES(state)`,
    )
  }
}

/** Gives those that were not there; what the database does not take is added to `refused`. */
async function insertNew(
  session: MysqlSession,
  place: TopicPartition,
  { found, refused }: { found: readonly FoundAnomaly[]; refused: RefusedRecord[] },
): Promise<FoundAnomaly[]> {
  const fresh: FoundAnomaly[] = []
  for (const some of chunks(found, ROWS_MAX)) {
    const ids = some.map(({ anomaly }) => uuidLiteral(anomaly.anomaly_id))
    const rows = await session.query<{ anomaly_id: Uint8Array }[]>(
      `SELECT anomaly_id FROM anomalies WHERE anomaly_id IN (${ids})`,
    )
    const known = new Set(rows.map(({ anomaly_id }) => uuidFromBytes(anomaly_id)))
    const missing = some.filter(({ anomaly }) => !known.has(anomaly.anomaly_id))
    if (missing.length === 0) continue
    await insertRows(session, place, { found: missing, refused })
    fresh.push(...missing)
  }
  return fresh
}

/** In one go, and only when the database objects is it found out to which of them. */
async function insertRows(
  session: MysqlSession,
  place: TopicPartition,
  { found, refused }: { found: readonly FoundAnomaly[]; refused: RefusedRecord[] },
): Promise<void> {
  const values = found.map((one) => rowLiteral(toRow(place, one)))
  try {
    // One that another partition inserts at this moment makes this fail, and the batch is judged again.
    await session.query(`INSERT INTO anomalies (${nameList(ANOMALY_COLUMNS)}) VALUES ${values}`)
  } catch (error) {
    if (mysqlErrorKind(error) !== 'refused') throw error
    const [only] = found
    if (only !== undefined && found.length === 1) {
      refused.push(refusedRecord(only, error))
      return
    }
    const middle = found.length >> 1
    await insertRows(session, place, { found: found.slice(0, middle), refused })
    await insertRows(session, place, { found: found.slice(middle), refused })
  }
}

async function addCounts(
  session: MysqlSession,
  { topic, partition }: TopicPartition,
  anomalies: readonly Anomaly[],
): Promise<void> {
  if (anomalies.length === 0) return
  const rows = [...countTypes(anomalies)].map(([type, count]) => rowLiteral([topic, partition, type, count]))
  await session.query(
    `INSERT INTO anomaly_counts (topic, partition_id, anomaly_type, found) VALUES ${rows} ` +
      'ON DUPLICATE KEY UPDATE found = found + VALUES(found)',
  )
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, n) => items.slice(n * size, (n + 1) * size))
}
