import { join, resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Kysely } from 'kysely'
import { DataFile } from '../../../disk/data-file.ts'
import { openDerived, type SetAside } from '../../../disk/set-aside.ts'
import { refuseOtherLog } from '../../../log/place-in-log.ts'
import { type KeptCursor, markColumns } from '../../../log/position.ts'
import { ForgottenUsers } from '../../../log/tombstone.ts'
import { uuidToBytes } from '../../../store/columns.ts'
import { adoptCursor, readKeptCursors } from '../../../store/kept-cursors.ts'
import { isRefusal, openReader, openSqlite, type SqliteConnection, transact } from '../../../store/sqlite/database.ts'
import type { Anomaly, AnomalyType } from '../anomaly.ts'
import type { FoundAnomaly, RefusedRecord } from '../detector.ts'
import type { AnomalyQuery, AnomalyStore, ForgettingBatch, JudgedBatch, JudgeOutcome } from './anomaly-store.ts'
import { refusedRecord, refuseGap } from './anomaly-store.ts'
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

/**
 * Opens the detector's database `anomalies.db` in the folder, and brings it to its newest form. One that is damaged is set
 * aside: all is judged anew from the log.
 */
export async function openSqliteAnomalies(
  { dir }: { dir: string },
  setAside: (news: SetAside) => void = () => {},
): Promise<AnomalyStore> {
  const path = join(resolve(dir), 'anomalies.db')
  const open = () => {
    const file = new DataFile(path)
    return file.open(async () => {
      await using opened = new AsyncDisposableStack()
      const reader = await openReader<AnomalyDatabase>(path, anomalyMigrations('sqlite'), 'anomaly_migrations')
      opened.defer(() => reader.destroy())
      const writer = opened.use(openSqlite(path, { cacheMib: 8 }))
      const anomalies = new SqliteAnomalies(file, reader, writer)
      opened.move()
      return anomalies
    })
  }
  return openDerived(path, open, setAside)
}

class SqliteAnomalies implements AnomalyStore {
  readonly writesAtOnce = 1
  readonly webhooks: WebhookTables
  readonly #file: DataFile
  readonly #reader: Kysely<AnomalyDatabase>
  readonly #writer: SqliteConnection
  readonly #statements: ReturnType<typeof prepareStatements>

  constructor(file: DataFile, reader: Kysely<AnomalyDatabase>, writer: SqliteConnection) {
    this.#file = file
    this.#reader = reader
    this.#writer = writer
    this.#statements = prepareStatements(writer)
    this.webhooks = new WebhookTables('sqlite', (work) => file.guard(() => work(reader)))
  }

  cursors(): Promise<KeptCursor[]> {
    return this.#file.guard(() => readKeptCursors(this.#reader, 'anomaly_cursors'))
  }

  adopt(cursor: KeptCursor): Promise<void> {
    return this.#file.guard(() => adoptCursor(this.#reader, 'anomaly_cursors', cursor))
  }

  clear(): Promise<void> {
    return this.#file.guard(() =>
      transact(this.#writer, () => {
        for (const table of ANOMALY_TABLES) this.#writer.exec(`DELETE FROM ${table}`)
      }),
    )
  }

  judge(batch: JudgedBatch): Promise<JudgeOutcome> {
    return this.#file.guard(() => {
      try {
        return { kind: 'judged' as const, anomalies: transact(this.#writer, () => this.#judge(batch)) }
      } catch (error) {
        if (error instanceof Refused) return { kind: 'refused' as const, records: error.records }
        throw error
      }
    })
  }

  forget(batch: ForgettingBatch): Promise<void> {
    return this.#file.guard(() => transact(this.#writer, () => this.#forget(batch)))
  }

  page(query: AnomalyQuery): Promise<Anomaly[]> {
    return this.#file.guard(() => readPage(this.#reader, query))
  }

  anomaly(anomalyId: string): Promise<Anomaly | undefined> {
    return this.#file.guard(() => readAnomaly(this.#reader, anomalyId))
  }

  counts(): Promise<Record<AnomalyType, number>> {
    return this.#file.guard(() => readCounts(this.#reader))
  }

  async checkReady(): Promise<void> {
    await this.cursors()
    this.#file.check()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#file[Symbol.dispose]()
    await this.#reader.destroy()
    if (this.#writer.isOpen) this.#writer.close()
  }

  #judge({ topic, partition, from, next, mark, users, judge }: JudgedBatch): Anomaly[] {
    const { state, putState, count, moveCursor } = this.#statements
    const at = this.#cursorOf({ topic, partition, from, mark })
    if (at >= next) return []
    const before = new Map<string, Uint8Array>()
    const forgotten = new ForgottenUsers()
    for (const user of users) {
      const until = this.#statements.forgotten.get(uuidToBytes(user)) as { forgotten_at: number } | undefined
      if (until !== undefined) forgotten.add({ user_id: user, ...until })
      const place = this.#statements.position.get(uuidToBytes(user), topic, partition) as { next: number } | undefined
      if (place !== undefined) {
        forgotten.add({ user_id: user, forgotten_at: 0, positions: [{ topic, partition, ...place }] })
      }
      const row = state.get(topic, uuidToBytes(user)) as { state: Uint8Array } | undefined
      if (row !== undefined) before.set(user, row.state)
    }
    const { found, states, refused } = judge(at, before, forgotten)
    if (refused.length > 0) throw new Refused(refused)
    for (const [user, encoded] of states) putState.run(topic, uuidToBytes(user), encoded)
    const fresh = this.#insertNew({ topic, partition }, found)
    const anomalies = fresh.map(({ anomaly }) => anomaly)
    for (const [type, added] of countTypes(anomalies)) count.run(topic, partition, type, added)
    const { log_id, append_time } = markColumns(mark)
    moveCursor.run(topic, partition, next, fresh.at(-1)?.offset ?? -1, log_id, append_time)
    return anomalies
  }

  #insertNew(place: { topic: string; partition: number }, found: readonly FoundAnomaly[]): FoundAnomaly[] {
    const refused: RefusedRecord[] = []
    const fresh = found.filter((one) => {
      try {
        return this.#statements.insert.run(...toRow(place, one)).changes === 1
      } catch (error) {
        if (!isRefusal(error)) throw error
        refused.push(refusedRecord(one, error))
        return false
      }
    })
    if (refused.length > 0) throw new Refused(refused)
    return fresh
  }

  #forget({ topic, partition, from, next, mark, tombstones }: ForgettingBatch): void {
    const { forget, forgetBefore, removeStates, moveCursor } = this.#statements
    const at = this.#cursorOf({ topic, partition, from, mark })
    if (at >= next) return
    for (const { user_id, forgotten_at, positions } of tombstones) {
      const user = uuidToBytes(user_id)
      if (positions === undefined) forget.run(user, forgotten_at)
      for (const place of positions ?? []) forgetBefore.run(user, place.topic, place.partition, place.next)
      const isGone = isForgotten({ user_id, forgotten_at, positions })
      this.#writer.prepare(uncountGone(isGone)).run({ user })
      this.#writer.prepare(`DELETE FROM anomalies WHERE user_id = :user AND ${isGone}`).run({ user })
      removeStates.run(user)
    }
    const { log_id, append_time } = markColumns(mark)
    moveCursor.run(topic, partition, next, -1, log_id, append_time)
  }

  #cursorOf({ topic, partition, from, mark }: Pick<JudgedBatch, 'topic' | 'partition' | 'from' | 'mark'>): number {
    const row = this.#statements.cursor.get(topic, partition) as { next: number; log_id: string | null } | undefined
    const at = row?.next ?? 0
    refuseOtherLog({ topic, partition, next: at }, { kept: row?.log_id, mark })
    refuseGap({ topic, partition, from, at })
    return at
  }
}

/** Leaves the transaction, so that it is rolled back; caught where it began. */
class Refused extends Error {
  readonly records: RefusedRecord[]
  constructor(records: RefusedRecord[]) {
    super('refused')
    this.records = records
  }
}

/** Takes a user's anomalies that are about to go out of the counts. */
function uncountGone(isGone: string): string {
  return `UPDATE anomaly_counts SET found = anomaly_counts.found - gone.found FROM (
      SELECT log_topic, log_partition, anomaly_type AS type, count(*) AS found FROM anomalies
      WHERE user_id = :user AND ${isGone} GROUP BY log_topic, log_partition, anomaly_type
    ) AS gone WHERE topic = gone.log_topic AND partition_id = gone.log_partition AND anomaly_counts.anomaly_type = gone.type`
}

function prepareStatements(database: DatabaseSync) {
  const places = ANOMALY_COLUMNS.map(() => '?')
  return {
    cursor: database.prepare('SELECT next, log_id FROM anomaly_cursors WHERE topic = ? AND partition_id = ?'),
    state: database.prepare('SELECT state FROM anomaly_users WHERE topic = ? AND user_id = ?'),
    putState: database.prepare(
      'INSERT INTO anomaly_users (topic, user_id, state) VALUES (?, ?, ?) ' +
        'ON CONFLICT (topic, user_id) DO UPDATE SET state = excluded.state',
    ),
    insert: database.prepare(
      `INSERT INTO anomalies (${ANOMALY_COLUMNS.join(', ')}) VALUES (${places.join(', ')}) ` +
        'ON CONFLICT (anomaly_id) DO NOTHING',
    ),
    forgotten: database.prepare('SELECT forgotten_at FROM anomaly_forgotten WHERE user_id = ?'),
    forget: database.prepare(
      'INSERT INTO anomaly_forgotten (user_id, forgotten_at) VALUES (?, ?) ' +
        'ON CONFLICT (user_id) DO UPDATE SET forgotten_at = max(forgotten_at, excluded.forgotten_at)',
    ),
    position: database.prepare(
      'SELECT next FROM anomaly_forgotten_positions WHERE user_id = ? AND topic = ? AND partition_id = ?',
    ),
    forgetBefore: database.prepare(
      'INSERT INTO anomaly_forgotten_positions (user_id, topic, partition_id, next) VALUES (?, ?, ?, ?) ' +
        'ON CONFLICT (user_id, topic, partition_id) DO UPDATE SET next = max(next, excluded.next)',
    ),
    removeStates: database.prepare(
      'DELETE FROM anomaly_users WHERE topic IN (SELECT topic FROM anomaly_cursors) AND user_id = ?',
    ),
    count: database.prepare(
      'INSERT INTO anomaly_counts (topic, partition_id, anomaly_type, found) VALUES (?, ?, ?, ?) ' +
        'ON CONFLICT (topic, partition_id, anomaly_type) DO UPDATE SET found = found + excluded.found',
    ),
    moveCursor: database.prepare(
      'INSERT INTO anomaly_cursors (topic, partition_id, next, last_found, log_id, append_time) VALUES (?, ?, ?, ?, ?, ?) ' +
        'ON CONFLICT (topic, partition_id) DO UPDATE SET next = excluded.next, last_found = max(last_found, excluded.last_found), ' +
        'log_id = coalesce(excluded.log_id, log_id), append_time = excluded.append_time',
    ),
  }
}
