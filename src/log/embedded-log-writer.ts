import { parentPort, workerData } from 'node:worker_threads'
import { openLogFile } from './embedded-log-schema.ts'

/**
 * The thread that writes the embedded log: syncing blocks, and it must not block those who answer requests.
 * One message is one batch is one transaction is one sync.
 */

export type WriterData = { file: string }

/** A batch in as few objects as there can be: copying many small ones between threads costs more than writing them. */
export type PackedBatch = {
  topics: string[]
  /** For each record the index into `topics`. */
  topicIndex: Uint16Array
  partition: Uint16Array
  keys: string[]
  lengths: Uint32Array
  /** The values, one behind the other. */
  bytes: Uint8Array
}

export type WriterAnswer = { ok: true } | { ok: false; message: string; errcode: number | undefined }

if (parentPort !== null) run(workerData as WriterData)

function run({ file }: WriterData): void {
  const database = openLogFile(file)
  const ensurePartition = database.prepare(
    'INSERT INTO partitions VALUES (?, ?, 0, 0, 0) ON CONFLICT (topic, partition) DO NOTHING',
  )
  const end = database.prepare('SELECT next, append_time FROM partitions WHERE topic = ? AND partition = ?')
  const moveEnd = database.prepare('UPDATE partitions SET next = ?, append_time = ? WHERE topic = ? AND partition = ?')
  const insert = database.prepare('INSERT INTO appended VALUES (?, ?, ?, ?, ?, ?)')

  parentPort?.on('message', (batch: PackedBatch | 'close') => {
    if (batch === 'close') {
      database.close()
      parentPort?.close()
      return
    }
    parentPort?.postMessage(answer(batch))
  })

  function answer(batch: PackedBatch): WriterAnswer {
    try {
      database.exec('BEGIN IMMEDIATE')
      write(batch)
      database.exec('COMMIT')
      return { ok: true }
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      return { ok: false, message: String(error), errcode: (error as { errcode?: number }).errcode }
    }
  }

  function write({ topics, topicIndex, partition, keys, lengths, bytes }: PackedBatch): void {
    const ends = new Map<number, { topic: string; partition: number; next: number; appendTime: number }>()
    let at = 0
    for (let i = 0; i < keys.length; i++) {
      const id = (topicIndex[i] as number) * 65_536 + (partition[i] as number)
      let partitionEnd = ends.get(id)
      if (partitionEnd === undefined) {
        partitionEnd = readEnd(topics[topicIndex[i] as number] as string, partition[i] as number)
        ends.set(id, partitionEnd)
      }
      const length = lengths[i] as number
      const value = bytes.subarray(at, at + length)
      insert.run(
        partitionEnd.topic,
        partitionEnd.partition,
        partitionEnd.next++,
        partitionEnd.appendTime,
        keys[i] as string,
        value,
      )
      at += length
    }
    for (const partitionEnd of ends.values()) {
      moveEnd.run(partitionEnd.next, partitionEnd.appendTime, partitionEnd.topic, partitionEnd.partition)
    }
  }

  function readEnd(topic: string, partition: number) {
    ensurePartition.run(topic, partition)
    const row = end.get(topic, partition) as { next: number; append_time: number }
    // A clock that is set back must not make append times decrease: reading by time relies on their order.
    return { topic, partition, next: row.next, appendTime: Math.max(Date.now(), row.append_time) }
  }
}
