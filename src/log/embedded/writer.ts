import { parentPort, workerData } from 'node:worker_threads'
import { FilePlace, type Identity } from '../../disk/file-place.ts'
import { CANARY } from '../../events/catalogue.ts'
import type { PackedRecords } from './packed-records.ts'
import { openLogFile } from './schema.ts'

/**
 * The thread that writes the embedded log: syncing blocks, and it must not block those who answer requests.
 * One message is one batch is one transaction is one sync.
 */

/** At least so many of them are in the log, at most twice as many. */
const CANARIES_KEPT = 5000

/** The file is the one that its readers have opened, and no other. */
export type WriterData = { file: string; identity: Identity }

/** What is written together; nothing is written to see whether it could be. `bytes` of all pieces share one buffer, which is transferred. */
export type PackedBatch = readonly PackedRecords[]

export type WriterAnswer = { ok: true } | { ok: false; message: string; errcode: number | undefined; lost: boolean }

if (parentPort !== null) start(workerData as WriterData)

/** Where the file cannot be opened any more, each batch is answered with the reason: that of a thread that died names no file. */
function start(data: WriterData): void {
  try {
    run(data)
  } catch (error) {
    const { message, errcode } = error as Error & { errcode?: number }
    parentPort?.on('message', (batch: PackedBatch | 'close') => {
      if (batch === 'close') parentPort?.close()
      else parentPort?.postMessage({ ok: false, message, errcode, lost: false } satisfies WriterAnswer)
    })
  }
}

function run({ file, identity }: WriterData): void {
  const database = openLogFile(file)
  const place = new FilePlace(file, identity)
  const ensurePartition = database.prepare(
    'INSERT INTO partitions VALUES (?, ?, 0, 0, 0) ON CONFLICT (topic, partition) DO NOTHING',
  )
  const partitionEnd = database.prepare(
    'SELECT first, next, append_time FROM partitions WHERE topic = ? AND partition = ?',
  )
  const moveEnd = database.prepare('UPDATE partitions SET next = ?, append_time = ? WHERE topic = ? AND partition = ?')
  const moveFirst = database.prepare('UPDATE partitions SET first = ? WHERE topic = ? AND partition = ?')
  const remove = database.prepare('DELETE FROM batches WHERE topic = ? AND partition = ? AND next <= ?')
  const insert = database.prepare('INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)')
  const readVersion = database.prepare('PRAGMA user_version')

  parentPort?.on('message', (batch: PackedBatch | 'close') => {
    if (batch === 'close') {
      database.close()
      parentPort?.close()
      return
    }
    parentPort?.postMessage(answer(batch))
  })

  /** The place is looked at after the sync: what was removed before that is not acknowledged. */
  function answer(batch: PackedBatch): WriterAnswer {
    try {
      database.exec('BEGIN IMMEDIATE')
      if (batch.length === 0) touch()
      else write(batch)
      database.exec('COMMIT')
      const why = place.whyLost()
      return why === undefined ? { ok: true } : { ok: false, message: why, errcode: undefined, lost: true }
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      const { message, errcode } = error as Error & { errcode?: number }
      return { ok: false, message, errcode, lost: false }
    }
  }

  /** Writes a page, and changes nothing. */
  function touch(): void {
    const { user_version: version } = readVersion.get() as { user_version: number }
    database.exec(`PRAGMA user_version = ${version}`)
  }

  function write(batch: PackedBatch): void {
    const ends: ReturnType<typeof readEnd>[] = []
    for (const { topic, partition, count, bytes } of batch) {
      let end = ends.find((other) => other.partition === partition && other.topic === topic)
      if (end === undefined) {
        end = readEnd(topic, partition)
        ends.push(end)
      }
      const first = end.next
      end.next += count
      insert.run(topic, partition, first, end.next, end.appendTime, bytes)
    }
    for (const { topic, partition, next, appendTime } of ends) moveEnd.run(next, appendTime, topic, partition)
    for (const end of ends) if (end.topic === CANARY.topic) removeOld(end)
  }

  /** What only the health check looks for, and only for a moment, need not stay as events do. */
  function removeOld({ topic, partition, first, next }: ReturnType<typeof readEnd>): void {
    if (next - first < 2 * CANARIES_KEPT) return
    moveFirst.run(next - CANARIES_KEPT, topic, partition)
    remove.run(topic, partition, next - CANARIES_KEPT)
  }

  function readEnd(topic: string, partition: number) {
    ensurePartition.run(topic, partition)
    const row = partitionEnd.get(topic, partition) as { first: number; next: number; append_time: number }
    // A clock that is set back must not make append times decrease: reading by time relies on their order.
    return { topic, partition, first: row.first, next: row.next, appendTime: Math.max(Date.now(), row.append_time) }
  }
}
