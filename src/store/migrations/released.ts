import { type Kysely, sql } from 'kysely'
import type { Dialect } from '../columns.ts'

/**
 * Migrations that have been released, word for word: what they made is in databases, so nothing here may follow from the
 * catalogue or any other code that goes on changing. Names stand in double quotes in both dialects.
 */

type Statements = Record<Dialect, string>

export async function createEvents(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await execute(db, dialect, EVENTS)
}

/** For pages of a user by when the events were received: they would be sorted, or sought among everybody's. */
export async function indexUserCreated(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  for (const table of ['running_stats', 'music_info']) {
    const name = `${table}_user_created`
    if (dialect === 'mysql' && (await hasIndex(db, { table, name }))) continue
    const index = `create index "${name}" on "${table}" ("user_id", "date_created", "trace_id")`
    await execute(db, dialect, { sqlite: index, mysql: index })
  }
}

/** The tombstones that were carried out or are about to be, by their position in the log, as the change feed gives them. */
export async function createForgottenUsers(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await execute(db, dialect, FORGOTTEN_USERS)
}

/** The health check's own events, which are no user's. */
export async function createCanaries(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await execute(db, dialect, CANARIES)
}

/** Tombstones of before go by when events were received. Those that have positions go by these. */
export async function createForgottenPositions(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  if (dialect === 'sqlite' || !(await hasColumn(db, { table: 'forgotten_users', name: 'by_time' }))) {
    const byTime = 'alter table "forgotten_users" add column "by_time" integer default 1 not null'
    await execute(db, dialect, { sqlite: byTime, mysql: byTime })
  }
  await execute(db, dialect, FORGOTTEN_POSITIONS)
}

// An events' table is clustered by position: a batch is written at one place, and the change feed reads it from there. There
// is an index for each order in which pages are read. MySQL has no `create index if not exists`, but makes a table with
// its indexes whole or not at all.
const EVENTS: Statements = {
  sqlite: `
    create table if not exists "stored_cursors" (
      "topic" text not null,
      "partition_id" integer not null,
      "next" integer not null,
      "stored" integer not null,
      constraint "stored_cursors_key" primary key ("topic", "partition_id")
    ) strict, without rowid;
    create table if not exists "running_stats" (
      "log_partition" integer not null,
      "log_offset" integer not null,
      "trace_id" blob not null,
      "date_created" integer not null,
      "user_id" blob not null,
      "duration" real not null,
      "distance" real not null,
      "timestamp" integer not null,
      "event_id" text,
      constraint "running_stats_position" primary key ("log_partition", "log_offset")
    ) strict, without rowid;
    create unique index "running_stats_trace" on "running_stats" ("trace_id");
    create index "running_stats_time" on "running_stats" ("timestamp", "trace_id");
    create index "running_stats_created" on "running_stats" ("date_created", "trace_id");
    create index "running_stats_user" on "running_stats" ("user_id", "timestamp", "trace_id");
    create table if not exists "music_info" (
      "log_partition" integer not null,
      "log_offset" integer not null,
      "trace_id" blob not null,
      "date_created" integer not null,
      "user_id" blob not null,
      "song_name" text not null,
      "artist" text not null,
      "song_duration" real not null,
      "timestamp" integer not null,
      "event_id" text,
      constraint "music_info_position" primary key ("log_partition", "log_offset")
    ) strict, without rowid;
    create unique index "music_info_trace" on "music_info" ("trace_id");
    create index "music_info_time" on "music_info" ("timestamp", "trace_id");
    create index "music_info_created" on "music_info" ("date_created", "trace_id");
    create index "music_info_user" on "music_info" ("user_id", "timestamp", "trace_id")`,
  mysql: `
    create table if not exists "stored_cursors" (
      "topic" varchar(249) not null,
      "partition_id" integer not null,
      "next" bigint not null,
      "stored" bigint not null,
      constraint "stored_cursors_key" primary key ("topic", "partition_id")
    ) engine = InnoDB default charset = utf8mb4;
    create table if not exists "running_stats" (
      "log_partition" integer not null,
      "log_offset" bigint not null,
      "trace_id" binary(16) not null,
      "date_created" bigint not null,
      "user_id" binary(16) not null,
      "duration" double not null,
      "distance" double not null,
      "timestamp" bigint not null,
      "event_id" varchar(128) character set utf8mb4 collate utf8mb4_0900_bin,
      constraint "running_stats_position" primary key ("log_partition", "log_offset"),
      constraint "running_stats_trace" unique ("trace_id"),
      index "running_stats_time" ("timestamp", "trace_id"),
      index "running_stats_created" ("date_created", "trace_id"),
      index "running_stats_user" ("user_id", "timestamp", "trace_id")
    ) engine = InnoDB default charset = utf8mb4;
    create table if not exists "music_info" (
      "log_partition" integer not null,
      "log_offset" bigint not null,
      "trace_id" binary(16) not null,
      "date_created" bigint not null,
      "user_id" binary(16) not null,
      "song_name" varchar(512) character set utf8mb4 collate utf8mb4_0900_bin not null,
      "artist" varchar(512) character set utf8mb4 collate utf8mb4_0900_bin not null,
      "song_duration" double not null,
      "timestamp" bigint not null,
      "event_id" varchar(128) character set utf8mb4 collate utf8mb4_0900_bin,
      constraint "music_info_position" primary key ("log_partition", "log_offset"),
      constraint "music_info_trace" unique ("trace_id"),
      index "music_info_time" ("timestamp", "trace_id"),
      index "music_info_created" ("date_created", "trace_id"),
      index "music_info_user" ("user_id", "timestamp", "trace_id")
    ) engine = InnoDB default charset = utf8mb4`,
}

// `forgotten_users` has a count for each type of how many events were erased. `erased_events` says what was erased: where it
// was, and all that those need to know who have counted it; nothing of it tells of whom it was. Who writes events holds the
// one row of MySQL's `forgetting_gate` shared; who adds a tombstone has it alone (`mysql/forgetting.ts`).
const FORGOTTEN_USERS: Statements = {
  sqlite: `
    create table if not exists "forgotten_users" (
      "log_partition" integer not null,
      "log_offset" integer not null,
      "request_id" blob not null,
      "user_id" blob not null,
      "forgotten_at" integer not null,
      "running_stats" integer not null,
      "music_info" integer not null,
      constraint "forgotten_users_position" primary key ("log_partition", "log_offset")
    ) strict, without rowid;
    create table if not exists "erased_events" (
      "request_id" blob not null,
      "type" text not null,
      "log_partition" integer not null,
      "log_offset" integer not null,
      "hour" integer not null,
      "fingerprint" integer not null,
      constraint "erased_events_key" primary key ("request_id", "type", "log_partition", "log_offset")
    ) strict, without rowid;
    create index "forgotten_users_request" on "forgotten_users" ("request_id");
    create index "forgotten_users_user" on "forgotten_users" ("user_id", "forgotten_at")`,
  mysql: `
    create table if not exists "forgotten_users" (
      "log_partition" integer not null,
      "log_offset" bigint not null,
      "request_id" binary(16) not null,
      "user_id" binary(16) not null,
      "forgotten_at" bigint not null,
      "running_stats" bigint not null,
      "music_info" bigint not null,
      constraint "forgotten_users_position" primary key ("log_partition", "log_offset"),
      index "forgotten_users_request" ("request_id"),
      index "forgotten_users_user" ("user_id", "forgotten_at")
    ) engine = InnoDB;
    create table if not exists "erased_events" (
      "request_id" binary(16) not null,
      "type" varchar(64) not null,
      "log_partition" integer not null,
      "log_offset" bigint not null,
      "hour" integer not null,
      "fingerprint" bigint not null,
      constraint "erased_events_key" primary key ("request_id", "type", "log_partition", "log_offset")
    ) engine = InnoDB;
    create table if not exists forgetting_gate (id integer primary key, tombstones bigint not null) engine = InnoDB;
    insert ignore into forgetting_gate values (1, 0)`,
}

const CANARIES: Statements = {
  sqlite: `
    create table if not exists "canaries" (
      "log_partition" integer not null,
      "log_offset" integer not null,
      "trace_id" blob not null,
      "date_created" integer not null,
      constraint "canaries_position" primary key ("log_partition", "log_offset"),
      constraint "canaries_trace" unique ("trace_id")
    ) strict, without rowid`,
  mysql: `
    create table if not exists "canaries" (
      "log_partition" integer not null,
      "log_offset" bigint not null,
      "trace_id" binary(16) not null,
      "date_created" bigint not null,
      constraint "canaries_position" primary key ("log_partition", "log_offset"),
      constraint "canaries_trace" unique ("trace_id")
    ) engine = InnoDB`,
}

const FORGOTTEN_POSITIONS: Statements = {
  sqlite: `
    create table if not exists "forgotten_positions" (
      "user_id" blob not null,
      "topic" text not null,
      "partition_id" integer not null,
      "next" integer not null,
      constraint "forgotten_positions_key" primary key ("user_id", "topic", "partition_id")
    ) strict, without rowid`,
  mysql: `
    create table if not exists "forgotten_positions" (
      "user_id" binary(16) not null,
      "topic" varchar(249) not null,
      "partition_id" integer not null,
      "next" bigint not null,
      constraint "forgotten_positions_key" primary key ("user_id", "topic", "partition_id")
    ) engine = InnoDB`,
}

/** One after the other, each in one line: SQLite keeps the text of a table as its schema. */
async function execute(db: Kysely<unknown>, dialect: Dialect, statements: Statements): Promise<void> {
  for (const statement of statements[dialect].split(';')) {
    const line = statement.trim().replace(/\s+/g, ' ').replaceAll('( ', '(').replaceAll(' )', ')')
    await sql.raw(dialect === 'mysql' ? line.replaceAll('"', '`') : line).execute(db)
  }
}

/** MySQL cannot undo DDL: what a migration that was killed has made is there when it begins again. */
async function hasIndex(db: Kysely<unknown>, { table, name }: { table: string; name: string }): Promise<boolean> {
  const { rows } = await sql`
    select 1 from information_schema.statistics
    where table_schema = database() and table_name = ${table} and index_name = ${name} limit 1
  `.execute(db)
  return rows.length > 0
}

/** Likewise, of a column that is added. */
async function hasColumn(db: Kysely<unknown>, { table, name }: { table: string; name: string }): Promise<boolean> {
  const { rows } = await sql`
    select 1 from information_schema.columns
    where table_schema = database() and table_name = ${table} and column_name = ${name} limit 1
  `.execute(db)
  return rows.length > 0
}
