import { randomUUID } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { keepPrivate } from '../../disk/private-file.ts'
import { packRecords } from './packed-records.ts'

/**
 * The embedded log's file. A row of `batches` is a piece of what was appended at once, `records` as `packRecords` makes
 * it; `partitions` keeps the ends, so that neither they nor an append cost more as the log grows.
 */
const SCHEMA = `
CREATE TABLE IF NOT EXISTS partitions (
  topic TEXT NOT NULL, partition INTEGER NOT NULL,
  first INTEGER NOT NULL, next INTEGER NOT NULL, append_time INTEGER NOT NULL,
  PRIMARY KEY (topic, partition)
) STRICT;
CREATE TABLE IF NOT EXISTS batches (
  topic TEXT NOT NULL, partition INTEGER NOT NULL, first INTEGER NOT NULL, next INTEGER NOT NULL,
  append_time INTEGER NOT NULL, records BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS batches_position ON batches (topic, partition, next);
CREATE TABLE IF NOT EXISTS group_cursors (
  group_name TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
  PRIMARY KEY (group_name, topic, partition)
) STRICT;
CREATE TABLE IF NOT EXISTS log_identity (
  id INTEGER PRIMARY KEY CHECK (id = 1), log_id TEXT NOT NULL
) STRICT;
`

/** A connection to the log's file. `FULL` makes every commit a synced one: durable means durable. */
export function openLogFile(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 10_000 })
  try {
    database.exec(`
      PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -2000;
      PRAGMA journal_size_limit = 67108864;
    `)
    database.exec(SCHEMA)
    takeOverFirstForm(database)
    // Once: of several that open the file at the same time, the first makes it.
    database.prepare('INSERT INTO log_identity VALUES (1, ?) ON CONFLICT DO NOTHING').run(randomUUID())
    keepPrivate(file)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** The first form of the log had a row for each record, in `appended`. */
function takeOverFirstForm(database: DatabaseSync): void {
  const isThere = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'appended'")
  if (isThere.get() === undefined) return
  database.function('pack_record', { deterministic: true }, (key, value) => {
    return packRecords([{ topic: '', key: key as string, value: value as Uint8Array }], () => 0)[0]?.bytes as Uint8Array
  })
  database.exec('BEGIN IMMEDIATE')
  // Another thread may have been here first.
  if (isThere.get() !== undefined) {
    database.exec(`
      INSERT INTO batches SELECT topic, partition, offset, offset + 1, append_time, pack_record(key, value) FROM appended;
      DROP TABLE appended;
    `)
  }
  database.exec('COMMIT')
}
