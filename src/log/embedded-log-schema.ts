import { DatabaseSync } from 'node:sqlite'

/**
 * The embedded log's file. `appended` is clustered by position, so an append writes at one place of it for each
 * partition; `partitions` keeps the ends, so that neither they nor an append cost more as the log grows.
 */
const SCHEMA = `
CREATE TABLE IF NOT EXISTS partitions (
  topic TEXT NOT NULL, partition INTEGER NOT NULL,
  first INTEGER NOT NULL, next INTEGER NOT NULL, append_time INTEGER NOT NULL,
  PRIMARY KEY (topic, partition)
) STRICT;
CREATE TABLE IF NOT EXISTS appended (
  topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
  append_time INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (topic, partition, offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS group_cursors (
  group_name TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
  PRIMARY KEY (group_name, topic, partition)
) STRICT;
`

/** A connection to the log's file. `FULL` makes every commit a synced one: durable means durable. */
export function openLogFile(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 10_000 })
  database.exec(`
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -2000;
    PRAGMA journal_size_limit = 67108864;
  `)
  database.exec(SCHEMA)
  return database
}
